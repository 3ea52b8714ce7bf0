"""Limits the number of requests that this process has in flight to each service.

All stores, loops and threads of the process share the limiter of a service. Its limit starts low,
doubles as long as requests succeed, halves when the service throttles, and then grows by one for
each round of successes (additive increase, multiplicative decrease). All limiters together use a
part of the files that the process may have open. Does not know what a request is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from .._runtime.forks import in_child
from . import permits
from .permits import Permits, lock

try:
    import resource
except ImportError:  # Windows has no such limit.
    resource = None  # type: ignore[assignment]

__all__ = ["MAX_IN_FLIGHT", "Limiter", "Permit", "limiter_for"]

#: Upper bound of each limit. An event loop is busy with fewer requests.
MAX_IN_FLIGHT = 128
_START = 16
_MIN = 1


@dataclass(slots=True, eq=False)
class Permit(permits.Permit):
    """The permission to send one request at a time."""

    #: Number of times that the limit had been lowered when the permit was granted.
    generation: int


class Limiter(Permits[Permit]):
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
        super().__init__()

    def _reset(self) -> None:
        super()._reset()
        self.limit = float(min(_START, self._most))
        self.most_in_flight = 0
        self._starting = True
        # Raised when the limit is lowered: throttling of requests sent before that is ignored.
        self._generation = 0

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
        permit = self.try_acquire()
        if permit is None:
            permit = await self._wait(partial(self._take, asyncio.get_running_loop()))
        return permit

    def try_acquire(self) -> Permit | None:
        """A permit if one is free and no request waits for it; ``None`` otherwise."""
        loop = asyncio.get_running_loop()
        with lock:
            return None if self._waiting else self._take(loop)

    def release(self, permit: Permit, *, throttled: bool = False, succeeded: bool = False) -> None:
        """Return a permit, with the outcome of its last request."""
        with lock:
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


_all = _Process()
_limiters: dict[str, Limiter] = {}


def limiter_for(service: str) -> Limiter:
    """The limiter of a service, shared by the whole process."""
    with lock:
        limiter = _limiters.get(service)
        if limiter is None:
            limiter = _limiters[service] = Limiter(min(MAX_IN_FLIGHT, _all.most))
        return limiter


@in_child
def _reset_in_child() -> None:
    global _all
    _all = _Process()
