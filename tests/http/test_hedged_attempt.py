from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fsspec_store._http.body_memory import MemoryInUseError, body_memory
from fsspec_store._http.hedging import HEAD, WHOLE
from fsspec_store._http.limiter import Limiter, limiter_for
from fsspec_store._http.messages import LargeBody, Response
from fsspec_store._http.retrier import Retrier, Slot
from fsspec_store._http.retry_policy import TRANSIENT, RetryDecision, RetryPolicy
from fsspec_store._http.stats import Stats

_services = itertools.count()


class Transient(Exception):
    pass


class Throttled(Exception):
    pass


def classify(error: Exception) -> RetryDecision | None:
    decisions = {Transient: TRANSIENT, Throttled: RetryDecision(throttled=True, after=0.0)}
    return decisions.get(type(error))


class Requests:
    """An attempt whose calls end when the test sets their responses."""

    def __init__(self) -> None:
        self.sent: list[asyncio.Future[Any]] = []
        self._changed = asyncio.Event()

    async def __call__(self) -> Any:
        response = asyncio.get_running_loop().create_future()
        self.sent.append(response)
        self._changed.set()
        return await response

    async def wait(self, count: int) -> list[asyncio.Future[Any]]:
        """The requests, when there are this many."""
        while len(self.sent) < count:
            self._changed.clear()
            await self._changed.wait()
        return self.sent


