"""Threads with an event loop each, which transfer large bodies for the loops of callers.

Does not know what a body is. A forked child, which has no threads, starts its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque

from .forks import free_in_child, in_child

__all__ = ["default_count", "next_loop"]

_MAX_DEFAULT = 8

_lock = free_in_child(threading.Lock())
#: The loops of the threads that run, by the number of threads; the last used one is the first.
_groups: dict[int, deque[asyncio.AbstractEventLoop]] = {}


def default_count() -> int:
    """One thread for each core that this process may use, and at most eight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, _MAX_DEFAULT)


def next_loop(count: int) -> asyncio.AbstractEventLoop:
    """Return the loop of one of ``count`` threads, each in turn. They are shared by the process.

    Raises ``RuntimeError`` if the thread does not run yet, and the system starts no more threads.
    """
    with _lock:
        loops = _groups.setdefault(count, deque())
        if len(loops) < count:
            loops.append(_start())
        loops.rotate()
        return loops[0]


def _start() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fsspec-store-io", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        loop.close()
        raise
    return loop


@in_child
def _forget_threads() -> None:
    _groups.clear()
