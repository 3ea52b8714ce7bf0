"""Memory for bodies: nobody has what somebody else still holds."""

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
def _nothing_kept() -> Iterator[None]:
    gc.collect()
    buffer_pool._idle.clear()
    yield
    buffer_pool._idle.clear()


def address(memory: memoryview) -> int:
    found: int = np.frombuffer(memory, dtype=np.uint8).ctypes.data
    return found


def kept() -> list[int]:
    return [memory.nbytes for memory in buffer_pool._idle]


@pytest.mark.parametrize("size", [0, 1, LEAST - 1, LEAST, 2**22, 2**22 + 1])
def test_it_has_the_size_asked_for_and_can_be_written(size: int) -> None:
    for _ in range(3):
        memory = new_memory(size)
        assert (memory.nbytes, memory.format, memory.readonly) == (size, "B", False)
        memory[:] = bytes(size)
        assert memory == bytes(size)
        del memory


def test_what_was_given_back_is_lent_again() -> None:
    first = new_memory(2**22)
    place = address(first)
    assert address(new_memory(2**22)) != place
    del first
    # As much, or a little less.
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
def test_whoever_holds_a_part_of_it_has_it_alone(hold: str) -> None:
    memory = new_memory(LEAST)
    memory[:] = b"a" * LEAST
    held = HOLDS[hold](memory)
    del memory
    gc.collect()
    other = new_memory(LEAST)
    other[:] = b"b" * LEAST
    assert set(bytes(held)) == {ord("a")}
    assert kept() == []
    del held
    assert kept() == [LEAST]


def test_little_is_not_kept_and_much_not_for_ever() -> None:
    for size in (LEAST - 1, MOST + 1):
        del_me = new_memory(size)
        del del_me
        assert kept() == []
    many = [new_memory(size) for size in range(2**20, 2**20 + 40)]
    del many
    assert sum(kept()) <= MOST
    # Of those given back, the last ones.
    assert len(kept()) == 31
    large = new_memory(MOST)
    del large
    assert kept() == [MOST]
    larger = new_memory(MOST + 1)
    del larger
    assert kept() == [MOST]


@given(st.lists(st.tuples(st.integers(LEAST - 2, LEAST * 3), st.integers(0, 5)), max_size=40))
def test_it_is_never_lent_twice(steps: list[tuple[int, int]]) -> None:
    """Some is held, and some given back, in any order: what was written stays."""
    held: dict[int, tuple[memoryview, int]] = {}
    for number, (size, slot) in enumerate(steps):
        mark = number % 251
        memory = new_memory(size)
        memory[:1], memory[-1:] = bytes([mark]), bytes([mark])
        held[slot] = (memory, mark)
        assert all(view[0] == view[-1] == own for view, own in held.values())
        assert sum(kept()) <= MOST


def test_threads_share_it() -> None:
    def use(mark: int) -> bool:
        for _ in range(300):
            memory = new_memory(LEAST + mark)
            memory[:8] = memory[-8:] = bytes([mark]) * 8
            if bytes(memory[:8]) != bytes([mark]) * 8 or memory[-1] != mark:
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(8)))
    assert sum(kept()) <= MOST


@pytest.mark.skipif(not hasattr(os, "fork"), reason="cannot: no processes are forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_waits_for_no_thread_of_its_parent() -> None:
    with ThreadPoolExecutor(1) as pool:
        # Held by another thread while the child is made.
        pool.submit(buffer_pool._lock.acquire).result()
        try:
            assert in_forked_child(lambda: new_memory(LEAST).nbytes == LEAST)
        finally:
            pool.submit(buffer_pool._lock.release).result()
