from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from fsspec_store._http.body_memory import MemoryInUseError, body_memory
from fsspec_store._http.limiter import limiter_for
from fsspec_store._http.retrier import Budget, NoPermitError, Retrier, Slot
from fsspec_store._http.retry_policy import EXPIRED, TRANSIENT, RetryDecision, RetryPolicy
from fsspec_store._http.stats import Stats

_services = itertools.count()
MIB = 2**20


class Transient(Exception):
    pass


class Throttled(Exception):
    pass


class Expired(Exception):
    pass


def classify(error: Exception) -> RetryDecision | None:
    decisions = {
        Transient: TRANSIENT,
        Throttled: RetryDecision(throttled=True, after=0.0),
        Expired: EXPIRED,
    }
    return decisions.get(type(error))


@pytest.fixture
def service() -> str:
    return f"test {next(_services)}"


@pytest.fixture
def make_retrier(service: str) -> Callable[..., tuple[Retrier, Stats]]:
    def make(retries: int = 3) -> tuple[Retrier, Stats]:
        stats = Stats()
        return Retrier(service, RetryPolicy(5, retries), classify, stats), stats

    return make


def failing(*errors: Exception) -> Callable[[], object]:
    """An attempt that raises each error in turn, then succeeds."""
    waiting = list(errors)

    async def attempt() -> str:
        if waiting:
            raise waiting.pop(0)
        return "result"

    return attempt


async def test_transient_failures_are_retried(make_retrier: Callable[..., tuple]) -> None:
    retrier, stats = make_retrier()
    assert await retrier.send(failing(Transient(), Transient())) == "result"
    assert stats == Stats(requests=3, retries=2)


async def test_permanent_failures_are_not_retried(make_retrier: Callable[..., tuple]) -> None:
    retrier, stats = make_retrier()
    error = KeyError("lasting")
    with pytest.raises(KeyError) as caught:
        await retrier.send(failing(error))
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert stats == Stats(requests=1)


async def test_the_last_error_states_the_number_of_attempts(
    make_retrier: Callable[..., tuple],
) -> None:
    retrier, stats = make_retrier(retries=2)
    last = Transient("third")
    with pytest.raises(Transient, match="third") as caught:
        await retrier.send(failing(Transient("first"), Transient("second"), last))
    assert caught.value.__notes__[0].startswith("tried 3 times in ")
    assert stats == Stats(requests=3, retries=2)


async def test_throttling_lowers_the_limit(
    make_retrier: Callable[..., tuple], service: str
) -> None:
    retrier, stats = make_retrier()
    assert limiter_for(service).limit == 16
    assert await retrier.send(failing(Throttled())) == "result"
    assert limiter_for(service).limit == 8
    assert stats == Stats(requests=2, retries=1, throttled=1)
    assert limiter_for(service).in_flight == 0


async def test_expired_credentials_are_refreshed_once(make_retrier: Callable[..., tuple]) -> None:
    retrier, stats = make_retrier(retries=0)
    refreshed = []

    async def refresh() -> None:
        refreshed.append(1)

    assert await retrier.send(failing(Expired()), refresh=refresh) == "result"
    assert refreshed == [1]
    with pytest.raises(Expired):
        await retrier.send(failing(Expired(), Expired()), refresh=refresh)
    assert refreshed == [1, 1]
    with pytest.raises(Expired):
        await retrier.send(failing(Expired()))
    assert stats.requests == 5


async def test_the_wait_for_a_permit_does_not_count(service: str) -> None:
    stats = Stats()
    retrier = Retrier(service, RetryPolicy(0.3, 3), classify, stats)
    limiter = limiter_for(service)
    held = [await limiter.acquire() for _ in range(16)]
    sending = asyncio.create_task(retrier.send(failing(Transient())))
    # Longer than failures may take.
    await asyncio.sleep(0.8)
    for permit in held:
        limiter.release(permit)
    assert await sending == "result"
    assert stats == Stats(requests=2, retries=1)


async def test_the_times_of_successful_attempts_are_summed(
    make_retrier: Callable[..., tuple], service: str
) -> None:
    retrier, stats = make_retrier()
    assert (stats.mean_response_seconds, stats.most_in_flight) == (0.0, 0)
    release = asyncio.Event()

    async def attempt() -> None:
        await release.wait()

    sending = [asyncio.create_task(retrier.send(attempt)) for _ in range(3)]
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(*sending)
    assert stats.most_in_flight == 3
    assert stats.response_seconds > 0
    assert stats.mean_response_seconds == stats.response_seconds / 3
    # Failed attempts have no response.
    before = stats.response_seconds
    with pytest.raises(KeyError):
        await retrier.send(failing(KeyError()))
    assert stats.response_seconds == before


