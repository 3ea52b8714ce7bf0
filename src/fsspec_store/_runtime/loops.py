"""A resource per event loop, closed with its loop, and shared by all users with an equal key.

An HTTP session belongs to the loop that created it. On another loop it hangs or fails with "Event
loop is closed". `PerLoop` creates one resource for each loop that uses it. It closes the resource
when the loop shuts down, on `PerLoop.close`, when the `PerLoop` is garbage, or at interpreter exit,
so that "Unclosed client session" is never printed.

Stores on one service with the same options share their sessions by `Shared`. So connections are
opened once, not once for each store, task or unpickled copy. The sessions are closed when the last
store that used them is closed or garbage.
"""

from __future__ import annotations

import asyncio
import atexit

# Python needs it to resolve host names. Imported now, not in the first request: a module that
# another thread imports during a fork can never be imported in the child.
import encodings.idna  # noqa: F401
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from .forks import free_in_child

__all__ = ["PerLoop", "Resources", "Shared", "frozen"]

T = TypeVar("T")

#: Maximum time in seconds that interpreter exit waits for one loop of another thread.
_EXIT_GRACE = 2.0


class Resources(Protocol[T]):
    """Creates and closes one kind of resource."""

    def make(self) -> T:
        """Create a resource, on its loop's thread, without awaiting."""

    async def aclose(self, resource: T) -> None:
        """Close a resource, on its loop."""

    def close_now(self, resource: T) -> None:
        """Close a resource without awaiting: on its loop's thread, or when the loop is stopped."""

    def forget(self, resource: T) -> None:
        """Drop a resource inherited by a forked child, without touching the parent's sockets."""


class PerLoop(Generic[T]):
    """One resource for each event loop. The `Resources` must not refer to this object."""

    def __init__(self, resources: Resources[T]) -> None:
        self._resources = resources
        self._entries: dict[int, _Entry[T]] = {}
        self._lock = free_in_child(threading.Lock())
        # The finalizer references the entries. If they were garbage together with this object, the
        # collector could finalise an unclosed session before it is closed here.
        weakref.finalize(self, _close_all, self._entries).atexit = False

    def get(self) -> T:
        """The running loop's resource, created on first use."""
        loop = asyncio.get_running_loop()
        entry = self._entries.get(id(loop))
        # The id alone is not enough: a new loop, or one of a forked child, may have the same.
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

    def replace(self, resource: T) -> None:
        """Replace the running loop's resource, unless another call has replaced it already.

        The old one may still be in use. It is closed with the loop, or by the next replacement.
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
        """Close every resource: immediately where possible, otherwise on its loop."""
        with self._lock:
            _close_all(self._entries)

    async def aclose(self) -> None:
        """Close every resource, and await that of the running loop."""
        with self._lock:
            # Removed first: a concurrent close skips it, a concurrent read creates a new one.
            here = self._entries.pop(id(asyncio.get_running_loop()), None)
        self.close()
        if here is not None and here.loop is asyncio.get_running_loop():
            await here.aclose()

    def close_at_exit(self) -> None:
        """Close every resource, and wait briefly for the loops of other threads."""
        waiting = [
            asyncio.run_coroutine_threadsafe(entry.aclose(), entry.loop)
            for entry in self._entries.values()
            if entry.runs_elsewhere()
        ]
        for future in waiting:
            with suppress(Exception):
                future.result(timeout=_EXIT_GRACE)
        self.close()


class Shared(Generic[T]):
    """One user of the shared resources of a key; has the methods of `PerLoop`.

    Users with equal keys create equal resources. ``resources`` is called for the first user only.
    """

    def __init__(self, key: Hashable, resources: Callable[[], Resources[T]]) -> None:
        with _pools_lock:
            pool = _pools.get(key)
            if pool is None:
                pool = _pools[key] = _Pool(resources())
        self._pool: _Pool[T] = pool
        self._is_user = False

    def get(self) -> T:
        """The running loop's resource; see `PerLoop.get`."""
        if not self._is_user:
            with _pools_lock:
                self._pool.users.add(self)
                self._is_user = True
        return self._pool.per_loop.get()

    def replace(self, resource: T) -> None:
        """Replace the running loop's resource for all users; see `PerLoop.replace`."""
        self._pool.per_loop.replace(resource)

    def close(self) -> None:
        """Stop using the resources; the last user closes them. May be used again afterwards."""
        unused = self._leave()
        if unused is not None:
            unused.close()

    async def aclose(self) -> None:
        """Like `close`, and await the resource of the running loop."""
        unused = self._leave()
        if unused is not None:
            await unused.aclose()

    def _leave(self) -> PerLoop[T] | None:
        """The resources to close if this was the last user; later users get new ones."""
        pool = self._pool
        with _pools_lock:
            self._is_user = False
            pool.users.discard(self)
            if pool.users:
                return None
            unused, pool.per_loop = pool.per_loop, PerLoop(pool.resources)
            return unused


