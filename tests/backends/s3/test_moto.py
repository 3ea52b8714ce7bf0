from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from conformance.support import listed, put
from servers import S3Endpoint

from .s3_conformance import S3Conformance

# Written in Python: ten times as long as the other servers take.
pytestmark = pytest.mark.slow


class TestMoto(S3Conformance):
    limits = dataclasses.replace(S3Conformance.limits, examples=20, many=150)

    @pytest.fixture
    def endpoint(self, moto_endpoint: S3Endpoint) -> S3Endpoint:
        return moto_endpoint

    # The other servers refuse or rename such objects; Amazon's holds them.
    async def test_objects_that_are_no_keys_are_not_listed(
        self, endpoint: S3Endpoint, make_store: Any
    ) -> None:
        store = make_store()
        bucket, _, root = store.path.partition("/")
        client = endpoint.client()
        for foreign in ("/foreign", "a//b", "a/../c", "."):
            client.put_object(Bucket=bucket, Key=f"{root}/{foreign}", Body=b"x")
        await put(store, "a/b")
        assert await listed(store.list()) == ["a/b"]
        assert await listed(store.list_dir("a")) == ["b"]
        assert await listed(store.list_dir("")) == ["a"]


class TestMotoByS3fs(TestMoto):
    """The same results without the native transport."""

    limits = dataclasses.replace(TestMoto.limits, examples=10)
    service = "Moto, by s3fs"
    transport = "library"
