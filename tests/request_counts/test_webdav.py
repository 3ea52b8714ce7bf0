"""Requests to a WebDAV server, which lists a folder at a time."""

from __future__ import annotations

from typing import ClassVar

from conformance.support import MakeStore, buf, listed
from proxied import OnApache, OnRclone
from servers.fault_proxy import FaultProxy

from .counting import counting, methods
from .rules import DATA, ReadingRules


class WebDAVRules(ReadingRules):
    #: Whether the server itself writes to a temporary file and renames it.
    writes_at_once: ClassVar[bool]

    async def test_writing(self, make_store: MakeStore, proxy: FaultProxy) -> None:
        await self.fill(make_store, {"a/b": DATA})
        store = make_store()
        at_once = self.writes_at_once
        with counting(proxy, store) as seen:
            await store.set("a/c", buf(DATA))
        assert methods(seen) == ["OPTIONS", "PUT"] + ([] if at_once else ["MOVE"])
        with counting(proxy, store) as seen:
            await store.set("a/d", buf(DATA))
        assert methods(seen) == (["PUT"] if at_once else ["PUT", "MOVE"])
        with counting(proxy, store) as seen:
            await store.set("a/d", buf(DATA))
        assert methods(seen) == (["PUT"] if at_once else ["PUT", "MOVE", "PROPFIND", "MOVE"])
        with counting(proxy, store) as seen:
            await store.set_if_not_exists("a/e", buf(DATA))
        assert methods(seen) == ["PROPFIND", "PUT", "LOCK", "MOVE", "DELETE", "UNLOCK"]
        with counting(proxy, store) as seen:
            await store.set_if_not_exists("a/e", buf(b"other"))
        assert methods(seen) == ["PROPFIND"]

    async def test_deleting(self, make_store: MakeStore, proxy: FaultProxy) -> None:
        await self.fill(make_store, {f"a/b/{number}": DATA for number in range(20)})
        store = make_store()
        with counting(proxy, store) as seen:
            await store.delete("a/b/0")
        assert methods(seen) == ["PROPFIND", "DELETE"]
        with counting(proxy, store) as seen:
            await store.delete("a/b/0")
        assert methods(seen) == ["PROPFIND"]
        with counting(proxy, store) as seen:
            await store.delete_dir("a/b")
        assert methods(seen) == ["PROPFIND", "DELETE"]
        assert await listed(store.list()) == []

    async def test_a_listing_is_one_request_a_folder(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        keys = [f"{folder}/{name}" for folder in ("a", "a/b", "c") for name in range(20)]
        await self.fill(make_store, dict.fromkeys(keys, DATA))
        store = make_store()
        with counting(proxy, store) as seen:
            assert await listed(store.list()) == sorted(keys)
        assert methods(seen) == ["PROPFIND"] * 4
        with counting(proxy, store) as seen:
            assert await store.getsize_prefix("a/b") == 20 * len(DATA)
        assert methods(seen) == ["PROPFIND"]


class TestApache(OnApache, WebDAVRules):
    writes_at_once = True


class TestRclone(OnRclone, WebDAVRules):
    writes_at_once = False
