"""The contract on one S3 server."""

from __future__ import annotations

from typing import Any

from conformance import Limits
from conformance.support import listed, put, read
from servers import S3Endpoint

from fsspec_store import RangeByteRequest

from ..on_bucket import OnBucket


class S3Conformance(OnBucket):
    """The contract on the server of the fixture ``endpoint``."""

    limits = Limits(examples=25)
    scheme = "s3"

    async def test_the_transport_is_the_one_of_the_option(self, make_store: Any) -> None:
        store = make_store()
        await put(store, "a/b", "a/c")
        assert await read(store, "a/b") == b"a/b"
        assert await read(store, "a/b", RangeByteRequest(0, 1)) == b"a"
        assert await read(store, "missing") is None
        assert await store.exists("a/c")
        assert await listed(store.list()) == ["a/b", "a/c"]
        await store.delete("a/b")
        await store.delete_dir("a")
        assert store.stats.native == (store.stats.requests if self.transport == "auto" else 0)

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
