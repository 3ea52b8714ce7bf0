"""The thread pool that blocking filesystems run in, so that they never block an event loop.

One pool per process, made on first use and made anew in a forked child, whose threads are gone.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .forks import in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["in_thread", "pause", "run_in_place"]

P = ParamSpec("P")
R = TypeVar("R")

#: Blocking calls wait for disks and servers rather than compute, so more of them than cores.
_MAX_THREADS = 32

#: What `ThreadPoolExecutor.submit` says once the interpreter ends, before it takes the job.
_NO_MORE_JOBS = "cannot schedule new futures"

_pool: ThreadPoolExecutor | None = None

_in_place: ContextVar[bool] = ContextVar("fsspec_store_in_place", default=False)


async def in_thread(func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Await a blocking function that runs in the pool.

    A cancelled call is over when its thread is: what it does never happens after the cancellation
    was seen, when somebody else may have changed the same thing since.
    """
    if _in_place.get():
        return func(*args, **kwargs)
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="fsspec-store")
    try:
        job = _pool.submit(func, *args, **kwargs)
    except RuntimeError as error:
        if not str(error).startswith(_NO_MORE_JOBS):
            # "can't start new thread": another one may run it all the same.
            raise
        # The program ends: an exit handler called this, or a thread that is still waited for.
        return func(*args, **kwargs)
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
    finally:
        # They hold the error that is raised here, and it this frame: a circle, which would keep
        # what the function was called with until the garbage collector came by.
        del job, waiter


async def pause(seconds: float) -> None:
    """Wait between two calls of blocking functions: on the loop, or on the thread without one."""
    if _in_place.get():
        time.sleep(seconds)  # noqa: ASYNC251 - no loop runs here
    else:
        await asyncio.sleep(seconds)


def run_in_place(work: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine to its end on this very thread, without an event loop.

    Blocking functions that it awaits by `in_thread` run here as well, and `pause` sleeps. It must
    wait for nothing else: a socket, a lock, another task.

    Raises
    ------
    RuntimeError
        When it does wait.
    Exception
        What the coroutine raises.
    """
    # A context of its own, which ends with the call: an interruption before a reset would leave
    # the thread's own context as it must not be.
    context = copy_context()
    context.run(_in_place.set, True)
    try:
        context.run(work.send, None)
    except StopIteration as done:
        result: R = done.value
        return result
    finally:
        work.close()
    raise RuntimeError("what was to run without an event loop waits for an event")


@in_child
def _forget_pool() -> None:
    global _pool
    _pool = None
