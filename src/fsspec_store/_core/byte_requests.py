"""Byte requests: classes for the part of a value to read, and their validation.

No I/O. `fsspec_store._core.ranges` applies a request to an object of a known size.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import Any, TypeAlias

__all__ = [
    "ByteRequest",
    "OffsetByteRequest",
    "RangeByteRequest",
    "SuffixByteRequest",
    "check_byte_range",
]

#: Maximum offset in a file or object: a signed 64-bit integer.
_MAX_OFFSET = 2**63 - 1


@dataclass(frozen=True, slots=True)
class RangeByteRequest:
    """Bytes ``[start, min(end, size))``.

    Parameters
    ----------
    start : int
        First byte, ``>= 0``.
    end : int
        One past the last byte, ``>= start``.
    """

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class OffsetByteRequest:
    """Bytes ``[offset, size)``.

    Parameters
    ----------
    offset : int
        First byte, ``>= 0``.
    """

    offset: int


@dataclass(frozen=True, slots=True)
class SuffixByteRequest:
    """The last ``min(suffix, size)`` bytes.

    Parameters
    ----------
    suffix : int
        Number of bytes, ``>= 0``.
    """

    suffix: int


ByteRequest: TypeAlias = RangeByteRequest | OffsetByteRequest | SuffixByteRequest


def check_byte_range(byte_range: Any) -> ByteRequest | None:
    """Validate a byte request of any package, and convert it to this package's classes.

    Raises ``TypeError`` when it is not a request, or a bound is not an integer, and ``ValueError``
    when a bound is negative, or ``end < start``.
    """
    # The hot paths: whole values, and ranges, which are not created again.
    if byte_range is None:
        return None
    if type(byte_range) is RangeByteRequest:
        start, end = byte_range.start, byte_range.end
        if type(start) is int and type(end) is int and 0 <= start <= end <= _MAX_OFFSET:
            return byte_range
    if hasattr(byte_range, "start") and hasattr(byte_range, "end"):
        start, end = _bound(byte_range.start, byte_range), _bound(byte_range.end, byte_range)
        if end < start:
            raise ValueError(f"Unexpected byte_range, got {byte_range!r}: end is before start")
        return RangeByteRequest(start, end)
    if hasattr(byte_range, "offset"):
        return OffsetByteRequest(_bound(byte_range.offset, byte_range))
    if hasattr(byte_range, "suffix"):
        return SuffixByteRequest(_bound(byte_range.suffix, byte_range))
    raise TypeError(
        f"Unexpected byte_range, got {byte_range!r}: a byte request has start and end, "
        "offset, or suffix"
    )


def _bound(value: Any, byte_range: Any) -> int:
    if type(value) is int and 0 <= value <= _MAX_OFFSET:
        # The hot path.
        return value
    if isinstance(value, bool):
        raise TypeError(f"Unexpected byte_range, got {byte_range!r}: a bound is a bool")
    try:
        number = index(value)
    except TypeError:
        raise TypeError(
            f"Unexpected byte_range, got {byte_range!r}: a bound is not an integer"
        ) from None
    if number < 0:
        raise ValueError(f"Unexpected byte_range, got {byte_range!r}: a bound is negative")
    # Larger than any object, so the result is the same, and no header or seek overflows.
    return min(number, _MAX_OFFSET)
