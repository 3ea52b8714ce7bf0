"""The bound of the memory of one transfer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store import FsspecStore
from fsspec_store.transfer import copy
from fsspec_store.transfer.memory import Memory

from .stores import filled, store_with

MIB = 2**20
SIZES = st.lists(st.integers(0, 120 * MIB), min_size=1, max_size=20)


@given(SIZES, st.integers(1, 200 * MIB), st.sets(st.integers(0, 19)), st.integers(0, 2))
async def test_values_share_the_memory(
    sizes: list[int], bound: int, stopped: set[int], copies: int
) -> None:
    memory = Memory(bound)
    held: list[int] = []
    done: list[int] = []

    async def work(number: int, size: int) -> None:
        async with memory.of_value(size, copies=copies):
            # Small values are not counted. No value needs more than 80 MiB, or its copies.
            need = 0 if size < MIB else max(min(size, 80 * MIB), copies * size)
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


class Counting(FsspecStore):
    """Counts the values that are copied at once."""

    now = most = 0

    async def _copy(self, source: Any, key: str, *options: Any) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await super()._copy(source, key, *options)
        self.now -= 1


class Whole(MemoryFileSystem):
    """A filesystem that is not known to read and write parts of values."""

    protocol = "whole"


@pytest.mark.parametrize("is_whole", [True, False])
async def test_values_that_are_read_as_a_whole_need_their_size_in_each_store(
    is_whole: bool, tmp_path: Path
) -> None:
    values = {name: bytes(2 * MIB) for name in "abc"}
    fs = Whole() if is_whole else LocalFileSystem()
    source, target = FsspecStore(fs, f"{tmp_path}/from"), Counting(fs, f"{tmp_path}/to")
    await filled(source, values)
    assert (await copy(source, target, memory_bytes=7 * MIB)).copied == 3
    assert target.most == (1 if is_whole else 3)
    await source.clear()
    await target.clear()


async def test_a_bound_that_is_not_positive_is_refused() -> None:
    source, target = await store_with({"a": b"1"}), await store_with({})
    with pytest.raises(ValueError, match="memory_bytes must be at least 1, got 0"):
        await copy(source, target, memory_bytes=0)
    assert [key async for key in target.list()] == []