async def test_the_statistics_are_reviewed_once(make_retrier: Callable[..., tuple]) -> None:
    retrier, stats = make_retrier()
    reviewed = []
    stats.review, stats.review_at = reviewed.append, 3
    for _ in range(6):
        await retrier.send(failing())
    assert reviewed == [stats]


# -- Slots -------------------------------------------------------------------------------------


async def test_a_slot_is_held_until_its_block_is_left(
    make_retrier: Callable[..., tuple], service: str
) -> None:
    retrier, stats = make_retrier()
    limiter = limiter_for(service)
    with Slot(retrier) as slot:
        assert limiter.in_flight == 0
        assert await slot.send(failing(Transient())) == "result"
        assert limiter.in_flight == 1
        # One permit, however many requests follow each other.
        assert await slot.send(failing(Transient(), Throttled())) == "result"
        assert limiter.in_flight == 1
    assert limiter.in_flight == 0
    assert stats == Stats(requests=5, retries=3, throttled=1)
    with pytest.raises(KeyError), Slot(retrier) as slot:
        await slot.send(failing(KeyError()))
    assert limiter.in_flight == 0


async def test_all_requests_of_a_slot_share_its_retries(make_retrier: Callable[..., tuple]) -> None:
    retrier, stats = make_retrier(retries=3)
    with Slot(retrier) as slot:
        assert await slot.send(failing(Transient(), Transient())) == "result"
        with pytest.raises(Transient, match="fourth") as caught:
            await slot.send(failing(Transient("third"), Transient("fourth"), Transient("fifth")))
        assert caught.value.__notes__[0].startswith("tried 4 times in ")
    assert stats == Stats(requests=5, retries=3)


async def test_a_spare_slot_shares_the_budget(make_retrier: Callable[..., tuple]) -> None:
    retrier, stats = make_retrier(retries=3)
    with Slot(retrier) as slot:
        for _ in range(3):
            spare = slot.spare()
            assert spare is not None
            with spare:
                assert await spare.send(failing(Transient())) == "result"
        with pytest.raises(Transient):
            await slot.send(failing(Transient()))
    assert stats == Stats(requests=7, retries=3)


async def test_a_body_that_breaks_off_counts_as_a_failure(
    make_retrier: Callable[..., tuple],
) -> None:
    retrier, _ = make_retrier(retries=2)
    with Slot(retrier) as slot:
        assert await slot.send(failing(Transient())) == "result"
        assert slot.body_failed()
        assert not slot.body_failed()


async def test_a_slot_waits_for_memory_without_a_permit(service: str) -> None:
    stats = Stats()
    retrier = Retrier(service, RetryPolicy(5, 0), classify, stats, memory_bytes=MIB)
    limiter = limiter_for(service)

    async def read() -> str:
        with Slot(retrier) as slot:
            return await slot.send(lambda: attempt(slot))

    async def attempt(slot: Slot) -> str:
        slot.reserve(MIB)
        # The same bytes, in a later attempt.
        slot.reserve(MIB)
        return "result"

    held = await body_memory.acquire(1, MIB)
    reading = [asyncio.create_task(read()) for _ in range(3)]
    await asyncio.sleep(0)
    assert stats.requests == 3
    assert limiter.in_flight == 0
    reading[1].cancel()
    body_memory.release(held)
    assert await reading[0] == await reading[2] == "result"
    # Neither a retry nor a failure.
    assert stats == Stats(requests=5)
    assert body_memory.reserved == limiter.in_flight == 0


