"""The bound of the memory of one transfer."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store.transfer import copy
from fsspec_store.transfer.memory import Memory

from .stores import store_with

MIB = 2**20
SIZES = st.lists(st.integers(0, 120 * MIB), min_size=1, max_size=20)


@given(SIZES, st.integers(1, 200 * MIB), st.sets(st.integers(0, 19)))
async def test_values_share_the_memory(sizes: list[int], bound: int, stopped: set[int]) -> None:
    memory = Memory(bound)
    held: list[int] = []
    done: list[int] = []

    async def work(number: int, size: int) -> None:
        async with memory.of_value(size):
            # Small values are not counted, and no value needs more than 80 MiB.
            need = 0 if size < MIB else min(size, 80 * MIB)
            held.append(need)
            counted = [each for each in held if each]
            assert sum(counted) <= bound or len(counted) <= 1
            try:
                await asyncio.sleep(0)
            finally:
                held.remove(need)
        done.append(number)

    tasks = [asyncio.create_task(work(number, size)) for number, size in enumerate(sizes)]
    await asyncio.sleep(0)
    for number in stopped:
        if number < len(tasks):
            tasks[number].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [each for each in results if isinstance(each, AssertionError)]
    left = {number for number in range(len(sizes)) if number not in stopped}
    assert left <= set(done)
    # Nothing is left reserved: a value that needs all of it does not wait.
    async with asyncio.timeout(10), memory.of_value(bound):
        pass


async def test_a_bound_that_is_not_positive_is_refused() -> None:
    source, target = await store_with({"a": b"1"}), await store_with({})
    with pytest.raises(ValueError, match="memory_bytes must be at least 1, got 0"):
        await copy(source, target, memory_bytes=0)
    assert [key async for key in target.list()] == []
