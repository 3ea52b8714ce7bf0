from __future__ import annotations

from typing import Any

import pytest
from conformance import Limits
from conformance.support import buf, listed
from servers import S3Endpoint

from .s3_conformance import S3Conformance


class TestSeaweedFS(S3Conformance):
    limits = Limits(
        long_names="SeaweedFS takes segments of at most 255 bytes",
        backslash="SeaweedFS takes a backslash for a slash",
        prefix_gone_at_once="SeaweedFS lists an emptied prefix for minutes",
        examples=25,
    )

    @pytest.fixture
    def endpoint(self, seaweedfs_endpoint: S3Endpoint) -> S3Endpoint:
        return seaweedfs_endpoint

    async def test_a_marker_at_the_end_of_a_page_is_not_the_end(
        self, endpoint: S3Endpoint, make_store: Any
    ) -> None:
        store = make_store()
        keys = [f"a/{number:03}" for number in range(999)] + ["b/0", "b/1"]
        await store._set_many((key, buf(b"x")) for key in keys)
        bucket, _, root = store.path.partition("/")
        endpoint.client().put_object(Bucket=bucket, Key=f"{root}/b/", Body=b"")
        assert await listed(store.list()) == keys
