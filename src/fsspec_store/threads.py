"""The thread pool that blocking filesystems run in, so that they never block an event loop.

One pool per process, made on first use and made anew in a forked child, whose threads are gone.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["in_thread"]

P = ParamSpec("P")
R = TypeVar("R")

#: Blocking calls wait for disks and servers rather than compute, so more of them than cores.
_MAX_THREADS = 32

_pool: ThreadPoolExecutor | None = None


async def in_thread(func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Await a blocking function that runs in the pool.

    A cancelled call is over when its thread is: what it does never happens after the cancellation
    was seen, when somebody else may have changed the same thing since.
    """
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="fsspec-store")
    job = _pool.submit(func, *args, **kwargs)
    waiter = asyncio.wrap_future(job)
    try:
        return await asyncio.shield(waiter)
    except asyncio.CancelledError:
        if not job.cancel():
            while not waiter.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([waiter])
            # Looked at, or asyncio would report it as never retrieved.
            waiter.exception()
        raise


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
