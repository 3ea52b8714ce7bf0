"""The retry policy: which failures are retried, after which wait, and within which time.

All services share it. Backends classify their service's own errors. No I/O.
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
    "EXPIRED",
    "JITTER",
    "MIN_DOWNLOAD_RATE",
    "TRANSIENT",
    "RetryDecision",
    "RetryPolicy",
    "retry_decision_of_status",
    "too_slow",
]

#: Random numbers for the length of waits. Not Python's default generator: programs that seed it
#: with the same number would all wait for the same time.
JITTER = random.SystemRandom()

#: Upper bound on the connect timeout.
_MAX_CONNECT_SECONDS = 5.0
#: Minimum rates of an attempt, in bytes per second. Downloads are allowed to be slower: more of
#: them share a connection to the network.
_MIN_UPLOAD_RATE = 64 * 2**10
MIN_DOWNLOAD_RATE = 4 * 2**10
_FIRST_WAIT = 0.1
_MAX_WAIT = 5.0
#: Client errors after which the same request may succeed: request timeout (RFC 9110, section
#: 15.5.9), too early (RFC 8470, section 5.2), too many requests (RFC 6585, section 4).
_TRANSIENT_CLIENT_ERRORS = frozenset({408, 425, 429})
#: Permanent server errors: not implemented, HTTP version not supported
#: (RFC 9110, sections 15.6.2 and 15.6.6), variant also negotiates (RFC 2295), loop detected (RFC
#: 5842), not extended (RFC 2774), network authentication required (RFC 6585).
_PERMANENT_SERVER_ERRORS = frozenset({501, 505, 506, 508, 510, 511})
#: Statuses of throttling (RFC 6585, section 4; S3 "SlowDown"). 509 "bandwidth limit exceeded" and
#: 529 "site is overloaded" are not in any RFC.
_THROTTLED = frozenset({429, 503, 509, 529})
#: Seconds of a ``Retry-After``, without exponents and ``nan``.
_SECONDS = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")


@dataclass(frozen=True)
class RetryDecision:
    """A failed request is sent again, under these conditions."""

    #: Whether the service throttled the request.
    throttled: bool = False
    #: Whether the credentials have expired. They are refreshed before the next attempt.
    expired: bool = False
    #: Seconds to wait that the service stated.
    after: float | None = None


TRANSIENT = RetryDecision()
EXPIRED = RetryDecision(expired=True)


@dataclass(frozen=True)
class RetryPolicy:
    """Timeouts and number of retries of a store's requests.

    The wait before a retry starts at 0.1 s and doubles up to 5 s. Each wait is shortened by up to
    a half at random, so that clients that failed at the same time do not retry at the same time.
    No wait is shorter than the ``Retry-After`` of the service.

    Attributes
    ----------
    timeout : float, optional
        Seconds that one attempt waits for a response, and within a body for the next bytes,
        ``> 0``. The connect timeout is at most 5 s. No attempt starts when the failed attempts of
        an operation and the waits after them have taken twice this time.
    retries : int, optional
        Maximum number of failed attempts of an operation that are followed by another attempt,
        ``>= 0``. A large value that is read or written in parts is one operation.

    Raises
    ------
    ValueError, TypeError
        When a value is out of bounds or has another type.
    """

    timeout: float = 20.0
    retries: int = 6

    def __post_init__(self) -> None:
        if isinstance(self.timeout, bool) or not isinstance(self.timeout, (int, float)):
            raise TypeError(f"timeout must be a number of seconds, got {self.timeout!r}")
        if not 0 < self.timeout < float("inf"):
            raise ValueError(f"timeout must be finite and more than 0 s, got {self.timeout!r}")
        if isinstance(self.retries, bool) or not isinstance(self.retries, int):
            raise TypeError(f"retries must be an integer, got {self.retries!r}")
        if self.retries < 0:
            raise ValueError(f"retries must be at least 0, got {self.retries!r}")

    @property
    def connect_timeout(self) -> float:
        """The connect timeout in seconds."""
        return min(self.timeout, _MAX_CONNECT_SECONDS)

    def transfer_timeout(self, sent: int, received: int = 0) -> float:
        """The timeout in seconds of an attempt that transfers this number of bytes.

        Uploads slower than 64 KiB/s and downloads slower than 4 KiB/s exceed it.
        """
        return self.timeout + sent / _MIN_UPLOAD_RATE + received / MIN_DOWNLOAD_RATE

    def wait_before(self, retry: int, decision: RetryDecision, elapsed: float) -> float | None:
        """Compute the seconds to wait before a retry, counted from 1; ``None`` if none is left."""
        if retry > self.retries:
            return None
        max_wait = min(_FIRST_WAIT * 2 ** min(retry - 1, 10), _MAX_WAIT)
        wait = JITTER.uniform(max_wait / 2, max_wait)
        if decision.after is not None:
            wait = max(wait, decision.after)
        return None if elapsed + wait > 2 * self.timeout else wait


def retry_decision_of_status(status: int, headers: Mapping[str, str]) -> RetryDecision | None:
    """Whether a request with this status is sent again; ``None`` for a permanent failure.

    Server errors are transient (RFC 9110, section 15.6: a client treats an unknown 5xx as 500),
    except those that state a permanent condition. Proxies and CDNs define further ones: 520 to 524
    and 530 are Cloudflare's. All requests of this package can be sent again. Names of the headers
    are in lower case or found in any case.
    """
    is_server_error = 500 <= status <= 599 and status not in _PERMANENT_SERVER_ERRORS
    if not is_server_error and status not in _TRANSIENT_CLIENT_ERRORS:
        return None
    after = _retry_after(headers.get("retry-after"))
    return RetryDecision(throttled=status in _THROTTLED, after=after)


def too_slow(received: int, seconds: float) -> TimeoutError:
    """The error of a body that arrives slower than the minimum rate."""
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
