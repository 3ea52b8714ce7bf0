"""What a byte request means on an object of a given size, and which requests to fetch together.

Pure functions, no I/O.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from .byte_requests import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest

__all__ = [
    "Fetch",
    "Placed",
    "coalesce",
    "cut",
    "is_empty_request",
    "is_out_of_range",
    "resolve",
    "shown_size",
]

#: A request with its place among all that the caller asks for.
Placed: TypeAlias = tuple[int, ByteRequest | None]

#: The end of what has no end yet: past every bound that a request may have.
_NO_END = 2**64


class Fetch(NamedTuple):
    """One read of an object, and the requests that are answered from it."""

    request: ByteRequest | None
    members: list[Placed]


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


def coalesce(asked: list[Placed], *, max_gap_bytes: int, max_coalesced_bytes: int) -> list[Fetch]:
    """Plan the fewest reads of one object that answer all requests on it.

    What is asked for twice is read once, and so is what lies inside of something else that is read
    in any case: all there is inside the whole object, a later offset inside an earlier one, a
    shorter suffix inside a longer one. Where a suffix begins is unknown before it is read, so
    nothing else is cut from one, nor one from anything but the whole. Requests for no bytes, which
    ask only whether there is an object, are answered by any read of it.

    Parameters
    ----------
    asked : list of (int, ByteRequest or None)
        Checked requests on one object with the caller's places for them, no two of them equal; in
        any order, overlapping or repeated.
    max_gap_bytes : int
        Two ranges join when at most this many bytes lie between them. Of a negative number they
        join when they overlap by that many bytes, as zarr-python's do: ``-1`` joins no two that
        only touch.
    max_coalesced_bytes : int
        Ranges join when together they span at most this, or one holds the other; none join when
        this is negative.

    Returns
    -------
    list of Fetch
        Each request is a member of exactly one.
    """
    if len(asked) == 1:
        return [Fetch(asked[0][1], asked)]
    if max_gap_bytes < 0 or max_coalesced_bytes < 0:
        return _strictly_joined(asked, max_gap_bytes, max_coalesced_bytes)
    # Begin, end downwards so that of two with one begin the longer comes first, place (so that
    # requests need no order), member.
    spans: list[tuple[int, int, int, Placed]] = []
    suffixes: list[Placed] = []
    longest = 0
    empty: list[Placed] = []
    for member in asked:
        place, request = member
        if request is None:
            return [Fetch(None, asked)]
        if isinstance(request, RangeByteRequest):
            if request.start < request.end:
                spans.append((request.start, -request.end, place, member))
            else:
                empty.append(member)
        elif isinstance(request, OffsetByteRequest):
            spans.append((request.offset, -_NO_END, place, member))
        elif request.suffix:
            suffixes.append(member)
            longest = max(longest, request.suffix)
        else:
            empty.append(member)
    spans.sort()

    fetches: list[Fetch] = []
    members: list[Placed] = []
    first = last = 0
    for start, minus_end, _, member in spans:
        end = -minus_end
        if members and (
            end <= last or (start - last <= max_gap_bytes and end - first <= max_coalesced_bytes)
        ):
            members.append(member)
            last = max(last, end)
            continue
        if members:
            fetches.append(_fetch(members, first, last))
        members = [member]
        first, last = start, end
    if members:
        fetches.append(_fetch(members, first, last))
    if suffixes:
        fetches.append(Fetch(SuffixByteRequest(longest), suffixes))
    if empty and fetches:
        fetches[0].members.extend(empty)
    elif empty:
        fetches.append(Fetch(empty[0][1], empty))
    return fetches


def cut(
    data: memoryview, fetched: ByteRequest | None, members: list[Placed]
) -> list[tuple[int, memoryview]]:
    """Views of the bytes of each member of a fetch, with its place.

    Parameters
    ----------
    data : memoryview
        What was fetched: less than was asked for where the object ends there.
    fetched : ByteRequest or None
        What was asked for.
    members : list of (int, ByteRequest or None)
        The members of that fetch.

    Returns
    -------
    list of (int, memoryview)
        No bytes where the request names none of the object's.
    """
    # The first byte of a suffix is unknown; members of one are suffixes, or name no bytes.
    begin = 0
    if isinstance(fetched, RangeByteRequest):
        begin = fetched.start
    elif isinstance(fetched, OffsetByteRequest):
        begin = fetched.offset
    size = len(data)
    parts = []
    for place, request in members:
        if isinstance(request, RangeByteRequest):
            part = data[request.start - begin : request.end - begin]
        elif isinstance(request, OffsetByteRequest):
            part = data[request.offset - begin :]
        elif isinstance(request, SuffixByteRequest):
            part = data[max(size - request.suffix, 0) :]
        else:
            part = data
        parts.append((place, part))
    return parts


def shown_size(fetched: ByteRequest | None, length: int) -> int | None:
    """The size of the object as far as the bytes that came for a request show it.

    Parameters
    ----------
    fetched : ByteRequest or None
        What was asked for, and was not out of range.
    length : int
        How many bytes came.
    """
    if fetched is None:
        return length
    if isinstance(fetched, OffsetByteRequest):
        return fetched.offset + length
    if isinstance(fetched, RangeByteRequest):
        return fetched.start + length if length < fetched.end - fetched.start else None
    return length if length < fetched.suffix else None


def _strictly_joined(
    asked: list[Placed], max_gap_bytes: int, max_coalesced_bytes: int
) -> list[Fetch]:
    """Reads where a bound is negative: one for each request, except ranges that overlap enough.

    The rule of ``zarr.core._coalesce.coalesce_ranges``, which makes no exception for what is asked
    for twice.
    """
    fetches: list[Fetch] = []
    ranges: list[tuple[int, int, int, Placed]] = []
    for member in asked:
        place, request = member
        if isinstance(request, RangeByteRequest):
            ranges.append((request.start, place, request.end, member))
        else:
            fetches.append(Fetch(request, [member]))
    members: list[Placed] = []
    first = last = 0
    for start, _, end, member in sorted(ranges):
        if (
            members
            and start - last <= max_gap_bytes
            and max(last, end) - first <= max_coalesced_bytes
        ):
            members.append(member)
            last = max(last, end)
            continue
        if members:
            fetches.append(_fetch(members, first, last))
        members = [member]
        first, last = start, end
    if members:
        fetches.append(_fetch(members, first, last))
    return fetches


def _fetch(members: list[Placed], start: int, end: int) -> Fetch:
    if len(members) == 1:
        return Fetch(members[0][1], members)
    if end == _NO_END:
        return Fetch(OffsetByteRequest(start), members)
    return Fetch(RangeByteRequest(start, end), members)
