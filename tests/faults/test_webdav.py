"""Faults of WebDAV servers."""

from __future__ import annotations

import asyncio

import pytest
from conformance.support import MakeStore, buf, listed, put, read
from proxied import OnApache, OnRclone, OnWsgidav
from servers.fault_proxy import Answer, Fault, FaultProxy, the_first

from fsspec_store.errors import AccessDeniedError
from fsspec_store.limiter import limiter_for

from . import Protocol, WriteFaultConformance


class LockRules:
    """Rules of creations, which hold a lock."""

    @pytest.mark.parametrize("fault", [Fault.LOST, Fault.DELAYED])
    async def test_a_lock_whose_response_was_lost_expires_soon(
        self, make_store: MakeStore, proxy: FaultProxy, fault: Fault
    ) -> None:
        store = make_store(timeout=1)
        proxy.plan = the_first(1, fault, method="LOCK")
        with proxy.watching() as seen:
            await store.set_if_not_exists("a/b", buf(b"value"))
        assert [each.fault for each in seen].count(fault) == 1
        assert await read(store, "a/b") == b"value"

    async def test_a_folder_with_a_locked_file_is_removed_when_the_lock_expires(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        faults = iter([Fault.LOST])
        proxy.plan = lambda method, target, headers: (
            next(faults, Answer(403)) if method == "LOCK" else None
        )
        with pytest.raises(AccessDeniedError):
            await make_store(timeout=1).set_if_not_exists("a/b", buf(b"value"))
        store = make_store()
        await put(store, "a/c")
        await store.delete_dir("a")
        assert await listed(store.list_dir("")) == []


class TestApache(OnApache, LockRules, WriteFaultConformance):
    protocol = Protocol(deletes_by="DELETE")


class TestRclone(OnRclone, LockRules, WriteFaultConformance):
    protocol = Protocol(
        deletes_by="DELETE", commits=lambda method, target, headers: method == "MOVE"
    )

    async def test_a_lost_response_needs_no_second_request_in_flight(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = make_store()
        # As after throttling.
        limiter_for(proxy.url).most = limiter_for(proxy.url).limit = 1
        async with asyncio.timeout(60):
            proxy.plan = self.commit(Fault.LOST)
            await put(store, "a", data=b"a")
            proxy.plan = self.commit(Fault.LOST)
            await store.set_if_not_exists("b", buf(b"b"))
        assert await read(store, "a") + await read(store, "b") == b"ab"


class TestWsgidav(OnWsgidav, LockRules):
    pass
