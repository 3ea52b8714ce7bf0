"""The queue for the memory of values: bounds, order and wake-ups."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store._http.body_memory import BodyMemory, Reservation, body_memory, default_bound
from fsspec_store._http.http1.buffer_pool import memory_limit

BOUND = 10


@pytest.fixture(autouse=True)
def nothing_reserved() -> Iterator[None]:
    yield
    assert body_memory.reserved == 0


def test_the_default_is_at_most_an_eighth_of_the_memory() -> None:
    assert default_bound() == min(512 * 2**20, memory_limit() // 8)


async def test_a_reservation_that_does_not_fit_waits() -> None:
    memory = BodyMemory()
    loop = asyncio.get_running_loop()
    first = memory.try_acquire(6, BOUND, loop)
    assert first is not None
    assert memory.try_acquire(5, BOUND, loop) is None
    second = memory.try_acquire(4, BOUND, loop)
    assert second is not None
    assert memory.reserved == BOUND
    memory.release(first)
    memory.release(second)
    assert memory.reserved == 0


async def test_a_value_above_the_bound_is_alone() -> None:
    memory = BodyMemory()
    small = await memory.acquire(1, BOUND)
    large = asyncio.create_task(memory.acquire(100, BOUND))
    await asyncio.sleep(0)
    # It would fit, but comes later.
    assert memory.try_acquire(1, BOUND, asyncio.get_running_loop()) is None
    memory.release(small)
    alone = await large
    assert memory.reserved == 100
    assert memory.try_acquire(1, BOUND, asyncio.get_running_loop()) is None
    memory.release(alone)


async def test_the_next_is_granted_when_the_first_of_the_queue_is_cancelled() -> None:
    memory = BodyMemory()
    held = await memory.acquire(6, BOUND)
    large = asyncio.create_task(memory.acquire(8, BOUND))
    small = asyncio.create_task(memory.acquire(4, BOUND))
    await asyncio.sleep(0)
    large.cancel()
    memory.release(await asyncio.wait_for(small, 10))
    memory.release(held)
    assert memory.reserved == 0


async def test_bounds_may_differ() -> None:
    memory = BodyMemory()
    held = await memory.acquire(6, BOUND)
    modest = asyncio.create_task(memory.acquire(1, 6))
    await asyncio.sleep(0)
    assert not modest.done()
    memory.release(held)
    memory.release(await modest)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("acquire"), st.integers(1, 2 * BOUND)),
        st.tuples(st.just("release"), st.integers(0, 20)),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
    ),
    max_size=40,
)


@given(STEPS)
async def test_no_wake_up_is_lost_and_the_order_is_kept(steps: list[tuple[str, int]]) -> None:
    memory = BodyMemory()
    waiting: list[tuple[int, asyncio.Task[Reservation]]] = []
    held: list[Reservation] = []

    async def settle() -> None:
        for _ in range(4):
            await asyncio.sleep(0)
        # Granted ones precede all that wait.
        while waiting and waiting[0][1].done():
            _, task = waiting.pop(0)
            if not task.cancelled():
                held.append(task.result())
        assert not any(task.done() for _, task in waiting)
        sizes = [each.size for each in held]
        assert memory.reserved == sum(sizes)
        assert sum(sizes) <= BOUND or len(sizes) == 1
        if waiting:
            assert sizes
            assert sum(sizes) + waiting[0][0] > BOUND

    for name, number in steps:
        if name == "acquire":
            task = asyncio.create_task(memory.acquire(number, BOUND))
            waiting.append((number, task))
        elif name == "release" and held:
            memory.release(held.pop(number % len(held)))
        elif name == "cancel" and waiting:
            _, task = waiting.pop(number % len(waiting))
            task.cancel()
        await settle()
    while held or waiting:
        memory.release(held.pop())
        await settle()
    assert memory.reserved == 0


def test_loops_in_threads_share_the_memory() -> None:
    memory = BodyMemory()
    most: list[int] = []

    async def work(size: int) -> None:
        reservation = await memory.acquire(size, BOUND)
        most.append(memory.reserved)
        await asyncio.sleep(0)
        memory.release(reservation)

    async def many() -> None:
        await asyncio.gather(*(work(size % BOUND + 1) for size in range(200)))

    threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(most) == 800
    assert max(most) <= BOUND
    assert memory.reserved == 0


def test_a_stopped_loop_keeps_no_memory() -> None:
    memory = BodyMemory()
    loop = asyncio.new_event_loop()
    left = loop.run_until_complete(memory.acquire(BOUND, BOUND))

    async def on_another_loop() -> None:
        memory.release(await asyncio.wait_for(memory.acquire(1, BOUND), 10))

    asyncio.run(on_another_loop())
    memory.release(left)
    loop.close()
    assert memory.reserved == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_all_of_the_memory() -> None:
    async def acquire() -> Reservation:
        return await body_memory.acquire(BOUND, BOUND)

    held = asyncio.run(acquire())
    pid = os.fork()
    if pid == 0:
        os._exit(body_memory.reserved)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert body_memory.reserved == BOUND
    body_memory.release(held)
