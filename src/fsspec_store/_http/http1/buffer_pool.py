"""A pool of buffers for bodies. A buffer returns to the pool when no view of it is left.

The operating system clears new memory page by page at the first write, which costs half as much
as copying a body from a socket. Reused buffers avoid that.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._runtime.forks import free_in_child

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["InsufficientMemoryError", "allocate", "memory_limit"]

#: Minimum size of a pooled buffer. Smaller ones are fast to allocate.
_MIN_POOLED_BYTES = 256 * 2**10
#: Maximum size of all idle buffers, and so of a pooled one.
_MAX_IDLE_BYTES = 32 * 2**20

#: Memory limit of a container, in version 2 and 1 of cgroups (Linux, "Control Group v2" and "Memory
#: Resource Controller").
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)

#: Idle buffers, the least recently used first.
_idle: list[NDArray[Any]] = []
# Reentrant: the garbage collector may return a buffer while this thread holds the lock.
_lock = free_in_child(threading.RLock())


class InsufficientMemoryError(OSError, MemoryError):
    """A body does not fit into memory. The argument is its size in bytes."""

    def __str__(self) -> str:
        return f"not enough memory for a body of {self.args[0]} bytes"


def allocate(size: int) -> memoryview:
    """Return a writable buffer of this size, with arbitrary contents.

    The buffer is not reused as long as this view, or a view or array made of it, exists. Raises
    `InsufficientMemoryError` when the machine has less memory: systems that overcommit would
    allocate it, and kill the process when it is written.
    """
    if not size:
        return memoryview(bytearray())
    if size < _MIN_POOLED_BYTES:
        return np.empty(size, dtype=np.uint8).data
    if size > _MAX_IDLE_BYTES:
        return _allocate(size).data
    memory = _take_idle(size)
    if memory is None:
        memory = _allocate(size)
    # Views keep a reference to this array, not to ``memory``.
    borrowed = np.frombuffer(memory, dtype=np.uint8, count=size)
    weakref.finalize(borrowed, _release, memory).atexit = False
    return borrowed.data


def _allocate(size: int) -> NDArray[Any]:
    if size > _MAX_IDLE_BYTES and size > memory_limit():
        raise InsufficientMemoryError(size)
    try:
        return np.empty(size, dtype=np.uint8)
    except (MemoryError, ValueError) as error:
        raise InsufficientMemoryError(size) from error


@cache
def memory_limit() -> int:
    """Bytes of memory and swap space of the machine or container; a large number if unknown."""
    found = [sys.maxsize]
    with suppress(AttributeError, ValueError, OSError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") + _swap())
    for limit in _CGROUP_LIMITS:
        with suppress(ValueError, OSError):
            found.append(int(limit.read_text()))
    return min(size for size in found if size > 0)


def _swap() -> int:
    """Bytes of swap space; 0 if unknown (``/proc/meminfo`` exists on Linux only)."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("SwapTotal:"):
                return int(line.split()[1]) * 1024
    return 0


def _take_idle(size: int) -> NDArray[Any] | None:
    """Take an idle buffer that is at most a quarter larger than this, if there is one."""
    with _lock:
        for index in reversed(range(len(_idle))):
            if size <= _idle[index].nbytes <= size + size // 4:
                return _idle.pop(index)
    return None


def _release(memory: NDArray[Any]) -> None:
    """Return a buffer to the pool, and free the least recently used ones above the limit."""
    with _lock:
        _idle.append(memory)
        while sum(each.nbytes for each in _idle) > _MAX_IDLE_BYTES:
            del _idle[0]
