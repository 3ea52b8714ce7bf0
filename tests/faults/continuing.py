"""Rules of copies in parts that are interrupted: the next one continues with the stored parts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import pytest
from conformance.support import MakeStore, collect, content, listed, put, read
from servers.fault_proxy import Fault, FaultProxy, Seen, no_faults

from fsspec_store import FsspecStore
from fsspec_store.errors import BackendError

from .protocol import Rules, always

PARTS = 6


class ContinuingRules(Rules):
    """Rules of services that store a value from its parts.

    On a service without ``upload_lost`` a copy begins again.
    """

    @pytest.fixture
    async def source(self) -> FsspecStore:
        part_bytes = self.protocol.part_bytes
        store = FsspecStore.from_url(f"memory://{uuid4()}", part_bytes=part_bytes)
        await put(store, "a", data=content(PARTS * part_bytes - 1))
        return store

    def make(self, make_store: MakeStore) -> FsspecStore:
        return make_store(part_bytes=self.protocol.part_bytes, retries=0)

    def sent(self, seen: Sequence[Seen]) -> int:
        """Number of requests with a part that were responded to; the last part is one byte less."""
        sizes = (self.protocol.part_bytes, self.protocol.part_bytes - 1)
        return sum(
            each.method == "PUT"
            and each.status is not None
            and int(each.headers["content-length"]) in sizes
            for each in seen
        )

    async def interrupt(self, store: FsspecStore, source: FsspecStore, proxy: FaultProxy) -> int:
        """A copy that fails after some parts; return their number."""
        left = iter(range(3))

        def plan(method: str, target: str, headers: Mapping[str, str]) -> Any:
            return Fault.RESET if method == "PUT" and next(left, None) is None else None

        proxy.plan = plan
        with proxy.watching() as seen, pytest.raises(BackendError, match="'a'"):
            await store.copy_from(source, "a")
        # A part that was on its way to the proxy meets the fault too.
        assert await listed(store.list()) == []
        proxy.plan = no_faults
        return self.sent(seen)

    async def test_only_the_missing_parts_are_sent(
        self, make_store: MakeStore, proxy: FaultProxy, source: FsspecStore
    ) -> None:
        store = self.make(make_store)
        stored = await self.interrupt(store, source, proxy)
        with proxy.watching() as seen:
            await store.copy_from(source, "a")
        assert 1 <= stored <= 3
        if self.protocol.upload_lost is None:
            assert self.sent(seen) == PARTS
        else:
            # The service may have stored parts of which the interrupted copy saw no response.
            assert self.sent(seen) <= PARTS - stored
        assert await read(store, "a") == await read(source, "a")
        assert await collect(store.list_leftovers()) == []

    @pytest.mark.parametrize("change", ["other bytes", "smaller", "larger"])
    async def test_parts_of_another_value_are_not_used(
        self, make_store: MakeStore, proxy: FaultProxy, source: FsspecStore, change: str
    ) -> None:
        store, part_bytes = self.make(make_store), self.protocol.part_bytes
        await self.interrupt(store, source, proxy)
        data = content(PARTS * part_bytes - 1)
        if change == "other bytes":
            data = data[:part_bytes] + data[part_bytes:][::-1]
        elif change == "smaller":
            data = data[: part_bytes + 1]
        else:
            data = b"more" + data
        await put(source, "a", data=data)
        await store.copy_from(source, "a")
        assert await read(store, "a") == data

    async def test_copies_to_one_key_at_the_same_time(
        self, make_store: MakeStore, proxy: FaultProxy, source: FsspecStore
    ) -> None:
        store = self.make(make_store)
        data = content(PARTS * self.protocol.part_bytes - 1)
        for other in (data, data[::-1]):
            await self.interrupt(store, source, proxy)
            await put(source, "b", data=other)
            await asyncio.gather(store.copy_from(source, "a"), store.copy_from(source, "b", "a"))
            assert await read(store, "a") in (data, other)
            await store.delete("a")

    async def test_an_upload_that_another_writer_ended_is_begun_again(
        self, make_store: MakeStore, proxy: FaultProxy, source: FsspecStore
    ) -> None:
        lost = self.protocol.upload_lost
        if lost is None:
            return
        store = self.make(make_store)
        await self.interrupt(store, source, proxy)
        proxy.plan = self.commit(lost)
        await store.copy_from(source, "a")
        assert await read(store, "a") == await read(source, "a")

    async def test_a_continued_copy_whose_last_response_was_lost_succeeds(
        self, make_store: MakeStore, proxy: FaultProxy, source: FsspecStore
    ) -> None:
        await self.interrupt(self.make(make_store), source, proxy)
        store = make_store(part_bytes=self.protocol.part_bytes)
        proxy.plan = self.commit(Fault.LOST)
        with proxy.watching() as seen:
            await store.copy_from(source, "a")
        assert [each.fault for each in seen].count(Fault.LOST) == 1
        assert self.sent(seen) < PARTS or self.protocol.upload_lost is None
        assert await read(store, "a") == await read(source, "a")

    @pytest.mark.parametrize("status", [403, 501])
    async def test_a_service_that_lists_no_uploads(
        self, make_store: MakeStore, proxy: FaultProxy, source: FsspecStore, status: int
    ) -> None:
        store = self.make(make_store)
        unlisted = always(self.protocol.error(status))
        proxy.plan = lambda method, target, headers: (
            unlisted(method, target, headers) if method == "GET" else None
        )
        await store.copy_from(source, "a")
        proxy.plan = no_faults
        assert await read(store, "a") == await read(source, "a")