class _Pool(Generic[T]):
    def __init__(self, resources: Resources[T]) -> None:
        self.resources = resources
        self.per_loop = PerLoop(resources)
        self.users: weakref.WeakSet[Shared[T]] = weakref.WeakSet()


def frozen(value: Any) -> Hashable:
    """A hashable key of options. Mappings and lists compare by value, other objects by identity."""
    if isinstance(value, Mapping):
        return frozenset((name, frozen(item)) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(frozen, value))
    if value is None or isinstance(value, (str, bytes, int, float)):
        return value
    return _Identity(value)


class _Identity:
    """Compares an object by identity, and keeps it alive."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self._value is other._value

    def __hash__(self) -> int:
        return id(self._value)


class _Entry(Generic[T]):
    """A resource, its loop, and the generator that closes it with the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, resources: Resources[T]) -> None:
        self.loop = loop
        self.pid = os.getpid()
        self.resource = resources.make()
        self._resources = resources
        self._open = True
        self._guard = self._guarded()
        # Running the generator to its yield registers it with the loop. asyncio.run and other
        # runners close it at their end, by shutdown_asyncgens.
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
        """Close the resource, on its loop."""
        await self._guard.aclose()

    def close(self) -> None:
        """Close the resource from any thread, as soon as possible."""
        if self.pid != os.getpid():
            _inherited.append(self)
            self._end(self._resources.forget)
        elif self.runs_elsewhere():
            # The loop may end meanwhile. Then it has closed the resource.
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._end, self._resources.close_now)
                _closing[self.loop] = self.pid
        else:
            self._end(self._resources.close_now)

    def _end(self, end: Any) -> None:
        if self._open:
            self._open = False
            end(self.resource)
        # The loop would close a suspended generator by a task, possibly too late. One that runs is
        # being closed: the garbage collector interrupts the loop, or a thread of the parent of this
        # process ran it during the fork.
        with suppress(RuntimeError):
            _step(self._guard.aclose())


def _step(awaitable: Awaitable[None]) -> None:
    """Run an awaitable that never waits, without a loop."""
    with suppress(StopIteration, StopAsyncIteration):
        next(awaitable.__await__())


def _close_all(entries: dict[int, _Entry[Any]]) -> None:
    while entries:
        entries.popitem()[1].close()


_pools_lock = free_in_child(threading.RLock())
#: Referenced weakly: a pool ends with its last user.
_pools: weakref.WeakValueDictionary[Hashable, _Pool[Any]] = weakref.WeakValueDictionary()

#: Resources of the parent process; referenced, so that the child never finalises them.
_inherited: list[Any] = []

_live: weakref.WeakSet[PerLoop[Any]] = weakref.WeakSet()

#: Loops of other threads that have to close a resource, and their process.
_closing: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, int] = weakref.WeakKeyDictionary()


def _close_at_exit(resources: PerLoop[Any]) -> None:
    # Exit handlers run last in, first out. Registered again at each first use, this one runs before
    # the handlers of libraries that stop the loops of their threads.
    if resources not in _live:
        _live.add(resources)
        atexit.unregister(_close_live)
        atexit.register(_close_live)


def _close_live() -> None:
    for resources in list(_live):
        resources.close_at_exit()
    # A library's handler that stops the loop next must not interrupt the closing of connections.
    for loop, pid in list(_closing.items()):
        if pid == os.getpid() and loop.is_running():
            _await_iteration(loop)


def _await_iteration(loop: asyncio.AbstractEventLoop) -> None:
    """Wait briefly until a loop has run its scheduled callbacks, and those that they schedule."""
    done = threading.Event()
    # The loop may end meanwhile.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(loop.call_soon, done.set)
        done.wait(_EXIT_GRACE)
