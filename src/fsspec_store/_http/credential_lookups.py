"""How often credentials that were refused, or not found, are looked for again. No I/O."""

from __future__ import annotations

import time

__all__ = ["LookupRate"]

#: Look-ups that may follow one another at once.
_BURST = 8
#: Seconds without a look-up for each second that one took.
_PAUSE = 10


class LookupRate:
    """A few look-ups at once, then one a second, and fewer where they take long."""

    def __init__(self) -> None:
        self._left = float(_BURST)
        self._at = time.monotonic()

    def is_open(self) -> bool:
        """Whether there may be a look-up now."""
        now = time.monotonic()
        self._left = min(self._left + now - self._at, _BURST)
        self._at = now
        return self._left >= 1

    def take(self) -> bool:
        """Whether there may be a look-up now; if so, it counts."""
        is_open = self.is_open()
        self._left -= is_open
        return is_open

    def took(self, seconds: float) -> None:
        """Record the duration of a look-up that found nothing."""
        self._left -= _PAUSE * seconds
