"""Faults of WebDAV servers."""

from __future__ import annotations

import asyncio

from conformance.support import MakeStore, buf, put, read
from proxied import OnApache, OnRclone
from servers.fault_proxy import Fault, FaultProxy

from fsspec_store.limiter import limiter_for

from . import Protocol, WriteFaultConformance


class TestApache(OnApache, WriteFaultConformance):
    protocol = Protocol(deletes_by="DELETE")


class TestRclone(OnRclone, WriteFaultConformance):
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
