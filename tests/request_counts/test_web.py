"""Requests to web servers, which can be read, and listed a folder at a time."""

from __future__ import annotations

from collections import Counter

from conformance.support import MakeStore, listed
from proxied import OnNginx
from servers.fault_proxy import FaultProxy

from .counting import counting, methods
from .rules import DATA, ReadingRules, level_of


class TestNginx(OnNginx, ReadingRules):
    async def test_opening_asks_once_whether_the_server_lists(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = make_store()
        with counting(proxy, store) as seen:
            await store._ensure_open()
            await store._ensure_open()
        assert methods(seen) == ["GET"]
        assert store.supports_listing

    async def test_a_listing_is_one_request_a_folder(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        keys = [f"{folder}/{name}" for folder in ("a", "a/b", "c") for name in range(20)]
        await self.fill(make_store, dict.fromkeys(keys, DATA))
        store = make_store()
        with counting(proxy, store) as seen:
            assert await listed(store.list()) == sorted(keys)
        # The root, and three more.
        assert methods(seen) == ["GET"] * 4
        store = make_store()
        with counting(proxy, store) as seen:
            assert await listed(store.list_dir("a")) == sorted([*map(str, range(20)), "b"])
        assert methods(seen) == ["GET"]
        store = make_store()
        with counting(proxy, store) as seen:
            assert not await store.is_empty("a")
        assert methods(seen) == ["GET"]

    async def test_what_is_not_there_takes_the_root_to_tell(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        # A folder is missing as well from a server that lists nothing: once, the root is asked.
        store = make_store()
        for expected in (2, 1):
            with counting(proxy, store) as seen:
                assert await store.is_empty("nothing")
            assert methods(seen) == ["GET"] * expected

    async def test_sizes_are_one_request_a_file(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        # An index page is made for people, and sizes on it are rounded as its server likes.
        await self.fill(make_store, {f"a/{number}": DATA for number in range(20)})
        store = make_store()
        with counting(proxy, store) as seen:
            assert await store.getsize_prefix("a") == 20 * len(DATA)
        assert Counter(methods(seen)) == {"GET": 1, "HEAD": 20}
        store = make_store()
        with counting(proxy, store) as seen:
            level = await level_of(store, "a")
        assert level == {str(number): len(DATA) for number in range(20)}
        assert Counter(methods(seen)) == {"GET": 1, "HEAD": 20}
