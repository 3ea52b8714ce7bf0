"""Counters of a store's requests."""

from __future__ import annotations

from dataclasses import dataclass

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
    """

    requests: int = 0
    native: int = 0
    retries: int = 0
    throttled: int = 0
    forbidden_as_missing: int = 0
    hedges: int = 0
    hedges_won: int = 0
