"""The buffer pool: a buffer is not reused as long as a view of it exists."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from forking import in_forked_child
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store._http.http1 import buffer_pool
from fsspec_store._http.http1.buffer_pool import new_memory

KIB = 2**10
LEAST = 256 * KIB
MOST = 32 * 2**20


@pytest.fixture(autouse=True)
def _empty_pool() -> Iterator[None]:
    gc.collect()
    buffer_pool._idle.clear()
    yield
    buffer_pool._idle.clear()


def address(memory: memoryview) -> int:
    found: int = np.frombuffer(memory, dtype=np.uint8).ctypes.data
    return found


def idle() -> list[int]:
    return [memory.nbytes for memory in buffer_pool._idle]


@pytest.mark.parametrize("size", [0, 1, LEAST - 1, LEAST, 2**22, 2**22 + 1])
def test_a_buffer_has_the_requested_size_and_is_writable(size: int) -> None:
    for _ in range(3):
        memory = new_memory(size)
        assert (memory.nbytes, memory.format, memory.readonly) == (size, "B", False)
        memory[:] = bytes(size)
        assert memory == bytes(size)
        del memory


def test_a_released_buffer_is_reused() -> None:
    first = new_memory(2**22)
    place = address(first)
    assert address(new_memory(2**22)) != place
    del first
    # The same size, or up to a fifth less.
    for size in (2**22, 2**22 - 1, 2**22 * 4 // 5 + 1):
        again = new_memory(size)
        assert address(again) == place
        assert again.nbytes == size
        del again
    for size in (2**22 + 1, 2**21):
        assert address(new_memory(size)) != place


HOLDS: dict[str, Callable[[memoryview], Any]] = {
    "slice": lambda memory: memory[7:9],
    "array": lambda memory: np.frombuffer(memory, dtype=np.uint8)[7:9][1:],
    "array of a slice": lambda memory: np.asarray(memory[7:9]),
    "cast": lambda memory: memory.cast("I")[3:],
}


@pytest.mark.parametrize("hold", HOLDS)
def test_a_buffer_with_a_view_is_not_reused(hold: str) -> None:
    memory = new_memory(LEAST)
    memory[:] = b"a" * LEAST
    held = HOLDS[hold](memory)
    del memory
    gc.collect()
    other = new_memory(LEAST)
    other[:] = b"b" * LEAST
    assert set(bytes(held)) == {ord("a")}
    assert idle() == []
    del held
    assert idle() == [LEAST]


def test_the_bounds_of_the_pool() -> None:
    for size in (LEAST - 1, MOST + 1):
        del_me = new_memory(size)
        del del_me
        assert idle() == []
    many = [new_memory(size) for size in range(2**20, 2**20 + 40)]
    del many
    assert sum(idle()) <= MOST
    # Those that were released last.
    assert len(idle()) == 31
    large = new_memory(MOST)
    del large
    assert idle() == [MOST]
    larger = new_memory(MOST + 1)
    del larger
    assert idle() == [MOST]


@given(st.lists(st.tuples(st.integers(LEAST - 2, LEAST * 3), st.integers(0, 5)), max_size=40))
def test_a_buffer_is_never_in_use_twice(steps: list[tuple[int, int]]) -> None:
    """Buffers in use keep their contents while others are released in any order."""
    held: dict[int, tuple[memoryview, int]] = {}
    for number, (size, slot) in enumerate(steps):
        mark = number % 251
        memory = new_memory(size)
        memory[:1], memory[-1:] = bytes([mark]), bytes([mark])
        held[slot] = (memory, mark)
        assert all(view[0] == view[-1] == own for view, own in held.values())
        assert sum(idle()) <= MOST


def test_threads_share_the_pool() -> None:
    def use(mark: int) -> bool:
        for _ in range(300):
            memory = new_memory(LEAST + mark)
            memory[:8] = memory[-8:] = bytes([mark]) * 8
            if bytes(memory[:8]) != bytes([mark]) * 8 or memory[-1] != mark:
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(8)))
    assert sum(idle()) <= MOST


@pytest.mark.skipif(not hasattr(os, "fork"), reason="cannot: no processes are forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_waits_for_no_thread_of_its_parent() -> None:
    with ThreadPoolExecutor(1) as pool:
        # Another thread holds the lock during the fork.
        pool.submit(buffer_pool._lock.acquire).result()
        try:
            assert in_forked_child(lambda: new_memory(LEAST).nbytes == LEAST)
        finally:
            pool.submit(buffer_pool._lock.release).result()
