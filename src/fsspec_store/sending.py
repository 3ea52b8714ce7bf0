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

    from .retries import RetryPolicy, Verdict

__all__ = ["Sender", "Stats"]

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
        """Await ``attempt()`` until it succeeds, fails for good, or the policy gives up.

        Parameters
        ----------
        attempt : callable
            Sends the request once, reads the whole answer, and raises what went wrong.
        renew : callable, optional
            Reads expired credentials anew; called once at most.

        Raises
        ------
        Exception
            What the last attempt raised, with a note when there were several.
        """
        elapsed = 0.0
        retry = 0
        while True:
            throttled = succeeded = False
            permit = await self._limiter.acquire()
            # Waiting for others is not waiting for the service.
            began = time.monotonic()
            self._stats.requests += 1
            try:
                answer = await attempt()
                succeeded = True
                return answer
            except Exception as error:
                verdict = self._judge(error)
                throttled = verdict is not None and verdict.throttled
                retry += 1
                elapsed += time.monotonic() - began
                wait = self._wait(verdict, retry, elapsed, renew)
                if wait is None:
                    if retry > 1:
                        error.add_note(f"tried {retry} times in {elapsed:.1f} s")
                    raise
            finally:
                self._stats.throttled += throttled
                self._limiter.release(permit, throttled=throttled, succeeded=succeeded)
            assert verdict is not None
            if verdict.expired:
                assert renew is not None
                await renew()
                renew = None
            self._stats.retries += 1
            elapsed += wait
            await asyncio.sleep(wait)

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
        return self.policy.wait_before(retry, verdict, elapsed)
