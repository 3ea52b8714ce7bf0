"""Memory for bodies, lent again when nobody holds the last one's bytes any more.

New memory of some size is the system's, which clears it page by page as it is first written to:
half as much work as to copy a body from a socket. Knows nothing of what is put there.
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

__all__ = ["NoRoomError", "new_memory"]

#: Less is had from Python's own heap, in no time.
_LEAST_BYTES = 256 * 2**10
#: What is kept while nobody uses it, at most; what is larger by itself would only drive out others.
_KEPT_BYTES = 32 * 2**20

#: What a container may use, for cgroups of version 2 and 1 (Linux, "Control Group v2" and "Memory
#: Resource Controller").
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)

#: Memory that nobody uses; what was given back last is last.
_kept: list[NDArray[Any]] = []
# One that lets a thread in twice: memory is given back in the middle of anything.
_lock = free_in_child(threading.RLock())


class NoRoomError(OSError, MemoryError):
    """A body does not fit into memory.

    Parameters
    ----------
    size : int
        Of the body, in bytes.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"the body has {size} bytes, and this machine has no memory for them")
        self.size = size

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.size,)


def new_memory(size: int) -> memoryview:
    """Memory for so many bytes, not cleared: who asks fills it.

    Nobody else has it as long as this view, or any made of it, is there.

    Parameters
    ----------
    size : int
        In bytes, ``>= 0``.

    Raises
    ------
    NoRoomError
        When the machine does not have so much. Systems that overcommit would lend it, and kill the
        process that uses it.
    """
    if not size:
        return memoryview(bytearray())
    if size < _LEAST_BYTES:
        return np.empty(size, dtype=np.uint8).data
    if size > _KEPT_BYTES:
        return _allocated(size).data
    memory = _kept_for(size)
    if memory is None:
        memory = _allocated(size)
    # Views of it hold this array, and not the one inside.
    lent = np.frombuffer(memory, dtype=np.uint8, count=size)
    weakref.finalize(lent, _take_back, memory).atexit = False
    return lent.data


def _allocated(size: int) -> NDArray[Any]:
    if size > _KEPT_BYTES and size > _machine_memory():
        raise NoRoomError(size)
    try:
        return np.empty(size, dtype=np.uint8)
    except (MemoryError, ValueError) as error:
        raise NoRoomError(size) from error


@cache
def _machine_memory() -> int:
    """Bytes of memory and swap space that this process may use at most, as far as it is known."""
    found = [sys.maxsize]
    with suppress(AttributeError, ValueError, OSError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") + _swap())
    for limit in _CGROUP_LIMITS:
        with suppress(ValueError, OSError):
            found.append(int(limit.read_text()))
    return min(size for size in found if size > 0)


def _swap() -> int:
    """Bytes of swap space; 0 where the system does not say (``/proc/meminfo`` is Linux's)."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("SwapTotal:"):
                return int(line.split()[1]) * 1024
    return 0


def _kept_for(size: int) -> NDArray[Any] | None:
    """Memory that is not much larger, if there is any."""
    with _lock:
        for place in reversed(range(len(_kept))):
            if size <= _kept[place].nbytes <= size + size // 4:
                return _kept.pop(place)
    return None


def _take_back(memory: NDArray[Any]) -> None:
    with _lock:
        _kept.append(memory)
        while sum(each.nbytes for each in _kept) > _KEPT_BYTES:
            # Nobody wanted it for the longest time.
            del _kept[0]
