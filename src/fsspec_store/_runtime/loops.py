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

# By which Python looks up a server's name. Imported now, and not during the first request: a module
# that another thread imports during a fork can never be imported in the child.
import encodings.idna  # noqa: F401
import os
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .forks import free_in_child

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable

__all__ = ["PerLoop", "Resources"]

T = TypeVar("T")

#: How long interpreter exit waits for sessions on loops of other threads, in seconds.
_EXIT_GRACE = 2.0


class Resources(Protocol[T]):
    """How a kind of resource is made and ended."""

    def make(self) -> T:
        """Make one, on the thread of its loop, without awaiting."""

    async def aclose(self, resource: T) -> None:
        """Close one, awaited on its own loop."""

    def close_now(self, resource: T) -> None:
        """Close one without awaiting: on its loop's thread, or when the loop does not run."""

    def forget(self, resource: T) -> None:
        """Silence one that a forked child inherited, without touching the parent's sockets."""


class PerLoop(Generic[T]):
    """One resource for each event loop.

    Parameters
    ----------
    resources : Resources
        Makes and ends them; must not refer to this object.
    """

    def __init__(self, resources: Resources[T]) -> None:
        self._resources = resources
        self._entries: dict[int, _Entry[T]] = {}
        self._lock = free_in_child(threading.Lock())
        # Holds the entries from outside: were they garbage together with this object, the
        # collector might finalise a session, unclosed, before it comes to closing it.
        weakref.finalize(self, _close_all, self._entries).atexit = False

    def get(self) -> T:
        """The running loop's resource, made on first use.

        Raises
        ------
        RuntimeError
            When no event loop is running.
        """
        loop = asyncio.get_running_loop()
        entry = self._entries.get(id(loop))
        # More than the id, which a closed loop leaves to a new one and a fork to the child's.
        if entry is not None and entry.loop is loop and entry.pid == os.getpid():
            return entry.resource
        return self._add(loop)

    def _add(self, loop: asyncio.AbstractEventLoop) -> T:
        with self._lock:
            for key, entry in list(self._entries.items()):
                if entry.pid != os.getpid() or entry.loop.is_closed():
                    del self._entries[key]
                    entry.close()
            self._entries[id(loop)] = entry = _Entry(loop, self._resources)
        _close_at_exit(self)
        return entry.resource

    def renew(self, resource: T) -> None:
        """Make the running loop a new resource in place of this one, unless that was done already.

        Others may still be using the old one: it is closed with the loop, or by the next renewal.
        """
        loop = asyncio.get_running_loop()
        if self.get() is not resource:
            return
        with self._lock:
            retired = self._entries.pop(~id(loop), None)
            self._entries[~id(loop)] = self._entries.pop(id(loop))
            self._entries[id(loop)] = _Entry(loop, self._resources)
        if retired is not None:
            retired.close()

    def close(self) -> None:
        """Close every resource: at once where that is possible from here, else on its own loop."""
        with self._lock:
            _close_all(self._entries)

    async def aclose(self) -> None:
        """Close every resource, and await the running loop's."""
        with self._lock:
            # Taken out first: whoever closes as well finds nothing, whoever reads makes a new one.
            here = self._entries.pop(id(asyncio.get_running_loop()), None)
        self.close()
        if here is not None and here.loop is asyncio.get_running_loop():
            await here.aclose()

    def close_at_exit(self) -> None:
        """Close every resource, and wait a moment for the loops of other threads to do so."""
        waiting = [
            asyncio.run_coroutine_threadsafe(entry.aclose(), entry.loop)
            for entry in self._entries.values()
            if entry.runs_elsewhere()
        ]
        for future in waiting:
            with suppress(Exception):
                future.result(timeout=_EXIT_GRACE)
        self.close()


class _Entry(Generic[T]):
    """A resource with its loop, and the generator by which the loop closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, resources: Resources[T]) -> None:
        self.loop = loop
        self.pid = os.getpid()
        self.resource = resources.make()
        self._resources = resources
        self._open = True
        self._guard = self._guarded()
        # Runs the generator to its yield, which registers it with the loop: the loop closes it in
        # shutdown_asyncgens, as asyncio.run and every other runner does at the end.
        _step(self._guard.__anext__())

    async def _guarded(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if self._open:
                self._open = False
                await self._resources.aclose(self.resource)

    def runs_elsewhere(self) -> bool:
        """Whether the loop runs in another thread of this process."""
        here = asyncio._get_running_loop()
        return self.pid == os.getpid() and self.loop.is_running() and self.loop is not here

    async def aclose(self) -> None:
        """Close the resource, on its own loop."""
        await self._guard.aclose()

    def close(self) -> None:
        """Close the resource from anywhere, as soon as that can be done."""
        if self.pid != os.getpid():
            _inherited.append(self)
            # The fork may have found a thread of the parent in the middle of the generator.
            with suppress(RuntimeError):
                self._end(self._resources.forget)
        elif self.runs_elsewhere():
            # The loop may end in between; then it has closed the resource itself.
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._end, self._resources.close_now)
                _asked[self.loop] = self.pid
        else:
            self._end(self._resources.close_now)

    def _end(self, end: Any) -> None:
        if self._open:
            self._open = False
            end(self.resource)
        # A generator left at its yield would have the loop schedule its end, perhaps too late.
        _step(self._guard.aclose())


def _step(awaitable: Awaitable[None]) -> None:
    """Run an awaitable that never waits, outside any loop."""
    with suppress(StopIteration, StopAsyncIteration):
        next(awaitable.__await__())


def _close_all(entries: dict[int, _Entry[Any]]) -> None:
    while entries:
        entries.popitem()[1].close()


#: Resources of a parent process, kept so that they are never finalised in the child.
_inherited: list[Any] = []

_live: weakref.WeakSet[PerLoop[Any]] = weakref.WeakSet()

#: Loops of other threads that were asked to close something, and the process they run in.
_asked: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, int] = weakref.WeakKeyDictionary()


def _close_at_exit(resources: PerLoop[Any]) -> None:
    # Registered anew with every first use: exit handlers run last in, first out, so this one runs
    # while the loops that libraries keep in threads (and stop in handlers of theirs) still run.
    if resources not in _live:
        _live.add(resources)
        atexit.unregister(_close_live)
        atexit.register(_close_live)


def _close_live() -> None:
    for resources in list(_live):
        resources.close_at_exit()
    # Whoever stops a loop next would stop it between a connection's closing and its end.
    for loop, pid in list(_asked.items()):
        if pid == os.getpid() and loop.is_running():
            _await_a_round(loop)


def _await_a_round(loop: asyncio.AbstractEventLoop) -> None:
    """Wait a moment until a loop has done what it was asked to, and what follows from that."""
    done = threading.Event()
    # The loop may end in between.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(loop.call_soon, done.set)
        done.wait(_EXIT_GRACE)
