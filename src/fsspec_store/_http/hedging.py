"""Decides when a slow read is requested again: a hedge.

A read is slow if it takes longer than 95 % of the recent reads of its kind and size. Hedges have a
budget: a share of the successful reads. When the service throttles or fails, or when many reads are
slow at the same time, there are no hedges. No I/O and no clock.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from .._core.byte_requests import RangeByteRequest, SuffixByteRequest
from .._runtime.forks import free_in_child

if TYPE_CHECKING:
    from .._core.byte_requests import ByteRequest

__all__ = ["DEFAULT_SHARE", "HEAD", "WHOLE", "Hedging", "Read"]

#: A request without a body: its size, or whether the key exists.
HEAD: Final = "head"
#: A request for a whole value.
WHOLE: Final = "whole"
#: What a request reads.
Read: TypeAlias = "ByteRequest | Literal['head', 'whole']"

#: Hedges per successful read with ``hedge=True``.
DEFAULT_SHARE = 0.05
#: Number of recent durations of a kind and size, and the number from which they are used.
_WINDOW = 200
_MIN_OBSERVATIONS = 50
#: The percentile is computed again after this number of reads.
_REFRESH = 10
#: A shorter delay is within the jitter of an event loop.
_MIN_DELAY = 0.01
#: A class of sizes without a read among this number of reads does not count any more.
_STALE = 1000
#: No hedges while more than ``_MAX_SLOW`` of the last ``_RECENT`` reads are slow. One in 20 is by
#: definition; more are an overloaded service or network, which further requests would make worse.
_RECENT = 20
_MAX_SLOW = 5
#: Upper bound of the hedges that are saved up, and of those that failures take away.
_MAX_SAVED = 10.0
_MAX_DEBT = 5.0
#: Smaller values take as long as values of this size.
_SMALL_BYTES = 64 * 2**10


class Hedging:
    """Observes the reads of a store and grants hedges.

    Parameters
    ----------
    share : float
        Maximum number of hedges per successful read.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved = 0.0
        self._slow: deque[bool] = deque(maxlen=_RECENT)
        self._reads = 0
        #: By kind and class of size.
        self._durations: dict[str, dict[int, _Durations]] = {HEAD: {}, WHOLE: {}, "range": {}}
        self._lock = free_in_child(threading.Lock())

    def delay(self, read: Read) -> float | None:
        """Seconds after which a read is slow; ``None`` before enough reads were observed.

        The size of a whole value, or from an offset, is known from the response only: such a read
        is slow if it would be slow for each size that is read at present.
        """
        kind, size = _kind_and_size(read)
        with self._lock:
            classes = self._durations[kind]
            if size is None:
                found = [each for each in classes.values() if self._reads - each.last < _STALE]
            else:
                found = [classes[index]] if (index := _size_class(size)) in classes else []
        known = [each.percentile for each in found if each.percentile is not None]
        return max(known, default=None)

    def slow(self) -> None:
        """Record that a read in flight is slow."""
        with self._lock:
            self._slow.append(True)

    def take(self) -> bool:
        """Whether a slow read may be requested again now; counts the hedge."""
        with self._lock:
            if self._saved < 1 or sum(self._slow) > _MAX_SLOW:
                return False
            self._saved -= 1
            return True

    def succeeded(self, read: Read, size: int, seconds: float, *, was_slow: bool) -> None:
        """Record a successful read.

        Parameters
        ----------
        size : int
            Size of the body in bytes.
        seconds : float
            Time until the first request succeeded, or was cancelled because its hedge had. The
            duration of the hedge instead of it would lower the percentile with each hedge.
        """
        kind, stated = _kind_and_size(read)
        index = _size_class(size if stated is None else stated)
        with self._lock:
            self._saved = min(self._saved + self._share, _MAX_SAVED)
            if not was_slow:
                self._slow.append(False)
            self._reads += 1
            durations = self._durations[kind].setdefault(index, _Durations())
            durations.add(seconds)
            durations.last = self._reads

    def failed(self, *, throttled: bool) -> None:
        """Record a transient failure: hedges are earned again by the successes after it."""
        with self._lock:
            debt = _MAX_DEBT if throttled else 1.0
            self._saved = max(min(self._saved, 0.0) - debt, -_MAX_DEBT)


@dataclass(slots=True)
class _Durations:
    """The recent durations of one kind of reads and class of sizes."""

    #: Number of the last read, of all reads.
    last: int = 0
    #: ``None`` before there are enough.
    percentile: float | None = None
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _new: int = 0

    def add(self, seconds: float) -> None:
        self._recent.append(seconds)
        self._new += 1
        if self._new >= _REFRESH and len(self._recent) >= _MIN_OBSERVATIONS:
            self._new = 0
            ordered = sorted(self._recent)
            self.percentile = max(ordered[len(ordered) * 95 // 100], _MIN_DELAY)


def _kind_and_size(read: Read) -> tuple[str, int | None]:
    """The kind of a read, and its size unless only the response states it."""
    if isinstance(read, str):
        return read, None if read == WHOLE else 0
    if isinstance(read, RangeByteRequest):
        return "range", read.end - read.start
    return "range", read.suffix if isinstance(read, SuffixByteRequest) else None


def _size_class(size: int) -> int:
    """Sizes of a class differ by a factor of at most four."""
    return (size // _SMALL_BYTES).bit_length() // 2
