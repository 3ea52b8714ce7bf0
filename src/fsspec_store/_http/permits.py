"""Permits of a bounded resource that the whole process shares, granted in FIFO order.

Event loops in any thread take permits. A loop that stops loses its permits: its requests make no
progress. Does not know what a permit is for.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from .._runtime.forks import free_in_child, in_child

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Permit", "Permits", "lock"]

#: Interval in seconds at which permits of stopped loops are released while requests wait.
_CHECK_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class Permit:
    """The permission to use a part of the resource. Two permits are never equal."""

    loop: asyncio.AbstractEventLoop


PermitT = TypeVar("PermitT", bound=Permit)


class Permits(ABC, Generic[PermitT]):
    """Grants permits, and queues the requests for which there is no room.

    The methods whose names begin with an underscore, except for `_wait`, need `lock`.
    """

    def __init__(self) -> None:
        with lock:
            self._reset()
            _instances.add(self)

    def _reset(self) -> None:
        self._held: set[PermitT] = set()
        self._waiting: deque[_Waiter[PermitT]] = deque()

    @abstractmethod
    def _drop(self, permit: PermitT) -> None:
        """Return a permit, unless it has been returned because its loop had stopped."""

    @abstractmethod
    def release(self, permit: PermitT) -> None:
        """Return a permit, and grant it to requests that wait."""

    async def _wait(self, take: Callable[[], PermitT | None]) -> PermitT:
        """Wait until ``take()``, called with `lock`, returns a permit."""
        loop = asyncio.get_running_loop()
        with lock:
            _release_stopped()
            # Requests of stopped loops stay in the queue: their loops may run again.
            permit = None if any(each.loop.is_running() for each in self._waiting) else take()
            if permit is not None:
                return permit
            granted: asyncio.Future[PermitT] = loop.create_future()
            waiter = _Waiter(loop, take, granted)
            self._waiting.append(waiter)
            _check_later(loop)
        try:
            return await granted
        except BaseException:
            with lock:
                with suppress(ValueError):
                    self._waiting.remove(waiter)
                if granted.done() and not granted.cancelled():
                    # At the same time: another request can have the permit.
                    self.release(granted.result())
                else:
                    # The next request may need less.
                    self._wake()
            raise

    def _wake(self) -> None:
        """Grant permits to the requests that wait, as long as there is room for the first one."""
        skipped = []
        while self._waiting:
            waiter = self._waiting.popleft()
            if waiter.loop.is_running():
                permit = waiter.take()
                if permit is None:
                    skipped.append(waiter)
                    break
                try:
                    waiter.loop.call_soon_threadsafe(self._grant, waiter, permit)
                except RuntimeError:
                    # The thread of the loop has closed it meanwhile.
                    self._drop(permit)
            elif not waiter.loop.is_closed():
                # It may run again.
                skipped.append(waiter)
        self._waiting.extendleft(reversed(skipped))

    def _grant(self, waiter: _Waiter[PermitT], permit: PermitT) -> None:
        if waiter.granted.done():
            self.release(permit)
        else:
            waiter.granted.set_result(permit)


class _Waiter(NamedTuple, Generic[PermitT]):
    loop: asyncio.AbstractEventLoop
    take: Callable[[], PermitT | None]
    granted: asyncio.Future[PermitT]


def _release_stopped() -> None:
    """Release the permits of loops that have stopped."""
    for permits in _instances:
        for permit in [held for held in permits._held if not held.loop.is_running()]:
            permits._drop(permit)
        permits._wake()


def _check_later(loop: asyncio.AbstractEventLoop) -> None:
    """Release the permits of stopped loops at intervals, as long as a request waits on a loop.

    A loop that stops does not call anything here.
    """
    if loop not in _checking:
        _checking.add(loop)
        loop.call_later(_CHECK_SECONDS, _check, loop)


def _check(loop: asyncio.AbstractEventLoop) -> None:
    with lock:
        _checking.discard(loop)
        _release_stopped()
        if any(waiter.loop is loop for permits in _instances for waiter in permits._waiting):
            _check_later(loop)


#: Guards all permits and queues.
lock = free_in_child(threading.RLock())
_instances: weakref.WeakSet[Permits[Any]] = weakref.WeakSet()
_checking: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


@in_child
def _reset_in_child() -> None:
    # The requests in flight belong to the parent.
    for permits in _instances:
        permits._reset()
