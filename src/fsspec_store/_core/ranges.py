"""Byte requests applied to an object of a known size.

Pure functions, no I/O.
"""

from __future__ import annotations

from .byte_requests import ByteRequest, OffsetByteRequest, RangeByteRequest
from .failures import RangeNotSatisfiableError

__all__ = ["bounds", "is_empty_request", "is_out_of_range", "known_size", "resolve"]


def resolve(request: ByteRequest | None, size: int) -> tuple[int, int]:
    """The half-open byte interval of a request, clamped to an object of this size in bytes."""
    if request is None:
        return 0, size
    if isinstance(request, RangeByteRequest):
        return min(request.start, size), min(request.end, size)
    if isinstance(request, OffsetByteRequest):
        return min(request.offset, size), size
    return max(size - request.suffix, 0), size


def is_out_of_range(request: ByteRequest | None, size: int) -> bool:
    """Whether the request is out of range on an object of this size.

    A suffix is always in range: a suffix of an empty object is empty. (RFC 9110, section 14.1.2,
    calls it unsatisfiable; the store contract does not.)
    """
    if isinstance(request, RangeByteRequest):
        return request.start >= size or request.start == request.end
    if isinstance(request, OffsetByteRequest):
        return request.offset >= size
    return False


def bounds(request: ByteRequest | None, size: int) -> tuple[int, int]:
    """Like `resolve`; raises `RangeNotSatisfiableError` for a request that is out of range."""
    if is_out_of_range(request, size):
        raise RangeNotSatisfiableError(size)
    return resolve(request, size)


def is_empty_request(request: ByteRequest | None) -> bool:
    """Whether the request is empty for every size of the object.

    Such a request is never sent. Servers interpret ``bytes=0--1`` and ``bytes=-0`` differently, and
    some respond with the whole object.
    """
    if request is None or isinstance(request, OffsetByteRequest):
        return False
    if isinstance(request, RangeByteRequest):
        return request.start == request.end
    return request.suffix == 0


def known_size(request: ByteRequest | None, length: int) -> int | None:
    """The size of an object in bytes, if the length of a read shows it.

    ``None`` when the read, which was in range, may have ended before the object's end.
    """
    if request is None:
        return length
    if isinstance(request, OffsetByteRequest):
        return request.offset + length
    if isinstance(request, RangeByteRequest):
        return request.start + length if length < request.end - request.start else None
    return length if length < request.suffix else None
