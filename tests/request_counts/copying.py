"""How many requests a copy takes, and that the value's bytes are in none of them."""

from __future__ import annotations

from uuid import uuid4

import pytest
from conformance.support import MakeStore, content, put, read
from servers.fault_proxy import FaultProxy

from fsspec_store import FsspecStore
from fsspec_store.errors import KeyNotFoundError

from .counting import counting
from .rules import Rules


class CopyingRules(Rules):
    async def test_a_copy_is_one_request_without_the_value(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        data = content(300_000)
        await self.fill(make_store, {"a": data})
        store = make_store()
        for key in ("b", "c/d", "c/d"):
            with counting(proxy, store) as seen:
                await store.copy_from(store, "a", key)
            [request] = seen
            assert request.headers["content-length"] == "0"
            assert await read(make_store(), key) == data
        await store.copy_from(make_store(), "a", "between")
        assert store.stats.requests == 4

    async def test_a_copy_of_a_missing_key_is_one_request(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        await self.fill(make_store, {"a": b"value"})
        store = make_store()
        assert await read(store, "a") == b"value"
        with counting(proxy, store) as seen, pytest.raises(KeyNotFoundError):
            await store.copy_from(store, "missing", "b")
        assert len(seen) == 1

    async def test_a_copy_from_another_service_is_an_upload_and_one_list(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        part_bytes = 5 * 2**20
        source = FsspecStore.from_url(f"memory://{uuid4()}", part_bytes=part_bytes)
        await put(source, "small", data=content(part_bytes))
        await put(source, "large", data=content(2 * part_bytes + 1))
        store = make_store(part_bytes=part_bytes)
        with counting(proxy, store) as seen:
            await store.copy_from(source, "small")
        assert len(seen) == 1
        with counting(proxy, store) as upload:
            async with store.open_writer("streamed") as writer:
                await writer.write(content(2 * part_bytes + 1))
                await writer.finish()
        with counting(proxy, store) as seen:
            await store.copy_from(source, "large")
        # The list of unfinished uploads, or of blocks, of the key; Google has none.
        assert [each.method for each in seen].count("GET") <= 1
        assert len([each for each in seen if each.method != "GET"]) == len(upload)
