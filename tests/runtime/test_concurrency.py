from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any

import pytest

from fsspec_store._runtime.concurrency import for_each, map_unordered, read_ahead


async def test_at_most_limit_run_and_items_are_taken_lazily() -> None:
    running = most = taken = 0
    gate, full = asyncio.Event(), asyncio.Event()

    async def items() -> AsyncIterator[int]:
        nonlocal taken
        for item in range(20):
            taken += 1
            yield item

    async def work(item: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            full.set()
        await gate.wait()
        running -= 1
        return item * item

    async def collect() -> list[int]:
        return [result async for result in map_unordered(work, items(), limit=3)]

    collecting = asyncio.create_task(collect())
    await full.wait()
    assert taken == 3
    gate.set()
    assert sorted(await collecting) == [item * item for item in range(20)]
    assert most == 3


async def test_results_are_in_completion_order() -> None:
    events = [asyncio.Event() for _ in range(3)]

    async def work(item: int) -> int:
        await events[item].wait()
        return item

    results = map_unordered(work, range(3), limit=3)
    for item in (2, 0, 1):
        events[item].set()
        assert await anext(results) == item
    with pytest.raises(StopAsyncIteration):
        await anext(results)


async def test_the_first_failure_cancels_the_rest_and_is_raised_unchanged() -> None:
    cancelled = []

    async def work(item: int) -> None:
        if item == 1:
            raise KeyError(item)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item)
            raise

    with pytest.raises(KeyError):
        await for_each(work, range(100), limit=4)
    assert sorted(cancelled) == [0, 2, 3]


async def test_leaving_early_cancels_the_running_calls() -> None:
    cancelled = []

    async def work(item: int) -> int:
        if item:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(item)
                raise
        return item

    results = map_unordered(work, range(3), limit=3)
    assert await anext(results) == 0
    await results.aclose()
    assert sorted(cancelled) == [1, 2]


async def every_result(work: Any, items: Any, *, limit: int) -> None:
    async for _ in map_unordered(work, items, limit=limit):
        pass


both = pytest.mark.parametrize("run", [for_each, every_result])


async def lazily(items: Iterable[int]) -> AsyncIterator[int]:
    for item in items:
        await asyncio.sleep(0)
        yield item


@both
@pytest.mark.parametrize("limit", [1, 3, 50])
@pytest.mark.parametrize("source", [list, iter, lazily])
@pytest.mark.parametrize("count", [0, 1, 2, 20])
async def test_every_item_is_taken_once_and_at_most_limit_run(
    run: Any, limit: int, source: Any, count: int
) -> None:
    running = most = 0
    seen = []

    async def work(item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(item % 3):
            await asyncio.sleep(0)
        running -= 1
        seen.append(item)

    await run(work, source(range(count)), limit=limit)
    assert sorted(seen) == list(range(count))
    assert most <= limit


@both
async def test_as_many_run_as_the_limit_allows(run: Any) -> None:
    together = asyncio.Barrier(5)

    async def work(item: int) -> None:
        async with asyncio.timeout(10):
            await together.wait()

    await run(work, range(20), limit=5)
    await run(work, lazily(range(20)), limit=5)
    assert together.n_waiting == 0


@both
async def test_items_are_taken_only_when_there_is_room(run: Any) -> None:
    taken: list[int] = []
    gate = asyncio.Event()

    def items() -> Iterable[int]:
        for item in range(10):
            taken.append(item)
            yield item

    async def work(item: int) -> None:
        await gate.wait()

    task = asyncio.create_task(run(work, items(), limit=4))
    # Turns of the loop in which more could be taken.
    for _ in range(50):
        await asyncio.sleep(0)
    assert taken == [0, 1, 2, 3]
    gate.set()
    await task
    assert taken == list(range(10))


async def test_results_that_are_not_taken_count_against_the_limit() -> None:
    begun = []

    async def work(item: int) -> int:
        begun.append(item)
        return item

    results = map_unordered(work, iter(range(10)), limit=3)
    assert await anext(results) == 0
    for _ in range(50):
        await asyncio.sleep(0)
    assert begun == [0, 1, 2]
    assert [item async for item in results] == list(range(1, 10))


@both
async def test_a_source_that_fails_cancels_the_running_calls(run: Any) -> None:
    cancelled = []
    both_run = asyncio.Event()

    async def items() -> AsyncIterator[int]:
        yield 0
        yield 1
        await both_run.wait()
        raise KeyError("page")

    async def work(item: int) -> None:
        if item == 1:
            both_run.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item)
            raise

    with pytest.raises(KeyError, match="page"):
        await run(work, items(), limit=5)
    assert sorted(cancelled) == [0, 1]


@both
async def test_cancelling_the_caller_cancels_the_running_calls(run: Any) -> None:
    running: set[int] = set()
    full = asyncio.Event()

    async def work(item: int) -> None:
        running.add(item)
        if len(running) == 3:
            full.set()
        try:
            await asyncio.Event().wait()
        finally:
            running.remove(item)

    task = asyncio.create_task(run(work, range(10), limit=3))
    await full.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not running


async def test_a_failure_is_raised_while_the_source_waits() -> None:
    closed = False

    async def items() -> AsyncIterator[int]:
        nonlocal closed
        yield 0
        try:
            await asyncio.Event().wait()
        finally:
            closed = True

    async def work(item: int) -> None:
        raise KeyError(item)

    with pytest.raises(KeyError):
        async with asyncio.timeout(10):
            await for_each(work, items(), limit=3)
    assert closed


async def test_functions_that_never_wait_yield_to_the_loop() -> None:
    seen = []
    begun = asyncio.Event()

    async def work(item: int) -> None:
        seen.append(item)
        begun.set()

    task = asyncio.create_task(for_each(work, range(10_000), limit=8))
    await begun.wait()
    assert len(seen) < 10_000
    await task
    assert len(seen) == 10_000


async def test_items_are_produced_a_bounded_number_ahead() -> None:
    produced: list[int] = []

    async def produce(put: Callable[[int], Awaitable[None]]) -> None:
        for item in range(100):
            await put(item)
            produced.append(item)

    taken = []
    async with aclosing(read_ahead(produce, most=10)) as items:
        async for item in items:
            taken.append(item)
            for _ in range(30):
                await asyncio.sleep(0)
            assert len(produced) == min(len(taken) + 10, 100)
    assert taken == list(range(100))


async def test_the_error_of_a_producer_follows_its_items() -> None:
    async def produce(put: Callable[[int], Awaitable[None]]) -> None:
        await put(1)
        await put(2)
        raise OSError("the listing failed")

    async with aclosing(read_ahead(produce, most=10)) as items:
        assert [await anext(items), await anext(items)] == [1, 2]
        with pytest.raises(OSError, match="the listing failed"):
            await anext(items)


async def test_a_consumer_that_leaves_ends_the_producer() -> None:
    ended = asyncio.Event()

    async def produce(put: Callable[[int], Awaitable[None]]) -> None:
        try:
            for item in itertools.count():
                await put(item)
        finally:
            ended.set()

    async with aclosing(read_ahead(produce, most=10)) as items:
        assert await anext(items) == 0
    assert ended.is_set()
