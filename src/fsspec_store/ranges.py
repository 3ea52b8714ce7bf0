"""What a byte request means on an object of a given size, and which requests to fetch together.

Pure functions, no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .byte_requests import ByteRequest, OffsetByteRequest, RangeByteRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["coalesce", "is_empty_request", "is_out_of_range", "resolve"]

#: A request with its place in the caller's sequence.
Indexed: TypeAlias = tuple[int, RangeByteRequest]


def resolve(request: ByteRequest | None, size: int) -> tuple[int, int]:
    """The half-open interval of an object's bytes that a request names, clamped to the object.

    Parameters
    ----------
    request : ByteRequest or None
        A checked request; ``None`` is the whole object.
    size : int
        Size of the object in bytes.

    Returns
    -------
    tuple of int
        ``(start, end)`` with ``0 <= start <= end <= size``.
    """
    if request is None:
        return 0, size
    if isinstance(request, RangeByteRequest):
        return min(request.start, size), min(request.end, size)
    if isinstance(request, OffsetByteRequest):
        return min(request.offset, size), size
    return max(size - request.suffix, 0), size


def is_out_of_range(request: ByteRequest | None, size: int) -> bool:
    """Whether the request is refused on an object of this size.

    A suffix never is: the last bytes of an empty object are no bytes (RFC 9110, section 14.1.2,
    would call it unsatisfiable; the store contract does not).
    """
    if isinstance(request, RangeByteRequest):
        return request.start >= size or request.start == request.end
    if isinstance(request, OffsetByteRequest):
        return request.offset >= size
    return False


def is_empty_request(request: ByteRequest | None) -> bool:
    """Whether the request names no bytes whatever the object's size.

    Such a request is never sent: ``bytes=0--1`` and ``bytes=-0`` mean other things to servers,
    some of which answer them with the whole object.
    """
    if request is None or isinstance(request, OffsetByteRequest):
        return False
    if isinstance(request, RangeByteRequest):
        return request.start == request.end
    return request.suffix == 0


def coalesce(
    requests: Sequence[ByteRequest | None], *, max_gap_bytes: int, max_coalesced_bytes: int
) -> tuple[list[list[Indexed]], list[tuple[int, ByteRequest | None]]]:
    """Group the ranges of one object that are worth fetching together.

    Parameters
    ----------
    requests : sequence of ByteRequest or None
        Checked requests on one object, in any order, overlapping or repeated.
    max_gap_bytes : int
        Two ranges join when at most this many bytes lie between them.
    max_coalesced_bytes : int
        A group never spans more than this, unless one range alone does.

    Returns
    -------
    groups : list of list of (int, RangeByteRequest)
        Each group is one fetch, from the first member's start to the largest end; members are
        sorted by start and keep their place in ``requests``.
    others : list of (int, ByteRequest or None)
        What is fetched alone: whole, offset, suffix, and empty requests.
    """
    ranged: list[Indexed] = []
    others: list[tuple[int, ByteRequest | None]] = []
    for place, request in enumerate(requests):
        if isinstance(request, RangeByteRequest) and not is_empty_request(request):
            ranged.append((place, request))
        else:
            others.append((place, request))
    ranged.sort(key=lambda member: (member[1].start, member[1].end))

    groups: list[list[Indexed]] = []
    group_start = group_end = 0
    for member in ranged:
        request = member[1]
        near = request.start - group_end <= max_gap_bytes
        joined_end = max(group_end, request.end)
        if groups and near and joined_end - group_start <= max_coalesced_bytes:
            groups[-1].append(member)
            group_end = joined_end
        else:
            groups.append([member])
            group_start, group_end = request.start, request.end
    return groups, others
