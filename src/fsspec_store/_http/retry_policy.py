"""When a request is sent again, how long one may take, and when to give up.

One policy for every service; what a failure of a service was, its backend says. Pure, no I/O.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CHANCE",
    "EXPIRED",
    "SLOWEST_DOWNLOAD",
    "TRANSIENT",
    "RetryPolicy",
    "Verdict",
    "status_verdict",
    "too_slow",
]

#: The system's, and not Python's own: programs seed that, and many with one seed would all wait
#: equally long.
CHANCE = random.SystemRandom()

#: Upper bound on the connect timeout.
_MAX_CONNECT_SECONDS = 5.0
#: Minimum rates of an attempt, in bytes a second. A download may share a slow line with all other
#: requests of the process, an upload with a few.
_SLOWEST_UPLOAD = 64 * 2**10
SLOWEST_DOWNLOAD = 4 * 2**10
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 5.0
#: Client errors after which the same request may succeed: request timeout (RFC 9110, section
#: 15.5.9), too early (RFC 8470, section 5.2), too many requests (RFC 6585, section 4).
_TRANSIENT_CLIENT_ERRORS = frozenset({408, 425, 429})
#: Server errors that another attempt meets again: not implemented, HTTP version not supported
#: (RFC 9110, sections 15.6.2 and 15.6.6), variant also negotiates (RFC 2295), loop detected (RFC
#: 5842), not extended (RFC 2774), network authentication required (RFC 6585).
_PERMANENT_SERVER_ERRORS = frozenset({501, 505, 506, 508, 510, 511})
#: Statuses by which a service asks for fewer requests (RFC 6585, section 4; S3 "SlowDown"); 509 and
#: 529 are in no RFC: "bandwidth limit exceeded" and "site is overloaded".
_THROTTLED = frozenset({429, 503, 509, 529})
#: Seconds of a ``Retry-After``; no exponents, no ``nan``.
_SECONDS = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")


@dataclass(frozen=True)
class Verdict:
    """Why a request that failed may be sent again.

    Parameters
    ----------
    throttled : bool, optional
        The service asked for fewer requests.
    expired : bool, optional
        The credentials were once good: they are refreshed before the next attempt.
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
        Seconds one attempt waits for a response, and within one for the next bytes. Connecting
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
        return self.timeout + sent / _SLOWEST_UPLOAD + received / SLOWEST_DOWNLOAD

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
    """Whether an HTTP status is transient; ``None`` where another attempt would fail as well.

    Every server error is transient (RFC 9110, section 15.6: a client treats an unknown 5xx as 500),
    but for those that state a permanent condition. Proxies and CDNs have many of their own: 520 to
    524 and 530 are Cloudflare's. All requests of this package can be repeated.

    Parameters
    ----------
    status : int
        Of the response.
    headers : mapping
        Of the response; ``Retry-After`` is looked up in lower case, so a mapping that minds case
        has lower-case names.
    """
    is_server_error = 500 <= status <= 599 and status not in _PERMANENT_SERVER_ERRORS
    if not is_server_error and status not in _TRANSIENT_CLIENT_ERRORS:
        return None
    after = _retry_after(headers.get("retry-after"))
    return Verdict(throttled=status in _THROTTLED, after=after)


def too_slow(received: int, seconds: float) -> TimeoutError:
    """The error of a body that came slower than the minimum rate."""
    return TimeoutError(f"the response was too slow: {received} bytes of a body in {seconds:.3g} s")


def _retry_after(value: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header (RFC 9110, section 10.2.3): a number, or a date."""
    if value is None:
        return None
    if _SECONDS.fullmatch(value):
        return max(float(value), 0.0)
    try:
        then = parsedate_to_datetime(value)
        if then.tzinfo is None:
            then = then.replace(tzinfo=UTC)
        return max((then - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return None
