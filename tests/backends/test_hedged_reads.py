"""Slow reads are requested again, on each service that is reached by HTTP."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar

import pytest
from conformance.support import MakeStore, read
from proxied import OnApache, OnAzurite, OnFakeGCS, OnMinIO, OnNginx
from servers.fault_proxy import Fault, FaultProxy

from fsspec_store import FsspecStore, RangeByteRequest
from fsspec_store._http.body_memory import body_memory
from fsspec_store._http.limiter import _limiters as limiters

T = TypeVar("T")

DATA = bytes(range(256))
RANGE = RangeByteRequest(10, 20)


async def _size(store: FsspecStore, key: str = "key") -> bytes:
    return b"%d" % await store.getsize(key)


async def _whole(store: FsspecStore, key: str = "key") -> bytes | None:
    return await read(store, key)


async def _range(store: FsspecStore, key: str = "key") -> bytes | None:
    return await read(store, key, RANGE)


def of_key(faults: Iterator[Fault]) -> Callable[[str, str, object], Fault | None]:
    """A plan for the requests of the key, in their order."""
    return lambda method, target, headers: next(faults, None) if "key" in target else None


async def beside_others(store: FsspecStore, reading: Awaitable[T]) -> T:
    """Await a read while others succeed: on a busy machine many may have been slow before."""
    task = asyncio.ensure_future(reading)
    while not task.done():
        await read(store, "other")
    return await task


READS = {"whole": (_whole, DATA), "range": (_range, DATA[10:20]), "size": (_size, b"256")}


class HedgedReads:
    """Rules for one service."""

    #: The reads whose requests are hedged.
    reads = tuple(READS)

    fill: Callable[..., Awaitable[None]]

    async def warm_store(self, make_store: MakeStore, **options: Any) -> FsspecStore:
        """A store that has observed enough reads of each kind.

        Of another key: cancelled hedges of these reads may arrive at the proxy later.
        """
        await self.fill(make_store, {"key": DATA, "other": DATA})
        store = make_store(hedge=1.0, **options)
        for name in self.reads:
            get, expected = READS[name]
            for _ in range(6):
                found = await asyncio.gather(*[get(store, "other") for _ in range(10)])
                assert found == [expected] * 10
        return store

    async def test_a_response_that_never_arrives(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = await self.warm_store(make_store)
        for name in self.reads:
            get, expected = READS[name]
            with proxy.watching() as all_seen:
                proxy.plan = of_key(iter([Fault.DELAYED]))
                assert await beside_others(store, get(store)) == expected
            seen = [request for request in all_seen if "key" in request.target]
            assert len(seen) == 2
            assert seen[0].method == seen[1].method
            assert seen[0].target == seen[1].target
            assert seen[0].status is None
        assert store.stats.hedges_won >= len(self.reads)
        # The losers end in the next rounds of the loop.
        await asyncio.sleep(0.01)
        assert [limiter.in_flight for limiter in limiters.values() if limiter.in_flight] == []

    async def test_a_value_whose_memory_is_bounded(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = await self.warm_store(make_store, read_memory_bytes=2**20)
        large = DATA * 2**12
        await self.fill(make_store, {"large key": large})
        proxy.plan = of_key(iter([Fault.DELAYED]))
        assert await beside_others(store, read(store, "large key")) == large
        assert store.stats.hedges_won > 0
        assert body_memory.reserved == 0

    async def test_a_hedge_that_breaks_off(self, make_store: MakeStore, proxy: FaultProxy) -> None:
        store = await self.warm_store(make_store, timeout=2)
        # The first response never arrives, that of the hedge lacks half of its body.
        with proxy.watching() as seen:
            proxy.plan = of_key(iter([Fault.DELAYED, Fault.TRUNCATED]))
            assert await beside_others(store, _whole(store)) == DATA
        faults = [request.fault for request in seen if "key" in request.target]
        # The second attempt may be hedged too.
        assert faults[:2] == [Fault.DELAYED, Fault.TRUNCATED]
        assert set(faults[2:]) == {None}
        assert store.stats.retries == 1

    async def test_a_cancelled_read_leaves_no_request(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = await self.warm_store(make_store)
        hedged = asyncio.Event()
        sent = itertools.count()

        def plan(method: str, target: str, headers: object) -> Fault | None:
            if "key" not in target:
                return None
            if next(sent):
                hedged.set()
            return Fault.DELAYED

        proxy.plan = plan
        reading = asyncio.create_task(_whole(store))
        await beside_others(store, hedged.wait())
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.sleep(0.01)
        assert [limiter.in_flight for limiter in limiters.values() if limiter.in_flight] == []

    async def test_a_few_responses_that_never_arrive(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        await self.fill(make_store, {"key": DATA})
        store = make_store(hedge=True, timeout=20)
        requests = [RangeByteRequest(start % 200, start % 200 + 50) for start in range(400)]
        # Their first request. The others earn hedges.
        late = {f"bytes={start}-{start + 49}" for start in (110, 120, 130)}

        def plan(method: str, target: str, headers: Mapping[str, str]) -> Fault | None:
            found = late & {headers.get("range"), headers.get("x-ms-range")}
            late.difference_update(found)
            return Fault.DELAYED if found else None

        proxy.plan = plan
        ten = asyncio.Semaphore(10)

        async def get(request: RangeByteRequest) -> bool:
            async with ten:
                found = await read(store, "key", request)
                return found == DATA[request.start : request.end]

        with proxy.watching() as seen:
            assert await asyncio.gather(*map(get, requests)) == [True] * 400
        assert not late
        # A hedge may be cancelled while its connection is opened.
        assert 403 <= len(seen) <= 400 + store.stats.hedges + store.stats.retries
        assert store.stats.hedges <= 0.05 * 400


class TestMinIO(OnMinIO, HedgedReads):
    pass


@pytest.mark.slow
class TestMinIOByS3fs(OnMinIO, HedgedReads):
    transport = "library"


@pytest.mark.slow
class TestFakeGCS(OnFakeGCS, HedgedReads):
    pass


@pytest.mark.slow
class TestAzurite(OnAzurite, HedgedReads):
    pass


@pytest.mark.slow
class TestNginx(OnNginx, HedgedReads):
    pass


class TestApache(OnApache, HedgedReads):
    # Sizes are PROPFIND requests.
    reads = ("whole", "range")
