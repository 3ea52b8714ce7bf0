"""Send a request: as many at once as the service bears, and again when it failed in passing.

Knows the policy and the limiter, and nothing of what is sent.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from .limiter import limiter_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .limiter import Permit
    from .retries import RetryPolicy, Verdict

__all__ = ["NoPermitError", "Sender", "Slot", "Stats"]

T = TypeVar("T")


@dataclass
class Stats:
    """What a store's requests came to, since it was made.

    Attributes
    ----------
    requests : int
        Attempts sent to the service, repeated ones included. Calls of blocking filesystems and of
        the disk count as none.
    fast : int
        Those among them that went to S3 without going through s3fs.
    retries : int
        Attempts that repeated one that had failed.
    throttled : int
        Answers by which the service asked for fewer requests.
    forbidden_as_missing : int
        Refusals that ``missing_on_forbidden`` turned into "this key is missing".
    """

    requests: int = 0
    fast: int = 0
    retries: int = 0
    throttled: int = 0
    forbidden_as_missing: int = 0


class NoPermitError(Exception):
    """A spare slot has no permit for another attempt."""


class Sender:
    """Sends the requests of one backend to one service.

    Parameters
    ----------
    service : str
        What shares a limit: scheme, host and port of the endpoint.
    policy : RetryPolicy
        When to repeat, and when to give up.
    judge : callable
        Says of an exception why its request may be repeated, or ``None``.
    stats : Stats
        Counts.
    """

    def __init__(
        self,
        service: str,
        policy: RetryPolicy,
        judge: Callable[[Exception], Verdict | None],
        stats: Stats,
    ) -> None:
        self.policy = policy
        self._limiter = limiter_for(service)
        self._judge = judge
        self._stats = stats

    async def send(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        renew: Callable[[], Awaitable[object]] | None = None,
    ) -> T:
        """As `Slot.send`, for an attempt that reads the whole response."""
        # On the way of every request: a ``with`` statement would be two further calls.
        slot = Slot(self)
        succeeded = False
        try:
            answer = await slot.send(attempt, renew=renew)
            succeeded = True
            return answer
        finally:
            if slot._permit is not None:
                self._limiter.release(slot._permit, succeeded=succeeded)

    def slot(self) -> Slot:
        """A slot for a request whose body is read after its attempt."""
        return Slot(self)


class Slot:
    """A place among the requests in flight, for one request at a time.

    A context manager: the permit is taken with the first attempt, and held until the block is left.
    A body that is read within the block counts as in flight.

    Parameters
    ----------
    sender : Sender
        Whose requests.
    permit : Permit, optional
        Of a spare slot, which never waits for one: two requests that hold one slot each and wait
        for another would wait for each other.
    """

    __slots__ = ("_is_spare", "_permit", "_sender")

    def __init__(self, sender: Sender, permit: Permit | None = None) -> None:
        self._sender = sender
        self._permit = permit
        self._is_spare = permit is not None

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if self._permit is not None:
            self._sender._limiter.release(self._permit, succeeded=exc_type is None)
            self._permit = None

    def spare(self) -> Slot | None:
        """Another slot beside this one, if one is free now; to be entered at once."""
        permit = self._sender._limiter.try_acquire()
        return None if permit is None else Slot(self._sender, permit)

    async def send(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        renew: Callable[[], Awaitable[object]] | None = None,
    ) -> T:
        """Await ``attempt()`` until it succeeds, fails for good, or the policy gives up.

        The permit is given back while the next attempt is waited for.

        Parameters
        ----------
        attempt : callable
            Sends the request once, and raises what went wrong. A body that it does not read is
            read, or closed, before the slot's block is left.
        renew : callable, optional
            Reads expired credentials anew; called once at most.

        Raises
        ------
        NoPermitError
            When this is a spare slot, and the limit has no room for another attempt.
        Exception
            What the last attempt raised, with a note when there were several.
        """
        sender = self._sender
        limiter = sender._limiter
        elapsed = 0.0
        retry = 0
        while True:
            if self._permit is None:
                self._permit = self._spare_permit() if self._is_spare else await limiter.acquire()
            # Waiting for others is not waiting for the service.
            began = time.monotonic()
            sender._stats.requests += 1
            try:
                return await attempt()
            except Exception as error:
                verdict = sender._judge(error)
                throttled = verdict is not None and verdict.throttled
                sender._stats.throttled += throttled
                if self._permit is not None:
                    limiter.release(self._permit, throttled=throttled)
                    self._permit = None
                retry += 1
                elapsed += time.monotonic() - began
                wait = self._wait(verdict, retry, elapsed, renew)
                if wait is None:
                    if retry > 1 and not getattr(error, "__notes__", None):
                        # Requests that wait for one look-up of credentials share its error.
                        error.add_note(f"tried {retry} times in {elapsed:.1f} s")
                    raise
            assert verdict is not None
            if verdict.expired:
                assert renew is not None
                await renew()
                renew = None
            sender._stats.retries += 1
            elapsed += wait
            await asyncio.sleep(wait)

    def _spare_permit(self) -> Permit:
        permit = self._sender._limiter.try_acquire()
        if permit is None:
            raise NoPermitError
        return permit

    def _wait(
        self,
        verdict: Verdict | None,
        retry: int,
        elapsed: float,
        renew: Callable[[], Awaitable[object]] | None,
    ) -> float | None:
        if verdict is None:
            return None
        if verdict.expired:
            return None if renew is None else 0.0
        return self._sender.policy.wait_before(retry, verdict, elapsed)
