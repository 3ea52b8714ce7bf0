"""How many requests this process keeps in flight to each service.

One limiter for each service, shared by all stores, loops and threads of the process. It starts
gently, doubles as long as requests succeed, halves when the service asks for fewer, and from then
on grows by one for each round of successes (additive increase, multiplicative decrease). All
limiters together leave room among the files the process may have open.

Knows asyncio and locks, and nothing of what a request is.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from contextlib import suppress

try:
    import resource
except ImportError:  # Windows has no such limit.
    resource = None  # type: ignore[assignment]

__all__ = ["MAX_IN_FLIGHT", "Limiter", "limiter_for"]

#: More than this gains nothing: an event loop is busy long before.
MAX_IN_FLIGHT = 128
_START = 16
_LEAST = 1


class Limiter:
    """So many permits at once, and as many as the service bears.

    Parameters
    ----------
    most : int, optional
        Permits it grows to.
    """

    def __init__(self, most: int = MAX_IN_FLIGHT) -> None:
        self._most = most
        self._reset()

    def _reset(self) -> None:
        self.limit = float(min(_START, self._most))
        self.in_flight = 0
        self._starting = True
        # Permits given since the limit was lowered tell news from old news.
        self._era = 0
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    async def acquire(self) -> int:
        """Wait for a permit; what is returned is handed back to `release`."""
        with _lock:
            if not self._waiting and self._has_room():
                self._take()
                return self._era
            loop = asyncio.get_running_loop()
            permit = loop.create_future()
            self._waiting.append((loop, permit))
            _with_waiters.add(self)
        try:
            await permit
        except asyncio.CancelledError:
            with _lock, suppress(ValueError):
                self._waiting.remove((loop, permit))
            if permit.done() and not permit.cancelled():
                # Given in the same moment: somebody else can have it.
                self._give_back()
            raise
        return self._era

    def release(self, era: int, *, throttled: bool = False, succeeded: bool = False) -> None:
        """Give a permit back, and say how the request went."""
        with _lock:
            if throttled:
                # Of all that was in flight when the service complained, one complaint counts.
                if era == self._era:
                    self._era += 1
                    self._starting = False
                    self.limit = max(self.limit / 2, _LEAST)
            elif succeeded and self.in_flight >= self.limit - 1:
                # Only a limit that was reached has shown that it is too low.
                step = 1.0 if self._starting else 1 / self.limit
                self.limit = min(self.limit + step, self._most)
        self._give_back()

    def _give_back(self) -> None:
        with _lock:
            self.in_flight -= 1
            _all.in_flight -= 1
            # Another service's requests may be waiting for this one's socket.
            for limiter in (self, *(other for other in _with_waiters if other is not self)):
                limiter._wake()

    def _has_room(self) -> bool:
        return self.in_flight < int(self.limit) and _all.in_flight < _all.most

    def _take(self) -> None:
        self.in_flight += 1
        _all.in_flight += 1

    def _wake(self) -> None:
        while self._waiting and self._has_room():
            loop, permit = self._waiting.popleft()
            # A loop that was closed with requests waiting has nobody to tell.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._grant, permit)
                self._take()
        if not self._waiting:
            _with_waiters.discard(self)

    def _grant(self, permit: asyncio.Future[None]) -> None:
        if permit.done():
            self._give_back()
        else:
            permit.set_result(None)


class _Process:
    """What all limiters of the process share: the sockets it may have."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.most = _sockets()


def _sockets() -> int:
    """A quarter of the files the process may have open: pools keep idle connections as well."""
    if resource is None:
        return 4 * MAX_IN_FLIGHT
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 4 * MAX_IN_FLIGHT
    return max(soft // 4, 4)


_lock = threading.RLock()
_all = _Process()
_limiters: dict[str, Limiter] = {}
_with_waiters: set[Limiter] = set()


def limiter_for(service: str) -> Limiter:
    """The process's one limiter for a service.

    Parameters
    ----------
    service : str
        What its requests have in common: scheme, host and port of an endpoint.
    """
    with _lock:
        limiter = _limiters.get(service)
        if limiter is None:
            limiter = _limiters[service] = Limiter(min(MAX_IN_FLIGHT, _all.most))
        return limiter


def _start_again_in_child() -> None:
    # Requests of the parent are the parent's; its lock may have been held by a thread that is gone.
    global _lock, _all
    _lock = threading.RLock()
    _all = _Process()
    _with_waiters.clear()
    for limiter in _limiters.values():
        limiter._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_again_in_child)
