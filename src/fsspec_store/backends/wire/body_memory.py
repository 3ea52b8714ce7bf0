"""Memory for bodies, lent again when nobody holds the last one's bytes any more.

New memory of some size is the system's, which clears it page by page as it is first written to:
half as much work as to copy a body from a socket. Knows nothing of what is put there.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from ...forks import free_in_child

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["new_memory"]

#: Less is had from Python's own heap, in no time.
_LEAST_BYTES = 256 * 2**10
#: What is kept while nobody uses it, at most; what is larger by itself would only drive out others.
_KEPT_BYTES = 32 * 2**20

#: Memory that nobody uses; what was given back last is last.
_kept: list[NDArray[Any]] = []
# One that lets a thread in twice: memory is given back in the middle of anything.
_lock = free_in_child(threading.RLock())


def new_memory(size: int) -> memoryview:
    """Memory for so many bytes, not cleared: who asks fills it.

    Nobody else has it as long as this view, or any made of it, is there.

    Parameters
    ----------
    size : int
        In bytes, ``>= 0``.

    Raises
    ------
    MemoryError
        When there is not so much.
    """
    if not size:
        return memoryview(bytearray())
    if not _LEAST_BYTES <= size <= _KEPT_BYTES:
        return np.empty(size, dtype=np.uint8).data
    memory = _kept_for(size)
    if memory is None:
        memory = np.empty(size, dtype=np.uint8)
    # Views of it hold this array, and not the one inside.
    lent = np.frombuffer(memory, dtype=np.uint8, count=size)
    weakref.finalize(lent, _take_back, memory).atexit = False
    return lent.data


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
