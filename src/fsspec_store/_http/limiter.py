"""Limits the number of requests that this process has in flight to each service.

All stores, loops and threads of the process share the limiter of a service. Its limit starts low,
doubles as long as requests succeed, halves when the service throttles, and then grows by one for
each round of successes (additive increase, multiplicative decrease). All limiters together use a
part of the files that the process may have open. Does not know what a request is.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from .._runtime.forks import free_in_child, in_child

try:
    import resource
except ImportError:  # Windows has no such limit.
    resource = None  # type: ignore[assignment]

__all__ = ["MAX_IN_FLIGHT", "Limiter", "Permit", "limiter_for"]

#: Upper bound of each limit. An event loop is busy with fewer requests.
MAX_IN_FLIGHT = 128
_START = 16
_MIN = 1
#: Interval in seconds at which permits of stopped loops are released while requests wait.
_CHECK_SECONDS = 1.0


class Limiter:
    """Grants a number of permits that follows what the service accepts.

    Attributes
    ----------
    limit : float
        Current maximum number of permits. A lower value takes effect with the next permit.
    most_in_flight : int
        Maximum number of permits that were held at one time.
    """

    def __init__(self, most: int = MAX_IN_FLIGHT) -> None:
        self._most = most
        self._reset()

    def _reset(self) -> None:
        self.limit = float(min(_START, self._most))
        self.most_in_flight = 0
        self._held: set[Permit] = set()
        self._starting = True
        # Raised when the limit is lowered: throttling of requests sent before that is ignored.
        self._generation = 0
        self._waiting: deque[_Waiter] = deque()

    @property
    def most(self) -> int:
        """Upper bound of `limit`."""
        return self._most

    @most.setter
    def most(self, most: int) -> None:
        self._most = most

    @property
    def in_flight(self) -> int:
        """Number of permits that are held."""
        return len(self._held)

    async def acquire(self) -> Permit:
        """Wait for a permit. The caller returns it with `release`."""
        loop = asyncio.get_running_loop()
        with _lock:
            permit = None if self._waiting else self._take(loop)
            if permit is None:
                # Afterwards there is room only if no request waits whose loop runs.
                _release_stopped()
                permit = self._take(loop)
            if permit is not None:
                return permit
            waiter = _Waiter(loop, loop.create_future())
            self._waiting.append(waiter)
            _check_later(loop)
        try:
            return await waiter.permit
        except BaseException:
            with _lock, suppress(ValueError):
                self._waiting.remove(waiter)
            if waiter.permit.done() and not waiter.permit.cancelled():
                # Granted at the same time: another request can have it.
                self.release(waiter.permit.result())
            raise

    def try_acquire(self) -> Permit | None:
        """A permit if one is free and no request waits for it; ``None`` otherwise."""
        loop = asyncio.get_running_loop()
        with _lock:
            return None if self._waiting else self._take(loop)

    def release(self, permit: Permit, *, throttled: bool = False, succeeded: bool = False) -> None:
        """Return a permit, with the outcome of its last request."""
        with _lock:
            if throttled:
                # Counts once for all requests that were in flight when the service throttled.
                if permit.generation == self._generation:
                    self._generation += 1
                    self._starting = False
                    self.limit = max(self.limit / 2, _MIN)
            elif succeeded and len(self._held) >= self.limit - 1:
                # A limit that is not reached does not grow.
                step = 1.0 if self._starting else 1 / self.limit
                self.limit = min(self.limit + step, self._most)
            self._drop(permit)
            if self._waiting:
                self._wake()
            # Requests to other services may wait for a socket.
            if _all.in_flight >= _all.most - 1:
                for limiter in _limiters.values():
                    limiter._wake()

    def _take(self, loop: asyncio.AbstractEventLoop) -> Permit | None:
        """A new permit, ``None`` if the limit is reached."""
        if len(self._held) >= int(self.limit) or _all.in_flight >= _all.most:
            return None
        permit = Permit(loop, self._generation)
        self._held.add(permit)
        if len(self._held) > self.most_in_flight:
            self.most_in_flight = len(self._held)
        _all.in_flight += 1
        return permit

    def _drop(self, permit: Permit) -> None:
        if permit in self._held:
            self._held.remove(permit)
            _all.in_flight -= 1

    def _wake(self) -> None:
        """Grant permits to the requests that wait, as long as there is room."""
        skipped = []
        while self._waiting:
            waiter = self._waiting.popleft()
            if waiter.loop.is_running():
                permit = self._take(waiter.loop)
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

    def _grant(self, waiter: _Waiter, permit: Permit) -> None:
        if waiter.permit.done():
            self.release(permit)
        else:
            waiter.permit.set_result(permit)


@dataclass(slots=True, eq=False)
class Permit:
    """The permission to send one request at a time. Two permits are never equal."""

    loop: asyncio.AbstractEventLoop
    #: Number of times that the limit had been lowered when the permit was granted.
    generation: int


class _Waiter(NamedTuple):
    loop: asyncio.AbstractEventLoop
    permit: asyncio.Future[Permit]


def _release_stopped() -> None:
    """Release the permits of loops that have stopped: their requests make no progress."""
    for limiter in _limiters.values():
        for permit in [held for held in limiter._held if not held.loop.is_running()]:
            limiter._drop(permit)
        limiter._wake()


def _check_later(loop: asyncio.AbstractEventLoop) -> None:
    """Release the permits of stopped loops at intervals, as long as a request waits on a loop.

    A loop that stops does not call anything here.
    """
    if loop not in _checking:
        _checking.add(loop)
        loop.call_later(_CHECK_SECONDS, _check, loop)


def _check(loop: asyncio.AbstractEventLoop) -> None:
    with _lock:
        _checking.discard(loop)
        _release_stopped()
        if any(
            waiter.loop is loop for limiter in _limiters.values() for waiter in limiter._waiting
        ):
            _check_later(loop)


class _Process:
    """The limit that all limiters of the process share: its number of sockets."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.most = _sockets()


def _sockets() -> int:
    """A quarter of the files that the process may have open: pools keep idle connections too."""
    if resource is not None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            return max(soft // 4, 4)
    return 4 * MAX_IN_FLIGHT


_lock = free_in_child(threading.RLock())
_all = _Process()
_limiters: dict[str, Limiter] = {}
_checking: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


def limiter_for(service: str) -> Limiter:
    """The limiter of a service, shared by the whole process."""
    with _lock:
        limiter = _limiters.get(service)
        if limiter is None:
            limiter = _limiters[service] = Limiter(min(MAX_IN_FLIGHT, _all.most))
        return limiter


@in_child
def _reset_in_child() -> None:
    # The requests in flight belong to the parent.
    global _all
    _all = _Process()
    for limiter in _limiters.values():
        limiter._reset()
