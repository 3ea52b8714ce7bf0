"""Counters of a store's requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .limiter import Limiter

__all__ = ["Stats"]


@dataclass
class Stats:
    """Counters of a store's requests since the store was made.

    Attributes
    ----------
    requests : int
        Attempts sent to the service, retries and hedges included. Calls of blocking filesystems and
        of the local disk are not counted.
    native : int
        Attempts that the native transport sent, as opposed to s3fs and aiohttp.
    retries : int
        Attempts after a failed one.
    throttled : int
        Responses by which the service throttled requests.
    forbidden_as_missing : int
        403 responses that ``missing_on_forbidden`` counted as missing keys.
    hedges : int
        Slow reads that were requested again before their response arrived (option ``hedge``).
    hedges_won : int
        Hedges whose response was the result of the read.
    response_seconds : float
        Total time of the successful attempts, from sending the request to the result.
    limiter : Limiter or None
        The limiter of the service.
    review : callable or None
        Called with this object once, when ``review_at`` requests were sent.
    review_at : int
        Number of requests after which `review` is called; 0 for never.
    """

    requests: int = 0
    native: int = 0
    retries: int = 0
    throttled: int = 0
    forbidden_as_missing: int = 0
    hedges: int = 0
    hedges_won: int = 0
    response_seconds: float = field(default=0.0, repr=False, compare=False)
    limiter: Limiter | None = field(default=None, repr=False, compare=False)
    review: Callable[[Stats], object] | None = field(default=None, repr=False, compare=False)
    review_at: int = field(default=0, repr=False, compare=False)

    @property
    def mean_response_seconds(self) -> float:
        """Mean time of a request in seconds."""
        return self.response_seconds / max(self.requests, 1)

    @property
    def most_in_flight(self) -> int:
        """Maximum number of requests that the process had in flight to the service at one time."""
        return 0 if self.limiter is None else self.limiter.most_in_flight
