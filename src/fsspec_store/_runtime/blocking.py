"""Run coroutines and asynchronous generators from code without ``await``.

They run on fsspec's own event loop, in fsspec's own thread. So it does not matter which thread
calls, or whether it already runs an event loop, as in a notebook.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeAlias, TypeVar

# Imported here, not in the first call: a module that another thread imports during a fork can never
# be imported in the child.
import fsspec.asyn

from .forks import in_child
from .threads import run_in_place

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator

__all__ = ["blocking", "iterate", "run"]

P = ParamSpec("P")
T = TypeVar("T")

#: Held while a generator runs.
_Lock: TypeAlias = AbstractAsyncContextManager[None]

#: Maximum number of items that one call fetches: a page of most services.
_MAX_ITEMS = 1000
#: Maximum time in seconds that an interrupted call waits for the end of its coroutine.
_GRACE_SECONDS = 2.0


def blocking(func: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Return a function that runs a coroutine function to its end, as `run` does."""

    @wraps(func)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(func(*args, **kwargs))

    return call


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on fsspec's loop, and return its result.

    An interruption of the calling thread, as by Ctrl-C, cancels the coroutine, and waits for its
    end for a short time. Raises ``RuntimeError`` when called on fsspec's loop itself, which would
    wait for itself, or while the interpreter shuts down, when the loop's thread no longer runs.
    """
    if sys.is_finalizing():
        work.close()
        raise RuntimeError(
            "a blocking call while the interpreter shuts down: fsspec's event loop has stopped"
        )
    loop = fsspec.asyn.get_loop()
    try:
        here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is loop:
        work.close()
        raise RuntimeError("a blocking call on fsspec's own event loop: await the method instead")
    call = _Call(work)
    try:
        loop.call_soon_threadsafe(call.start)
        return call.future.result()
    except BaseException:
        if not call.future.done():
            loop.call_soon_threadsafe(call.cancel)
            # It removes what it was writing. The process may end after this call.
            concurrent.futures.wait([call.future], timeout=_GRACE_SECONDS)
        raise
    finally:
        # It holds the error that is raised here, which holds this frame: a reference cycle.
        del call


class _Call(Generic[T]):
    """A coroutine on the loop of another thread, cancelled when the caller stops waiting.

    `asyncio.run_coroutine_threadsafe` starts the coroutine before it returns the future that can
    cancel it: an interruption in between would leave the coroutine running.
    """

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._work = work
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        """Start the coroutine. Called on the loop, first."""
        self._task = asyncio.get_running_loop().create_task(self._work)
        self._task.add_done_callback(self._end)

    def cancel(self) -> None:
        """Cancel the coroutine, whether it has started or not. Called on the loop."""
        if self._task is None:
            self._work.close()
        else:
            self._task.cancel()

    def _end(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.future.set_exception(concurrent.futures.CancelledError())
        elif (error := task.exception()) is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(task.result())


def iterate(
    items: AsyncGenerator[T, None], runner: Callable[[Coroutine[Any, Any, Any]], Any] = run
) -> Iterator[T]:
    """Yield the items of an asynchronous generator, fetched in batches of growing size.

    The generator is closed when the iterator is closed. The runner is `run` or `run_in_place`.
    """
    size = 1
    # A fetch that was interrupted on another thread may still be ending, and a generator that runs
    # cannot be closed. In place it has ended, and an interrupted lock would stay locked.
    lock: _Lock = nullcontext() if runner is run_in_place else asyncio.Lock()
    try:
        while batch := runner(_next(items, size, lock)):
            yield from batch
            size = min(2 * size, _MAX_ITEMS)
    finally:
        # While the interpreter shuts down no loop runs that could close it.
        if not sys.is_finalizing():
            runner(_close(items, lock))


async def _next(items: AsyncGenerator[T, None], size: int, lock: _Lock) -> list[T]:
    found: list[T] = []
    async with lock:
        async for item in items:
            found.append(item)
            if len(found) == size:
                break
    return found


async def _close(items: AsyncGenerator[T, None], lock: _Lock) -> None:
    async with lock:
        await items.aclose()


@in_child
def _forget_loop() -> None:
    """Make fsspec start a new loop in a forked child, where its thread is gone.

    Older releases of fsspec do not reset their loop.
    """
    fsspec.asyn.reset_lock()
