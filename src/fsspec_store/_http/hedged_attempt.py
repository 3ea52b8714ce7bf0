"""One attempt of a read, which is requested again on another connection when it is slow.

The first success is the result. Does not know when a read is slow, or what it reads.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from .messages import LargeBody, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .hedging import Hedging, Read
    from .limiter import Limiter, Permit
    from .retry_policy import RetryDecision
    from .stats import Stats

__all__ = ["HedgedAttempt"]

T = TypeVar("T")

logger = logging.getLogger("fsspec_store.hedging")


class HedgedAttempt(Generic[T]):
    """An attempt and its hedge. The caller holds a permit for the attempt; the hedge has its own.

    Parameters
    ----------
    attempt : callable
        Sends the request. It is called a second time for the hedge, so that the two share no
        memory. An unread body that is not the result is closed.
    """

    def __init__(
        self,
        attempt: Callable[[], Awaitable[T]],
        read: Read,
        hedging: Hedging,
        limiter: Limiter,
        classify: Callable[[Exception], RetryDecision | None],
        stats: Stats,
    ) -> None:
        self._attempt = attempt
        self._read = read
        self._hedging = hedging
        self._limiter = limiter
        self._classify = classify
        self._stats = stats
        self._loop = asyncio.get_running_loop()
        #: Ends the first request when the hedge has succeeded.
        self._first = asyncio.timeout(None)
        self._first_is_pending = True
        self._hedge: asyncio.Future[T] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_slow = False

    async def send(self) -> T:
        """Send the request, and again if it is slow.

        Raises
        ------
        Exception
            The exception of the first request: a hedge does not fail a read.
        """
        began = self._loop.time()
        delay = self._hedging.delay(self._read)
        if delay is not None:
            self._timer = self._loop.call_later(delay, self._check, delay)
        try:
            result = await self._first_success()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self._hedge is not None:
                self._hedge.cancel()
                self._hedge.add_done_callback(_close)
        seconds = self._loop.time() - began
        self._hedging.succeeded(self._read, _size(result), seconds, was_slow=self._is_slow)
        return result

    async def _first_success(self) -> T:
        try:
            async with self._first:
                try:
                    return await self._attempt()
                finally:
                    self._first_is_pending = False
        except Exception as error:
            if self._hedge is None or not self._may_hedge_succeed(error):
                raise
            with suppress(Exception):
                result = await self._hedge
                self._hedge = None
                self._stats.hedges_won += 1
                return result
            raise

    def _may_hedge_succeed(self, error: Exception) -> bool:
        """Whether to await the hedge after the first request has failed, or was cancelled."""
        if self._first.expired():
            return True
        decision = self._classify(error)
        # The retrier reacts to throttling and to expired credentials.
        return decision is not None and not decision.throttled and not decision.expired

    def _check(self, delay: float) -> None:
        """Send the hedge if one is granted now; otherwise check again after another delay."""
        if not self._is_slow:
            self._is_slow = True
            self._hedging.slow()
        permit = self._limiter.try_acquire()
        if permit is None or not self._hedging.take():
            if permit is not None:
                self._limiter.release(permit)
            self._timer = self._loop.call_later(delay, self._check, delay)
            return
        self._stats.requests += 1
        self._stats.hedges += 1
        if self._stats.hedges == 1:
            logger.info(
                "a read has no response after %.3g s and is requested again; the store's stats "
                "count such hedges",
                delay,
            )
        self._hedge = asyncio.ensure_future(self._attempt())
        self._hedge.add_done_callback(partial(self._end_hedge, permit))

    def _end_hedge(self, permit: Permit, hedge: asyncio.Future[T]) -> None:
        # Not in the task, which never starts if it is cancelled at once.
        throttled, error = False, None if hedge.cancelled() else hedge.exception()
        if isinstance(error, Exception) and (decision := self._classify(error)) is not None:
            throttled = decision.throttled
            self._stats.throttled += throttled
            self._hedging.failed(throttled=throttled)
        succeeded = not hedge.cancelled() and error is None
        self._limiter.release(permit, throttled=throttled, succeeded=succeeded)
        if succeeded and self._first_is_pending:
            self._first.reschedule(self._loop.time())


def _size(result: object) -> int:
    """Size of the body of a response in bytes; 0 for other results."""
    body = result.body if isinstance(result, Response) else None
    return body.size if isinstance(body, LargeBody) else len(body or b"")


def _close(hedge: asyncio.Future[T]) -> None:
    """Close the unread body of a response that is not used."""
    if not hedge.cancelled() and hedge.exception() is None:
        result = hedge.result()
        if isinstance(result, Response) and isinstance(result.body, LargeBody):
            result.body.stream.close()
