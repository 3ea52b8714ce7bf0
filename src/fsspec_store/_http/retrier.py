"""Sends requests: each with a permit of the service's limiter, and again after transient failures.

Does not know what a request is. The caller passes a function that sends it once.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from .body_memory import MemoryInUseError, Reservation, body_memory, default_bound
from .hedged_attempt import HedgedAttempt
from .hedging import Hedging
from .limiter import Permit, limiter_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .hedging import Read
    from .retry_policy import RetryDecision, RetryPolicy
    from .stats import Stats

__all__ = ["Budget", "NoPermitError", "Retrier", "Slot"]

T = TypeVar("T")

#: The limiters bound the memory of smaller bodies.
_MIN_RESERVED_BYTES = 256 * 2**10


class NoPermitError(Exception):
    """A spare slot has no permit for another attempt."""


class Budget:
    """Failures of all requests of one operation: at most ``retries + 1``.

    No attempt starts when failed attempts and waits have taken ``2 * timeout``. The time of
    concurrent requests counts once.
    """

    failures = 0
    #: Seconds that failed attempts and waits have taken.
    elapsed = 0.0
    _counted_until = 0.0

    def count(self, began: float, ended: float) -> None:
        """Add the time of a failed attempt or a wait."""
        self.elapsed += max(ended - max(began, self._counted_until), 0.0)
        self._counted_until = max(ended, self._counted_until)


class Retrier:
    """Sends the requests of one backend to one service.

    Parameters
    ----------
    service : str
        Scheme, host and port of the endpoint. Requests to it share a limit.
    classify : callable
        Returns the retry decision of an exception, ``None`` for a permanent failure.
    memory_bytes : int, optional
        Bound of `BodyMemory` for reads.
    hedge : float, optional
        Maximum number of slow reads that are requested again, per successful read.
    """

    def __init__(
        self,
        service: str,
        policy: RetryPolicy,
        classify: Callable[[Exception], RetryDecision | None],
        stats: Stats,
        *,
        memory_bytes: int | None = None,
        hedge: float = 0.0,
    ) -> None:
        self.policy = policy
        self.memory_bytes = default_bound() if memory_bytes is None else memory_bytes
        self._limiter = limiter_for(service)
        self._classify = classify
        self._stats = stats
        stats.limiter = self._limiter
        self._hedging = Hedging(hedge) if hedge else None

    async def send(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        refresh: Callable[[], Awaitable[object]] | None = None,
        budget: Budget | None = None,
        read: Read | None = None,
    ) -> T:
        """Like `Slot.send`, for an attempt that reads the whole response."""
        # A ``with`` statement would add two calls to each request.
        slot = Slot(self, budget)
        slot.read = read
        succeeded = False
        try:
            result = await slot.send(attempt, refresh=refresh)
            succeeded = True
            return result
        finally:
            if slot._permit is not None:
                self._limiter.release(slot._permit, succeeded=succeeded)


class Slot:
    """A permit of the limiter and a budget of retries, for requests that are sent one by one.

    A context manager. The permit is taken at the first attempt and held until the block is left, so
    that a body that is read within the block counts as in flight. A value that is read again in the
    same slot, after a mismatch of its checksum for example, has no further retries. The memory that
    is reserved for the value is released with the permit.

    Parameters
    ----------
    permit : Permit, optional
        Permit of a spare slot, which never waits for another one. Two requests that each hold a
        slot and wait for another would block each other.

    Attributes
    ----------
    read : Read or None
        What the next `send` reads, if it may be requested twice at the same time when the response
        is slow. Set it where each attempt reads into its own memory.
    """

    __slots__ = ("_budget", "_is_spare", "_memory", "_permit", "_retrier", "read")

    def __init__(
        self, retrier: Retrier, budget: Budget | None = None, permit: Permit | None = None
    ) -> None:
        self._retrier = retrier
        self._budget = Budget() if budget is None else budget
        self._permit = permit
        self._is_spare = permit is not None
        self._memory: Reservation | None = None
        self.read: Read | None = None

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if self._permit is not None:
            self._retrier._limiter.release(self._permit, succeeded=exc_type is None)
            self._permit = None
        if self._memory is not None:
            self._release_memory()

    async def wait_for_memory(self, size: int) -> None:
        """Reserve memory for a body of a known size before the first attempt."""
        if size >= _MIN_RESERVED_BYTES:
            self._memory = await body_memory.acquire(size, self._retrier.memory_bytes)

    def reserve(self, size: int) -> None:
        """Reserve memory for the body of the value, within an attempt.

        Raises `MemoryInUseError` if other values use the memory. The attempt closes the response,
        and `send` repeats it with the memory. A read and its hedge share one reservation: hedges
        are few, and the memory of one of them is soon free.
        """
        held = 0 if self._memory is None else self._memory.size
        if size <= held or size < _MIN_RESERVED_BYTES:
            return
        self._release_memory()
        # Without a permit the response is of a hedge that is no longer used.
        if self._permit is not None:
            bound, loop = self._retrier.memory_bytes, self._permit.loop
            self._memory = body_memory.try_acquire(size, bound, loop)
        if self._memory is None:
            raise MemoryInUseError(size)

    def _release_memory(self) -> None:
        if self._memory is not None:
            body_memory.release(self._memory)
            self._memory = None

    def spare(self) -> Slot | None:
        """A slot with the same budget, if a permit is free now. The caller enters it at once."""
        permit = self._retrier._limiter.try_acquire()
        return None if permit is None else Slot(self._retrier, self._budget, permit)

    def body_failed(self) -> bool:
        """Count a body that broke off after its attempt. Return whether a retry is left."""
        self._budget.failures += 1
        return self._budget.failures <= self._retrier.policy.retries

    async def send(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        refresh: Callable[[], Awaitable[object]] | None = None,
    ) -> T:
        """Await ``attempt()`` until it succeeds, fails permanently, or the budget is used up.

        The permit is released during the wait before a retry.

        Parameters
        ----------
        attempt : callable
            Sends the request once; raises its failure. The caller reads or closes a body that it
            leaves unread before the slot's block is left.
        refresh : callable, optional
            Refreshes expired credentials. It is called at most once.

        Raises
        ------
        NoPermitError
            When this is a spare slot, and no permit is free for a retry.
        Exception
            The exception of the last attempt, with a note if there were several.
        """
        retrier, budget = self._retrier, self._budget
        limiter, stats = retrier._limiter, retrier._stats
        read, self.read = self.read, None
        hedging = retrier._hedging
        # Size of the body that waits for memory.
        needed = 0
        while True:
            if needed:
                self._memory = await body_memory.acquire(needed, retrier.memory_bytes)
                needed = 0
            if self._permit is None:
                self._permit = limiter.try_acquire() if self._is_spare else await limiter.acquire()
                if self._permit is None:
                    raise NoPermitError
            # The wait for a permit does not count.
            began = time.monotonic()
            stats.requests += 1
            if stats.requests == stats.review_at and stats.review is not None:
                stats.review(stats)
            try:
                if read is None or hedging is None:
                    result = await attempt()
                else:
                    result = await HedgedAttempt(
                        attempt, read, hedging, limiter, retrier._classify, stats
                    ).send()
                stats.response_seconds += time.monotonic() - began
                return result
            except MemoryInUseError as error:
                # Wait after this block: the exception refers to the response.
                needed = error.args[0]
                self._release_memory()
                if self._permit is not None:
                    limiter.release(self._permit)
                    self._permit = None
                continue
            except Exception as error:
                decision = retrier._classify(error)
                throttled = decision is not None and decision.throttled
                if hedging is not None and decision is not None:
                    hedging.failed(throttled=throttled)
                stats.throttled += throttled
                if self._permit is not None:
                    limiter.release(self._permit, throttled=throttled)
                    self._permit = None
                ended = time.monotonic()
                budget.failures += 1
                budget.count(began, ended)
                wait = self._wait(decision, refresh)
                if wait is None:
                    if budget.failures > 1 and not getattr(error, "__notes__", None):
                        # Requests that wait for the same lookup of credentials share its error.
                        error.add_note(f"tried {budget.failures} times in {budget.elapsed:.1f} s")
                    raise
            assert decision is not None
            if decision.expired:
                assert refresh is not None
                await refresh()
                refresh = None
            stats.retries += 1
            budget.count(ended, ended + wait)
            await asyncio.sleep(wait)

    def _wait(
        self, decision: RetryDecision | None, refresh: Callable[[], Awaitable[object]] | None
    ) -> float | None:
        """Seconds to wait before a retry; ``None`` for no retry."""
        if decision is None:
            return None
        if decision.expired:
            return None if refresh is None else 0.0
        budget = self._budget
        return self._retrier.policy.wait_before(budget.failures, decision, budget.elapsed)