class Service:
    """A retrier that has observed enough fast reads, and saved hedges."""

    def __init__(self, hedge: float) -> None:
        self.stats = Stats()
        name = f"hedged {next(_services)}"
        self.limiter: Limiter = limiter_for(name)
        self.retrier = Retrier(name, RetryPolicy(5, 3), classify, self.stats, hedge=hedge)

    async def warm(self, reads: int = 100) -> None:
        async def attempt() -> None:
            pass

        for _ in range(reads):
            await self.retrier.send(attempt, read=HEAD)

    def send(self, attempt: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
        return asyncio.create_task(self.retrier.send(attempt, read=HEAD))


@asynccontextmanager
async def warm_service(hedge: float = 1.0) -> AsyncIterator[Service]:
    service = Service(hedge)
    await service.warm()
    service.stats.requests = 0
    yield service
    # Cancelled hedges end in the next rounds of the loop.
    for _ in range(3):
        await asyncio.sleep(0)
    assert service.limiter.in_flight == 0


@asynccontextmanager
async def hedged_read() -> AsyncIterator[
    tuple[Service, asyncio.Task[Any], asyncio.Future[Any], asyncio.Future[Any]]
]:
    """A service, a slow read of it, the first request of the read, and its hedge."""
    async with warm_service() as service:
        requests = Requests()
        read = service.send(requests)
        first, hedge = await requests.wait(2)
        yield service, read, first, hedge


async def test_the_hedge_of_a_slow_read_is_its_result() -> None:
    async with hedged_read() as (service, read, first, hedge):
        assert service.limiter.in_flight == 2
        hedge.set_result("hedge")
        assert await read == "hedge"
        assert first.cancelled()
        assert service.stats == Stats(requests=2, hedges=1, hedges_won=1)


async def test_the_first_response_cancels_the_hedge() -> None:
    async with hedged_read() as (service, read, first, hedge):
        first.set_result("first")
        assert await read == "first"
        await asyncio.sleep(0)
        assert hedge.cancelled()
        assert service.stats == Stats(requests=2, hedges=1)


@pytest.mark.parametrize("winner", [0, 1])
async def test_one_result_of_two_at_the_same_time(winner: int) -> None:
    async with warm_service() as service:
        requests = Requests()
        read = service.send(requests)
        await requests.wait(2)
        for number in (winner, 1 - winner):
            requests.sent[number].set_result(number)
        assert await read in (0, 1)


async def test_fast_reads_are_not_hedged() -> None:
    async with warm_service() as service:
        await service.warm(100)
        assert service.stats == Stats(requests=100)


async def test_the_hedge_is_awaited_when_the_first_request_fails() -> None:
    async with hedged_read() as (service, read, first, hedge):
        first.set_exception(Transient())
        await asyncio.sleep(0)
        assert not read.done()
        hedge.set_result("hedge")
        assert await read == "hedge"
        assert service.stats == Stats(requests=2, hedges=1, hedges_won=1)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_two_failures_are_one_retry(order: tuple[int, int]) -> None:
    async with warm_service() as service:
        requests = Requests()
        read = service.send(requests)
        await requests.wait(2)
        for number in order:
            requests.sent[number].set_exception(Transient())
            await asyncio.sleep(0)
        (await requests.wait(3))[2].set_result("retry")
        assert await read == "retry"
        assert service.stats == Stats(requests=3, retries=1, hedges=1)


async def test_a_permanent_failure_of_the_first_request_cancels_the_hedge() -> None:
    async with hedged_read() as (_, read, first, hedge):
        first.set_exception(KeyError("missing"))
        with pytest.raises(KeyError, match="missing"):
            await read
        await asyncio.sleep(0)
        assert hedge.cancelled()


@pytest.mark.parametrize("error", [Transient(), KeyError(), Throttled()], ids=repr)
async def test_the_failure_of_a_hedge_is_not_that_of_the_read(error: Exception) -> None:
    async with warm_service() as service:
        requests = Requests()
        read = service.send(requests)
        first, hedge = await requests.wait(2)
        limit = service.limiter.limit
        hedge.set_exception(error)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not read.done()
        is_throttled = isinstance(error, Throttled)
        assert service.stats.throttled == is_throttled
        assert service.limiter.limit == (limit / 2 if is_throttled else limit)
        first.set_result("first")
        assert await read == "first"
        assert len(requests.sent) == 2
        assert service.stats.retries == 0


async def test_throttling_cancels_the_hedge_and_stops_further_ones() -> None:
    async with warm_service() as service:
        requests = Requests()
        read = service.send(requests)
        first, hedge = await requests.wait(2)
        first.set_exception(Throttled())
        retry = (await requests.wait(3))[2]
        assert hedge.cancelled()
        retry.set_result("retry")
        assert await read == "retry"
        assert service.stats == Stats(requests=3, retries=1, throttled=1, hedges=1)
        requests = Requests()
        read = service.send(requests)
        await requests.wait(1)
        # Three times the delay of a hedge.
        _, pending = await asyncio.wait([read], timeout=0.03)
        assert pending
        assert len(requests.sent) == 1
        requests.sent[0].set_result("alone")
        assert await read == "alone"


async def test_a_cancelled_read_cancels_both_requests() -> None:
    async with hedged_read() as (_, read, first, hedge):
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read
        await asyncio.sleep(0)
        assert first.cancelled()
        assert hedge.cancelled()


async def test_a_cancelled_read_whose_first_request_has_failed() -> None:
    async with hedged_read() as (_, read, first, hedge):
        first.set_exception(Transient())
        await asyncio.sleep(0)
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read
        assert hedge.cancelled()


async def test_a_hedge_waits_for_a_free_permit() -> None:
    async with warm_service() as service:
        requests = Requests()
        read = service.send(requests)
        await requests.wait(1)
        held = [await service.limiter.acquire() for _ in range(15)]
        _, pending = await asyncio.wait([read], timeout=0.03)
        assert pending
        assert service.stats == Stats(requests=1)
        service.limiter.release(held.pop())
        (await requests.wait(2))[1].set_result("hedge")
        assert await read == "hedge"
        for permit in held:
            service.limiter.release(permit)


async def test_an_outage_is_not_hedged() -> None:
    async with warm_service() as service:
        requests = Requests()
        reads = [service.send(requests) for _ in range(8)]
        await requests.wait(13)
        _, pending = await asyncio.wait(reads, timeout=0.05)
        assert len(pending) == 8
        # All 8 are slow; the first hedges were sent before that could be known.
        assert service.stats.hedges == 5
        for request in requests.sent:
            request.set_result("late")
        assert await asyncio.gather(*reads) == ["late"] * 8
        requests = Requests()
        reads = [service.send(requests) for _ in range(8)]
        await requests.wait(8)
        await asyncio.wait(reads, timeout=0.05)
        assert len(requests.sent) == 8
        for request in requests.sent:
            request.set_result("late")
        await asyncio.gather(*reads)


async def test_no_hedge_without_the_option_or_of_other_requests() -> None:
    async with warm_service(hedge=0.0) as service:
        requests = Requests()
        read = service.send(requests)
        await asyncio.wait([read], timeout=0.03)
        assert len(requests.sent) == 1
        requests.sent[0].set_result("first")
        await read
    async with warm_service() as service:
        requests = Requests()
        write = asyncio.create_task(service.retrier.send(requests))
        await asyncio.wait([write], timeout=0.03)
        assert len(requests.sent) == 1
        requests.sent[0].set_result("first")
        await write


class Stream:
    """A body that is not read."""

    is_open = True

    async def read_into(self, sink: memoryview) -> None:
        raise AssertionError

    def close(self) -> None:
        self.is_open = False


async def test_the_unread_body_of_the_hedge_is_closed_unless_it_is_the_result() -> None:
    async with warm_service() as service:
        requests = Requests()
        first, hedge = streams = [Stream(), Stream()]

        async def read() -> Response[Any]:
            with Slot(service.retrier) as slot:
                slot.read = HEAD
                response: Response[Any] = await slot.send(requests)
                # The next request of the slot is not a read of its own memory.
                assert slot.read is None
                return response

        reading = asyncio.create_task(read())
        await requests.wait(2)
        # Both arrive before the loop could cancel one of them.
        for number in (1, 0):
            requests.sent[number].set_result(Response(200, {}, LargeBody(streams[number], 10**8)))
        assert (await reading).body.stream is first
        await asyncio.sleep(0)
        assert (first.is_open, hedge.is_open) == (True, False)


async def test_a_read_and_its_hedge_share_the_reserved_memory() -> None:
    async with warm_service() as service:
        requests = Requests()
        size = 2**20
        with Slot(service.retrier) as slot:
            slot.read = HEAD
            reading = asyncio.create_task(slot.send(requests))
            first, hedge = await requests.wait(2)
            slot.reserve(size)
            slot.reserve(size)
            assert body_memory.reserved == size
            hedge.set_result("hedge")
            assert await reading == "hedge"
            assert body_memory.reserved == size
        assert body_memory.reserved == 0
        # The head of a response to the cancelled request arrives.
        with pytest.raises(MemoryInUseError):
            slot.reserve(size)
        assert body_memory.reserved == 0
        assert first.cancelled()


async def test_a_hedge_without_memory_is_not_the_result() -> None:
    async with warm_service() as service:
        requests = Requests()
        bound = service.retrier.memory_bytes
        held = await body_memory.acquire(bound, bound)
        with Slot(service.retrier) as slot:
            slot.read = HEAD
            reading = asyncio.create_task(slot.send(requests))
            first, hedge = await requests.wait(2)
            with pytest.raises(MemoryInUseError) as error:
                slot.reserve(2**20)
            hedge.set_exception(error.value)
            await asyncio.sleep(0)
            body_memory.release(held)
            slot.reserve(2**20)
            first.set_result("first")
            assert await reading == "first"

            async def attempt() -> int:
                return body_memory.reserved

            # The next request of the slot does not reserve memory once more.
            assert await slot.send(attempt) == 2**20
        assert body_memory.reserved == 0


async def test_large_bodies_are_observed_by_their_size() -> None:
    async with warm_service() as service:
        body = LargeBody(Stream(), 10**8)

        async def attempt() -> Response[LargeBody]:
            return Response(200, {}, body)

        for _ in range(60):
            await service.retrier.send(attempt, read=WHOLE)
        requests = Requests()
        read = asyncio.create_task(service.retrier.send(requests, read=WHOLE))
        first, hedge = await requests.wait(2)
        hedge.set_result(Response(200, {}, b"small"))
        assert (await read).body == b"small"
        assert first.cancelled()
