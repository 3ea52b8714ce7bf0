"""The thread pool for blocking filesystems, which must not block an event loop.

One pool per process, created on first use. A forked child, which has no threads, creates its own.
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

#: More than cores, because blocking calls mostly wait for disks and servers.
_MAX_THREADS = 32

#: Start of the error of `ThreadPoolExecutor.submit` while the interpreter shuts down.
_NO_MORE_JOBS = "cannot schedule new futures"

_pool: ThreadPoolExecutor | None = None

_in_place: ContextVar[bool] = ContextVar("fsspec_store_in_place", default=False)


async def in_thread(func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Await a blocking function that runs in the pool.

    A cancelled call ends when the function has ended. So the function has no effects after the
    caller saw the cancellation.
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
            # "can't start new thread": a running thread may still execute the job.
            raise
        # The interpreter shuts down: the caller is an exit handler, or a thread that is joined.
        return func(*args, **kwargs)
    waiter = asyncio.wrap_future(job)
    try:
        return await asyncio.shield(waiter)
    except asyncio.CancelledError:
        if not job.cancel():
            while not waiter.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([waiter])
            # Retrieved, or asyncio reports that it never was.
            waiter.exception()
        raise
    finally:
        # They reference the error that is raised here, which references this frame: the cycle would
        # keep the arguments alive until the next garbage collection.
        del job, waiter


async def pause(seconds: float) -> None:
    """Wait between two blocking calls: on the loop, or in the thread if no loop runs."""
    if _in_place.get():
        time.sleep(seconds)  # noqa: ASYNC251 - no loop runs here
    else:
        await asyncio.sleep(seconds)


def run_in_place(work: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine to its end on the calling thread, without an event loop.

    Functions that it awaits by `in_thread` run on this thread too, and `pause` sleeps. It must not
    wait for anything else: a socket, a lock, another task. Raises ``RuntimeError`` when it does.
    """
    # Set in a copy of the context: an interruption before a reset would leave it set in the thread.
    context = copy_context()
    context.run(_in_place.set, True)
    try:
        context.run(work.send, None)
    except StopIteration as done:
        result: R = done.value
        return result
    finally:
        work.close()
    raise RuntimeError("a coroutine that runs without an event loop waits for an event")


@in_child
def _forget_pool() -> None:
    global _pool
    _pool = None
