"""Faults of WebDAV servers."""

from __future__ import annotations

import asyncio

import pytest
from conformance.support import MakeStore, buf, listed, put, read
from proxied import OnApache, OnRclone
from servers.fault_proxy import Fault, FaultProxy, the_first

from fsspec_store.limiter import limiter_for

from . import Protocol, WriteFaultConformance


class WebDAVRules(WriteFaultConformance):
    @pytest.mark.parametrize("fault", [Fault.LOST, Fault.DELAYED])
    async def test_a_lock_whose_response_was_lost_expires_soon(
        self, make_store: MakeStore, proxy: FaultProxy, fault: Fault
    ) -> None:
        store = make_store(timeout=1)
        proxy.plan = the_first(1, fault, method="LOCK")
        with proxy.watching() as seen:
            await store.set_if_not_exists("a/b", buf(b"value"))
        assert [each.fault for each in seen].count(fault) == 1
        assert {each.status for each in seen if each.method == "LOCK"} >= {None, 423}
        assert await read(store, "a/b") == b"value"
        await store.delete_dir("a")
        assert await listed(store.list()) == []


class TestApache(OnApache, WebDAVRules):
    protocol = Protocol(deletes_by="DELETE")


class TestRclone(OnRclone, WebDAVRules):
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
