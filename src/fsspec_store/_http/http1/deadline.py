"""When a response takes too long. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass

from ..retry_policy import MIN_DOWNLOAD_RATE, too_slow

__all__ = ["Deadline"]


@dataclass(slots=True)
class Deadline:
    """The time limits of one wait for bytes of a response.

    Attributes
    ----------
    began : float
        Start of the wait: the last time at which bytes of the request were sent.
    at : float
        Time at which the wait fails, unless bytes are received before it. The caller sets it when
        bytes are received.
    timeout : float
        Seconds to wait for the head, and within a body for the next bytes. After this time a body
        also fails if it is slower than 4 KiB/s.
    """

    began: float
    at: float
    timeout: float
    #: Whether the body was found to be below the minimum rate.
    is_slow: bool = False

    def restart(self, now: float) -> None:
        """Start the wait again: bytes of the request were sent."""
        self.began, self.at = now, now + self.timeout

    def check(self, now: float, received: int) -> float:
        """Return the time of the next check.

        Parameters
        ----------
        received : int
            Bytes of the body since the start. Bytes of a head do not extend the time.
        """
        slowest = self.began + self.timeout + received / MIN_DOWNLOAD_RATE
        if now >= self.at:
            raise TimeoutError(f"no response for {self.timeout:g} s")
        if now < slowest:
            return min(self.at, slowest)
        if self.is_slow:
            raise too_slow(received, now - self.began)
        # Without further bytes the server has stalled; with some it is too slow.
        self.is_slow = True
        return self.at
