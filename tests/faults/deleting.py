"""Rules of bulk deletes when the service fails, or supports none."""

from __future__ import annotations

from collections import Counter

import pytest
from conformance.support import MakeStore, listed, unless
from servers.fault_proxy import Answer, FaultProxy, the_first

from fsspec_store.errors import AccessDeniedError, StoreError

from .protocol import Rules

KEYS = ["c/0", "c/1", "c/2"]


class DeletingRules(Rules):
    async def test_a_service_without_bulk_deletes_gets_single_ones(
        self, make_store: MakeStore, proxy: FaultProxy, no_bulk: Answer
    ) -> None:
        store = make_store()
        await self.fill(make_store, dict.fromkeys([*KEYS, "d/0", "d/1", "e"], b"x"))
        proxy.plan = lambda method, target, headers: no_bulk if method == "POST" else None
        with proxy.watching() as seen:
            await store.delete_dir("c")
        assert Counter(request.method for request in seen) == {"GET": 1, "POST": 1, "DELETE": 3}
        # The store remembers it.
        with proxy.watching() as seen:
            await store.delete_dir("d")
        assert Counter(request.method for request in seen) == {"GET": 1, "DELETE": 2}
        assert await listed(store.list()) == ["e"]

    async def test_a_key_that_a_bulk_delete_does_not_delete_is_an_error(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        bulk_result = self.protocol.bulk_result
        unless(None if bulk_result else "a key that a bulk delete refuses is deleted by itself")
        store = make_store()
        await self.fill(make_store, dict.fromkeys(KEYS, b"x"))
        _, _, root = store.path.partition("/")

        def refused(status: int) -> Answer:
            """A bulk delete that deletes nothing, and states this of the second key."""
            statuses = {f"{root}/{key}": 204 for key in KEYS} | {f"{root}/c/1": status}
            return bulk_result(statuses)

        for status, error in ((403, AccessDeniedError), (405, StoreError)):
            proxy.plan = the_first(1, refused(status), method="POST")
            with pytest.raises(error, match=f"{root}/c/1"):
                await store.delete_dir("c")
            assert await listed(store.list()) == KEYS
        # The transient failure of one key is retried, as that of a whole request.
        proxy.plan = the_first(1, refused(503), method="POST")
        await store.delete_dir("c")
        assert "c/1" not in await listed(store.list())
        assert store.stats.retries == 1
