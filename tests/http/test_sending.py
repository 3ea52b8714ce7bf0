from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from fsspec_store._http.limiter import limiter_for
from fsspec_store._http.retrier import NoPermitError, Sender, Stats
from fsspec_store._http.retry_policy import EXPIRED, TRANSIENT, RetryDecision, RetryPolicy

_services = itertools.count()


class Passing(Exception):
    pass


class Throttling(Exception):
    pass


class Expired(Exception):
    pass


def judge(error: Exception) -> RetryDecision | None:
    verdicts = {
        Passing: TRANSIENT,
        Throttling: RetryDecision(throttled=True, after=0.0),
        Expired: EXPIRED,
    }
    return verdicts.get(type(error))


@pytest.fixture
def service() -> str:
    return f"test {next(_services)}"


@pytest.fixture
def make_sender(service: str) -> Callable[..., tuple[Sender, Stats]]:
    def make(retries: int = 3) -> tuple[Sender, Stats]:
        stats = Stats()
        return Sender(service, RetryPolicy(5, retries), judge, stats), stats

    return make


def failing(*errors: Exception) -> Callable[[], object]:
    """An attempt that raises each error in turn, then answers."""
    waiting = list(errors)

    async def attempt() -> str:
        if waiting:
            raise waiting.pop(0)
        return "answer"

    return attempt


async def test_what_fails_in_passing_is_sent_again(make_sender: Callable[..., tuple]) -> None:
    sender, stats = make_sender()
    assert await sender.send(failing(Passing(), Passing())) == "answer"
    assert stats == Stats(requests=3, retries=2)


async def test_what_fails_for_good_is_sent_once(make_sender: Callable[..., tuple]) -> None:
    sender, stats = make_sender()
    error = KeyError("lasting")
    with pytest.raises(KeyError) as caught:
        await sender.send(failing(error))
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert stats == Stats(requests=1)


async def test_the_last_error_says_how_often_it_was_tried(
    make_sender: Callable[..., tuple],
) -> None:
    sender, stats = make_sender(retries=2)
    last = Passing("third")
    with pytest.raises(Passing, match="third") as caught:
        await sender.send(failing(Passing("first"), Passing("second"), last))
    assert caught.value.__notes__[0].startswith("tried 3 times in ")
    assert stats == Stats(requests=3, retries=2)


async def test_a_service_that_complains_gets_fewer_requests(
    make_sender: Callable[..., tuple], service: str
) -> None:
    sender, stats = make_sender()
    assert limiter_for(service).limit == 16
    assert await sender.send(failing(Throttling())) == "answer"
    assert limiter_for(service).limit == 8
    assert stats == Stats(requests=2, retries=1, throttled=1)
    assert limiter_for(service).in_flight == 0


async def test_expired_credentials_are_renewed_once(make_sender: Callable[..., tuple]) -> None:
    sender, stats = make_sender(retries=0)
    renewed = []

    async def renew() -> None:
        renewed.append(1)

    assert await sender.send(failing(Expired()), renew=renew) == "answer"
    assert renewed == [1]
    with pytest.raises(Expired):
        await sender.send(failing(Expired(), Expired()), renew=renew)
    assert renewed == [1, 1]
    with pytest.raises(Expired):
        await sender.send(failing(Expired()))
    assert stats.requests == 5


async def test_waiting_for_others_is_not_waiting_for_the_service(service: str) -> None:
    stats = Stats()
    sender = Sender(service, RetryPolicy(0.05, 3), judge, stats)
    limiter = limiter_for(service)
    held = [await limiter.acquire() for _ in range(16)]
    sending = asyncio.create_task(sender.send(failing(Passing())))
    # Longer than anybody may be retried.
    await asyncio.sleep(0.2)
    for permit in held:
        limiter.release(permit)
    assert await sending == "answer"
    assert stats == Stats(requests=2, retries=1)


# -- Slots -------------------------------------------------------------------------------------


async def test_a_slot_is_held_until_its_block_is_left(
    make_sender: Callable[..., tuple], service: str
) -> None:
    sender, stats = make_sender()
    limiter = limiter_for(service)
    with sender.slot() as slot:
        assert limiter.in_flight == 0
        assert await slot.send(failing(Passing())) == "answer"
        assert limiter.in_flight == 1
        # One permit, however many requests follow each other.
        assert await slot.send(failing(Passing(), Throttling())) == "answer"
        assert limiter.in_flight == 1
    assert limiter.in_flight == 0
    assert stats == Stats(requests=5, retries=3, throttled=1)
    with pytest.raises(KeyError), sender.slot() as slot:
        await slot.send(failing(KeyError()))
    assert limiter.in_flight == 0


async def test_a_cancelled_read_gives_its_slot_back(
    make_sender: Callable[..., tuple], service: str
) -> None:
    sender, _ = make_sender()
    reading = asyncio.Event()

    async def read() -> None:
        with sender.slot() as slot:
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


async def test_a_spare_slot_never_waits(make_sender: Callable[..., tuple], service: str) -> None:
    sender, _ = make_sender()
    limiter = limiter_for(service)
    with sender.slot() as slot:
        await slot.send(failing())
        spare = slot.spare()
        assert spare is not None
        with spare:
            assert limiter.in_flight == 2
            assert await spare.send(failing(Passing())) == "answer"
            others = [await limiter.acquire() for _ in range(14)]
            assert slot.spare() is None

            async def attempt() -> None:
                # Somebody else takes its place as soon as it is free.
                waiting.append(asyncio.create_task(limiter.acquire()))
                await asyncio.sleep(0)
                raise Passing

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
