"""How many requests a copy takes, and that the value's bytes are in none of them."""

from __future__ import annotations

import pytest
from conformance.support import MakeStore, content, read
from servers.fault_proxy import FaultProxy

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
