"""Which CPU cores a server and its clients use, where the system can restrict a process to some."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_THREADS = Path("/proc/self/task")


def shares() -> tuple[set[int], set[int]]:
    """The cores of the server, and those of the client: all for both if they cannot be divided."""
    if not hasattr(os, "sched_getaffinity"):
        every = set(range(os.cpu_count() or 1))
        return every, every
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    return (set(cores[:half]), set(cores[half:])) if half else (set(cores), set(cores))


@contextmanager
def starting_on(cores: set[int]) -> Iterator[None]:
    """Processes that this thread starts inside of the block run on some cores."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def on_all_cores() -> Iterator[None]:
    """All threads of this process may use all cores inside of the block (Linux)."""
    if not _THREADS.exists():
        yield
        return
    before = os.sched_getaffinity(0)
    _move_threads(set(range(os.cpu_count() or 1)))
    try:
        yield
    finally:
        _move_threads(before)


def _move_threads(cores: set[int]) -> None:
    for thread in _THREADS.iterdir():
        # It may have ended.
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)
