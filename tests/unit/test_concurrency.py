from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fsspec_store.concurrency import for_each, map_unordered


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


async def test_results_come_in_completion_order() -> None:
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


async def test_the_first_failure_cancels_the_rest_and_is_raised_as_itself() -> None:
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


async def test_leaving_early_cancels_what_is_under_way() -> None:
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
