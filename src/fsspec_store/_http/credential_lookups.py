"""A rate limit for repeated lookups of credentials that are missing or rejected. No I/O."""

from __future__ import annotations

import time

__all__ = ["LookupRate"]

#: Maximum number of lookups without a wait between them.
_BURST = 8
#: Seconds without a lookup for each second that a failed lookup took.
_PAUSE = 10


class LookupRate:
    """A token bucket: 8 lookups, then one per second, and fewer if lookups are slow."""

    def __init__(self) -> None:
        self._left = float(_BURST)
        self._at = time.monotonic()

    def is_open(self) -> bool:
        """Whether a lookup is allowed now."""
        now = time.monotonic()
        self._left = min(self._left + now - self._at, _BURST)
        self._at = now
        return self._left >= 1

    def take(self) -> bool:
        """Whether a lookup is allowed now; if so, count it."""
        is_open = self.is_open()
        self._left -= is_open
        return is_open

    def record(self, seconds: float) -> None:
        """Record the duration of a failed lookup."""
        self._left -= _PAUSE * seconds
