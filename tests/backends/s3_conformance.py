"""The contract on one S3 server: a bucket for all tests, a prefix for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from conformance import Limits, StoreConformance
from conformance.support import listed, put
from servers import S3Endpoint

from fsspec_store import FsspecStore

_places = itertools.count()


@cache
def _bucket(endpoint: S3Endpoint) -> str:
    return endpoint.make_bucket()


class S3Conformance(StoreConformance):
    """The contract on the server of the fixture ``endpoint``."""

    limits = Limits(examples=40)

    @pytest.fixture
    def make_store(self, endpoint: S3Endpoint) -> Iterator[Any]:
        root = f"{_bucket(endpoint)}/{next(_places)}"
        made = []

        def make(below: str = "", **options: Any) -> FsspecStore:
            url = f"s3://{root}/{below}".rstrip("/")
            made.append(FsspecStore.from_url(url, endpoint.storage_options(), **options))
            return made[-1]

        yield make
        for store in made:
            store.close()

    async def test_directory_markers_are_no_keys(
        self, endpoint: S3Endpoint, make_store: Any
    ) -> None:
        store = make_store()
        bucket, _, root = store.path.partition("/")
        client = endpoint.client()
        for marker in ("", "folder/", "folder/empty/"):
            client.put_object(Bucket=bucket, Key=f"{root}/{marker}", Body=b"")
        await put(store, "folder/a")
        assert await listed(store.list()) == ["folder/a"]
        assert await listed(store.list_prefix("folder/")) == ["folder/a"]
        assert set(await listed(store.list_dir(""))) == {"folder"}
        assert await store.getsize_prefix("") == len("folder/a")
        assert not await store.exists("folder")
        await store.delete("folder/a")
        assert await store.is_empty("folder")
        assert await listed(store.list()) == []
        await store.clear()
        left = client.list_objects_v2(Bucket=bucket, Prefix=f"{root}/").get("Contents", [])
        assert left == []
