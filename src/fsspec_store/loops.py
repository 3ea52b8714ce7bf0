"""A resource per event loop, closed with its loop.

An HTTP session belongs to the loop that made it: used from another it hangs or fails with "Event
loop is closed". `PerLoop` makes one resource for each loop that asks, and closes it when the loop
shuts down, when it is told to, when nobody holds it any more, or at the latest at interpreter exit,
so that "Unclosed client session" is never printed.

Knows asyncio, and nothing of what the resource is.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["PerLoop"]

T = TypeVar("T")

#: How long interpreter exit waits for sessions on loops of other threads, in seconds.
_EXIT_GRACE = 2.0


class _Entry(Generic[T]):
    """A resource with its loop, and the generator by which the loop closes it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        resource: T,
        aclose: Callable[[T], Awaitable[None]],
        close_now: Callable[[T], None],
    ) -> None:
        self.loop = loop
        self.resource = resource
        self._close_now = close_now
        self._closed = False
        self._guard = self._guarded(aclose)
        # Runs the generator to its yield, which registers it with the loop: the loop closes it in
        # shutdown_asyncgens, as asyncio.run and every other runner does at the end.
        _step(self._guard.__anext__())

    async def _guarded(self, aclose: Callable[[T], Awaitable[None]]) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if not self._closed:
                self._closed = True
                await aclose(self.resource)

    async def aclose(self) -> None:
        """Close the resource, on its own loop."""
        await self._guard.aclose()

    def close_now(self) -> None:
        """Close the resource without awaiting, when its loop is not running in another thread."""
        if not self._closed:
            self._closed = True
            self._close_now(self.resource)
        # A generator left at its yield would have the loop schedule its end, perhaps too late.
        _step(self._guard.aclose())

    def forget(self, forget: Callable[[T], None]) -> None:
        """In a forked child: keep silent about a resource that is the parent's to close."""
        self._closed = True
        forget(self.resource)
        _step(self._guard.aclose())


class PerLoop(Generic[T]):
    """One resource for each event loop.

    Parameters
    ----------
    make : callable
        Makes a resource; called on the loop's own thread, must not await.
    aclose : callable
        Closes a resource, awaited on its own loop. Called again after ``close_now``, it must be
        harmless.
    close_now : callable
        Closes a resource without awaiting: on the loop's own thread, or when the loop is not
        running, or is closed.
    forget : callable
        Makes a resource inherited by a forked child silent, without touching the parent's sockets.
    """

    def __init__(
        self,
        make: Callable[[], T],
        *,
        aclose: Callable[[T], Awaitable[None]],
        close_now: Callable[[T], None],
        forget: Callable[[T], None],
    ) -> None:
        self._make = make
        self._aclose = aclose
        self._close_now = close_now
        self._forget = forget
        self._entries: dict[int, _Entry[T]] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def get(self) -> T:
        """The running loop's resource, made on first use.

        Raises
        ------
        RuntimeError
            When no event loop is running.
        """
        loop = asyncio.get_running_loop()
        entry = self._entries.get(id(loop))
        # Identity as well: the id of a closed loop is given to a new one.
        if entry is not None and entry.loop is loop and self._pid == os.getpid():
            return entry.resource
        return self._add(loop)

    def _add(self, loop: asyncio.AbstractEventLoop) -> T:
        with self._lock:
            if self._pid != os.getpid():
                for entry in self._entries.values():
                    entry.forget(self._forget)
                    _inherited.append(entry)
                self._entries.clear()
                self._pid = os.getpid()
            for key, entry in list(self._entries.items()):
                if entry.loop.is_closed():
                    del self._entries[key]
                    entry.close_now()
            resource = self._make()
            self._entries[id(loop)] = _Entry(loop, resource, self._aclose, self._close_now)
        _close_at_exit(self)
        return resource

    def close(self) -> None:
        """Close every resource: at once where that is possible from here, else on its own loop."""
        for entry in self._take_all():
            self._close_entry(entry)

    async def aclose(self) -> None:
        """Close every resource, and await those of the running loop."""
        here = asyncio.get_running_loop()
        for entry in self._take_all():
            if entry.loop is here:
                await entry.aclose()
            else:
                self._close_entry(entry)

    def close_at_exit(self) -> None:
        """Close every resource, and wait a moment for the loops of other threads to do so."""
        waiting = []
        for entry in self._take_all():
            if _runs_elsewhere(entry.loop):
                with suppress(RuntimeError):
                    waiting.append(asyncio.run_coroutine_threadsafe(entry.aclose(), entry.loop))
            else:
                entry.close_now()
        for future in waiting:
            with suppress(Exception):
                future.result(timeout=_EXIT_GRACE)

    def __del__(self) -> None:
        self.close()

    @staticmethod
    def _close_entry(entry: _Entry[T]) -> None:
        if _runs_elsewhere(entry.loop):
            # The loop may end in between; then it has closed the resource itself.
            with suppress(RuntimeError):
                entry.loop.call_soon_threadsafe(entry.close_now)
        else:
            entry.close_now()

    def _take_all(self) -> list[_Entry[T]]:
        with self._lock:
            entries = list(self._entries.values())
            self._entries.clear()
        # A forked child leaves the sockets to their owner.
        return entries if self._pid == os.getpid() else []


def _step(awaitable: Awaitable[None]) -> None:
    """Run an awaitable that never waits, outside any loop."""
    with suppress(StopIteration, StopAsyncIteration):
        next(awaitable.__await__())


def _runs_elsewhere(loop: asyncio.AbstractEventLoop) -> bool:
    return loop.is_running() and loop is not asyncio._get_running_loop()


#: Resources of a parent process, kept so that they are never finalised in the child.
_inherited: list[Any] = []

_live: weakref.WeakSet[PerLoop[Any]] = weakref.WeakSet()


def _close_at_exit(resources: PerLoop[Any]) -> None:
    # Registered anew with every first use: exit handlers run last in, first out, so this one runs
    # while the loops that libraries keep in threads (and stop in handlers of theirs) still run.
    if resources not in _live:
        _live.add(resources)
        atexit.unregister(_close_all)
        atexit.register(_close_all)


def _close_all() -> None:
    for resources in list(_live):
        resources.close_at_exit()
