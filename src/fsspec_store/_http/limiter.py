"""How many requests this process keeps in flight to each service.

One limiter for each service, shared by all stores, loops and threads of the process. It starts
gently, doubles as long as requests succeed, halves when the service asks for fewer, and from then
on grows by one for each round of successes (additive increase, multiplicative decrease). All
limiters together leave room among the files the process may have open.

Knows asyncio and locks, and nothing of what a request is.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from contextlib import suppress
from typing import NamedTuple

from .._runtime.forks import free_in_child, in_child

try:
    import resource
except ImportError:  # Windows has no such limit.
    resource = None  # type: ignore[assignment]

__all__ = ["MAX_IN_FLIGHT", "Limiter", "Permit", "limiter_for"]

#: More than this gains nothing: an event loop is busy long before.
MAX_IN_FLIGHT = 128
_START = 16
_LEAST = 1
#: Seconds after which loops that wait look again who still holds what they wait for.
_LOOK_AGAIN = 1.0


class Limiter:
    """So many permits at once, and as many as the service bears.

    Parameters
    ----------
    most : int, optional
        Permits it grows to.

    Attributes
    ----------
    limit : float
        Permits at this time; lowered, it takes effect with the next one.
    """

    def __init__(self, most: int = MAX_IN_FLIGHT) -> None:
        self._most = most
        self._reset()

    def _reset(self) -> None:
        self.limit = float(min(_START, self._most))
        self._held: set[Permit] = set()
        self._starting = True
        # Raised when the limit is lowered: throttling of requests sent before that is ignored.
        self._generation = 0
        self._waiting: deque[_Waiter] = deque()

    @property
    def most(self) -> int:
        """Permits that `limit` grows to."""
        return self._most

    @most.setter
    def most(self, most: int) -> None:
        self._most = most

    @property
    def in_flight(self) -> int:
        """How many permits are held."""
        return len(self._held)

    async def acquire(self) -> Permit:
        """Wait for a permit, to be handed back to `release`."""
        loop = asyncio.get_running_loop()
        with _lock:
            # `_has_room` and `_take`, written out: every request passes here.
            if (
                not self._waiting
                and len(self._held) < int(self.limit)
                and _all.in_flight < _all.most
            ):
                permit = Permit(loop, self._generation)
                self._held.add(permit)
                _all.in_flight += 1
                return permit
            # Afterwards there is room only if no request waits whose loop runs.
            _reap()
            if self._has_room():
                return self._take(loop)
            waiter = _Waiter(loop, loop.create_future())
            self._waiting.append(waiter)
            _watch(loop)
        try:
            return await waiter.permit
        except BaseException:
            with _lock, suppress(ValueError):
                self._waiting.remove(waiter)
            if waiter.permit.done() and not waiter.permit.cancelled():
                # Granted in the same moment: another request can have it.
                self.release(waiter.permit.result())
            raise

    def try_acquire(self) -> Permit | None:
        """A permit if one is free and no request waits for it; ``None`` otherwise."""
        loop = asyncio.get_running_loop()
        with _lock:
            return None if self._waiting or not self._has_room() else self._take(loop)

    def release(self, permit: Permit, *, throttled: bool = False, succeeded: bool = False) -> None:
        """Give a permit back, and say how the request went."""
        with _lock:
            if throttled:
                # Of all requests in flight when the service throttled, one counts.
                if permit.generation == self._generation:
                    self._generation += 1
                    self._starting = False
                    self.limit = max(self.limit / 2, _LEAST)
            elif succeeded and len(self._held) >= self.limit - 1:
                # Only a limit that was reached has shown that it is too low.
                step = 1.0 if self._starting else 1 / self.limit
                self.limit = min(self.limit + step, self._most)
            if permit in self._held:
                self._held.remove(permit)
                _all.in_flight -= 1
            if self._waiting:
                self._wake()
            # Another service's requests may be waiting for this one's socket.
            if _all.in_flight >= _all.most - 1:
                for limiter in _limiters.values():
                    limiter._wake()

    def _has_room(self) -> bool:
        return len(self._held) < int(self.limit) and _all.in_flight < _all.most

    def _take(self, loop: asyncio.AbstractEventLoop) -> Permit:
        permit = Permit(loop, self._generation)
        self._held.add(permit)
        _all.in_flight += 1
        return permit

    def _drop(self, permit: Permit) -> None:
        if permit in self._held:
            self._held.remove(permit)
            _all.in_flight -= 1

    def _wake(self) -> None:
        passed_over = []
        while self._waiting and self._has_room():
            waiter = self._waiting.popleft()
            if waiter.loop.is_running():
                permit = self._take(waiter.loop)
                try:
                    waiter.loop.call_soon_threadsafe(self._grant, waiter, permit)
                except RuntimeError:
                    # Closed in between, in its own thread.
                    self._drop(permit)
            elif not waiter.loop.is_closed():
                # It may run again.
                passed_over.append(waiter)
        self._waiting.extendleft(reversed(passed_over))

    def _grant(self, waiter: _Waiter, permit: Permit) -> None:
        if waiter.permit.done():
            self.release(permit)
        else:
            waiter.permit.set_result(permit)


class Permit:
    """Leave to send one request; each is equal to itself alone.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        Where it is held.
    generation : int
        How often the limit had been lowered when it was granted.
    """

    __slots__ = ("generation", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, generation: int) -> None:
        self.loop = loop
        self.generation = generation


class _Waiter(NamedTuple):
    loop: asyncio.AbstractEventLoop
    permit: asyncio.Future[Permit]


def _reap() -> None:
    """Take back what loops hold that do not run any more: their requests go nowhere."""
    for limiter in _limiters.values():
        for permit in [held for held in limiter._held if not held.loop.is_running()]:
            limiter._drop(permit)
        limiter._wake()


def _watch(loop: asyncio.AbstractEventLoop) -> None:
    """Have a loop look again from time to time, as long as somebody waits on it.

    A loop that stops says nothing, and need not be followed by another request here.
    """
    if loop not in _watching:
        _watching.add(loop)
        loop.call_later(_LOOK_AGAIN, _look_again, loop)


def _look_again(loop: asyncio.AbstractEventLoop) -> None:
    with _lock:
        _watching.discard(loop)
        _reap()
        if any(
            waiter.loop is loop for limiter in _limiters.values() for waiter in limiter._waiting
        ):
            _watch(loop)


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


_lock = free_in_child(threading.RLock())
_all = _Process()
_limiters: dict[str, Limiter] = {}
_watching: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


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


@in_child
def _start_again_in_child() -> None:
    # Requests of the parent are the parent's.
    global _all
    _all = _Process()
    for limiter in _limiters.values():
        limiter._reset()
