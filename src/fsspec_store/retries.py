"""When a request is sent again, how long one may take, and when to give up.

One policy for every service; what a failure of a service was, its backend says. Pure, no I/O.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CHANCE", "EXPIRED", "TRANSIENT", "RetryPolicy", "Verdict", "status_verdict"]

#: The system's, and not Python's own: programs seed that, and many with one seed would all wait
#: equally long.
CHANCE = random.SystemRandom()

#: Nobody answers a connection later than this who answers it at all.
_MAX_CONNECT_SECONDS = 5.0
#: Bytes a second of an upload that is not given up.
_SLOWEST_UPLOAD = 64 * 2**10
_SLOWEST_DOWNLOAD = 4 * 2**10
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 5.0
#: Statuses after which the same request may succeed (RFC 9110, section 15; Google Cloud Storage,
#: "Retry strategy"; S3, "Error responses").
_TRANSIENT = frozenset({408, 500, 502, 503, 504})
#: Statuses by which a service asks for fewer requests (RFC 6585, section 4; S3 "SlowDown").
_THROTTLED = frozenset({429, 503})


@dataclass(frozen=True)
class Verdict:
    """Why a request that failed may be sent again.

    Parameters
    ----------
    throttled : bool, optional
        The service asked for fewer requests.
    expired : bool, optional
        The credentials were once good: they are read anew before the next attempt.
    after : float, optional
        Seconds the service asked to wait.
    """

    throttled: bool = False
    expired: bool = False
    after: float | None = None


TRANSIENT = Verdict()
EXPIRED = Verdict(expired=True)


@dataclass(frozen=True)
class RetryPolicy:
    """How long a store waits for a service, and how often it asks again.

    Waits grow from 0.1 s, doubling to 5 s at most, each shortened by up to a half at random, so
    that clients that failed together do not come back together. A wait that the service asked for
    (``Retry-After``) is kept to.

    Parameters
    ----------
    timeout : float, optional
        Seconds one attempt waits for a sign of the server: to answer, or to send on. Connecting
        takes at most 5 of them. No attempt begins later than twice this after the first.
    retries : int, optional
        How many more attempts follow the first, ``>= 0``.

    Raises
    ------
    ValueError, TypeError
        When a bound is not kept.
    """

    timeout: float = 20.0
    retries: int = 6

    def __post_init__(self) -> None:
        if isinstance(self.timeout, bool) or not isinstance(self.timeout, (int, float)):
            raise TypeError(f"timeout is a number of seconds, got {self.timeout!r}")
        if not 0 < self.timeout < float("inf"):
            raise ValueError(f"timeout is more than 0 seconds, and finite, got {self.timeout!r}")
        if isinstance(self.retries, bool) or not isinstance(self.retries, int):
            raise TypeError(f"retries is an integer, got {self.retries!r}")
        if self.retries < 0:
            raise ValueError(f"retries is at least 0, got {self.retries!r}")

    @property
    def connect_timeout(self) -> float:
        """Seconds to wait for a connection."""
        return min(self.timeout, _MAX_CONNECT_SECONDS)

    def upload_timeout(self, size: int) -> float:
        """Seconds an attempt that sends so many bytes may take: no sign comes until it has."""
        return self.timeout + size / _SLOWEST_UPLOAD

    def transfer_timeout(self, sent: int, received: int = 0) -> float:
        """Seconds in which an attempt must have moved so many bytes, or it is given up.

        A transfer that is slower than 64 KiB/s up or 4 KiB/s down counts as stalled.

        Parameters
        ----------
        sent : int
            Bytes of the request's body.
        received : int, optional
            Bytes of the response's body so far.
        """
        return self.timeout + sent / _SLOWEST_UPLOAD + received / _SLOWEST_DOWNLOAD

    def wait_before(self, retry: int, verdict: Verdict, elapsed: float) -> float | None:
        """Seconds to wait before a further attempt; ``None`` to give up.

        Parameters
        ----------
        retry : int
            Which further attempt this would be, from 1.
        verdict : Verdict
            What the attempt before it failed with.
        elapsed : float
            Seconds since the first attempt began.
        """
        if retry > self.retries:
            return None
        longest = min(_FIRST_WAIT * 2 ** min(retry - 1, 10), _LONGEST_WAIT)
        wait = CHANCE.uniform(longest / 2, longest)
        if verdict.after is not None:
            wait = max(wait, verdict.after)
        return None if elapsed + wait > 2 * self.timeout else wait


def status_verdict(status: int, headers: Mapping[str, str]) -> Verdict | None:
    """What an HTTP status says of another attempt; ``None`` where it would fare no better.

    Parameters
    ----------
    status : int
        Of the answer.
    headers : mapping
        Of the answer; ``Retry-After`` is looked up in lower case, so a mapping that minds case
        has lower-case names.
    """
    throttled = status in _THROTTLED
    if not throttled and status not in _TRANSIENT:
        return None
    return Verdict(throttled=throttled, after=_retry_after(headers.get("retry-after")))


def _retry_after(value: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header (RFC 9110, section 10.2.3): a number, or a date."""
    if value is None:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max((then - datetime.now(UTC)).total_seconds(), 0.0)