async def test_a_small_body_needs_no_memory(make_retrier: Callable[..., tuple]) -> None:
    retrier, _ = make_retrier()
    held = await body_memory.acquire(1, 1)
    with Slot(retrier) as slot:

        async def attempt() -> None:
            slot.reserve(MIB // 4 - 1)

        await slot.send(attempt)
    body_memory.release(held)


async def test_memory_is_released_when_a_read_fails(make_retrier: Callable[..., tuple]) -> None:
    retrier, _ = make_retrier()

    async def read() -> None:
        with Slot(retrier) as slot:
            await slot.send(lambda: attempt(slot))

    async def attempt(slot: Slot) -> None:
        slot.reserve(MIB)
        slot.reserve(2 * MIB)
        assert body_memory.reserved == 2 * MIB
        raise KeyError

    with pytest.raises(KeyError):
        await read()
    assert body_memory.reserved == 0


async def test_a_late_response_reserves_nothing(make_retrier: Callable[..., tuple]) -> None:
    retrier, _ = make_retrier()
    with Slot(retrier) as slot:
        await slot.send(failing())
    with pytest.raises(MemoryInUseError):
        slot.reserve(MIB)
    assert body_memory.reserved == 0


async def test_memory_that_another_request_of_the_slot_lacks_is_not_awaited(
    make_retrier: Callable[..., tuple],
) -> None:
    retrier, _ = make_retrier()
    held = await body_memory.acquire(MIB, MIB)

    async def attempt() -> None:
        with pytest.raises(MemoryInUseError):
            slot.reserve(2**40)

    with Slot(retrier) as slot:
        await slot.send(attempt)
        assert await slot.send(failing()) == "result"
    assert body_memory.reserved == MIB
    body_memory.release(held)


async def test_a_value_that_grows_waits_without_its_memory(service: str) -> None:
    retrier = Retrier(service, RetryPolicy(5, 0), classify, Stats(), memory_bytes=3 * MIB)
    held = await body_memory.acquire(MIB, MIB)
    sizes = iter([2 * MIB, 3 * MIB])
    size = 0

    async def attempt() -> None:
        nonlocal size
        slot.reserve(size := next(sizes, size))
        slot.reserve(size := next(sizes, size))

    with Slot(retrier) as slot:
        sending = asyncio.create_task(slot.send(attempt))
        await asyncio.sleep(0)
        assert size == 3 * MIB
        assert body_memory.reserved == MIB
        body_memory.release(held)
        await sending
        assert body_memory.reserved == 3 * MIB
    assert body_memory.reserved == 0


async def test_a_hedge_without_memory_leaves_its_read_what_it_reserves(service: str) -> None:
    retrier = Retrier(service, RetryPolicy(5, 1), classify, Stats(), memory_bytes=2 * MIB)
    held = await body_memory.acquire(2 * MIB, 2 * MIB)
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        if attempts > 1:
            return
        with pytest.raises(MemoryInUseError):
            # By the hedge.
            slot.reserve(2 * MIB)
        body_memory.release(held)
        slot.reserve(2 * MIB)
        raise Transient

    with Slot(retrier) as slot:
        await asyncio.wait_for(slot.send(attempt), 10)
        assert attempts == 2
        assert body_memory.reserved == 2 * MIB
    assert body_memory.reserved == 0
    with pytest.raises(MemoryInUseError):
        # By a hedge that is cancelled after the end of the read.
        slot.reserve(2 * MIB)
    assert body_memory.reserved == 0


async def test_concurrent_requests_share_a_budget(make_retrier: Callable[..., tuple]) -> None:
    retrier, stats = make_retrier(retries=2)
    budget = Budget()
    sent = await asyncio.gather(
        *(retrier.send(failing(Transient()), budget=budget) for _ in range(4)),
        return_exceptions=True,
    )
    assert [type(each) for each in sent] == [str, str, Transient, Transient]
    assert stats == Stats(requests=6, retries=2)


def test_concurrent_time_counts_once() -> None:
    budget = Budget()
    for began, ended, elapsed in (
        (10.0, 12.0, 2.0),
        (11.0, 12.5, 2.5),
        (11.0, 12.0, 2.5),
        (20.0, 21.0, 3.5),
    ):
        budget.count(began, ended)
        assert budget.elapsed == elapsed


async def test_all_requests_of_a_slot_share_its_time(service: str) -> None:
    # The first wait takes more than half of the time that failures may take, 2 * timeout.
    decision = RetryDecision(after=0.15)
    retrier = Retrier(service, RetryPolicy(0.1, 6), lambda error: decision, Stats())
    with Slot(retrier) as slot:
        assert await slot.send(failing(Transient())) == "result"
        with pytest.raises(Transient, match="second"):
            await slot.send(failing(Transient("second"), Transient("third")))


async def test_a_cancelled_read_releases_its_slot(
    make_retrier: Callable[..., tuple], service: str
) -> None:
    retrier, _ = make_retrier()
    reading = asyncio.Event()

    async def read() -> None:
        with Slot(retrier) as slot:
            await slot.send(failing())
            reading.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(read())
    await reading.wait()
    assert limiter_for(service).in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert limiter_for(service).in_flight == 0


async def test_a_spare_slot_never_waits(make_retrier: Callable[..., tuple], service: str) -> None:
    retrier, _ = make_retrier()
    limiter = limiter_for(service)
    with Slot(retrier) as slot:
        await slot.send(failing())
        spare = slot.spare()
        assert spare is not None
        with spare:
            assert limiter.in_flight == 2
            assert await spare.send(failing(Transient())) == "result"
            others = [await limiter.acquire() for _ in range(14)]
            assert slot.spare() is None

            async def attempt() -> None:
                # Another request takes the permit as soon as it is free.
                waiting.append(asyncio.create_task(limiter.acquire()))
                await asyncio.sleep(0)
                raise Transient

            waiting: list[asyncio.Task] = []
            with pytest.raises(NoPermitError):
                await spare.send(attempt)
            others.append(await waiting[0])
        assert limiter.in_flight == 16
        limiter.release(others.pop())
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(2)]
        await asyncio.sleep(0)
        limiter.limit = 17
        # There is room, and a request that waits for it.
        assert slot.spare() is None
        for permit in others:
            limiter.release(permit)
        for task in waiting:
            limiter.release(await task)
    assert limiter.in_flight == 0
