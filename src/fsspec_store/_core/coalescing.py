"""Merging of the byte requests on one object into fewer reads.

Pure functions, no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .byte_requests import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from .ranges import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Fetch", "IndexedRequest", "coalesce", "slice_members"]

#: A request with its index among all requests of the caller.
IndexedRequest: TypeAlias = tuple[int, ByteRequest | None]

#: Start, second sort key, index, end, member: sorts without a comparison of requests.
_Span: TypeAlias = tuple[int, int, int, int, IndexedRequest]

#: The end of an offset request: greater than every bound of a request.
_NO_END = 2**64


class Fetch(NamedTuple):
    """One read of an object, and the requests whose bytes it contains."""

    request: ByteRequest | None
    members: list[IndexedRequest]


def coalesce(
    requests: list[IndexedRequest], *, max_gap_bytes: int, max_coalesced_bytes: int
) -> list[Fetch]:
    """Plan the fewest reads of one object that cover all requests on it.

    A request that repeats, or lies inside another read, is read once: any request inside the whole
    object, a later offset inside an earlier one, a shorter suffix inside a longer one. The start of
    a suffix is unknown before it is read. So no other request is served from a suffix, and a suffix
    only from a longer one or the whole object. Empty requests, which only test whether the object
    exists, join any read of it. Each request is a member of exactly one read.

    Parameters
    ----------
    requests : list of (int, ByteRequest or None)
        Checked requests on one object with the caller's indexes, all of them different; in any
        order, overlapping or repeated.
    max_gap_bytes : int
        Ranges with at most this many bytes between them are merged. With a negative number they are
        merged when they overlap by that many bytes, as in zarr-python: ``-1`` does not merge ranges
        that only touch.
    max_coalesced_bytes : int
        Ranges are merged when together they span at most this many bytes, or when one contains the
        other. A negative number disables merging.
    """
    if len(requests) == 1:
        return [Fetch(requests[0][1], requests)]
    if max_gap_bytes < 0 or max_coalesced_bytes < 0:
        return _coalesce_strictly(requests, max_gap_bytes, max_coalesced_bytes)
    spans: list[_Span] = []
    suffixes: list[IndexedRequest] = []
    longest = 0
    empty: list[IndexedRequest] = []
    for member in requests:
        index, request = member
        if request is None:
            return [Fetch(None, requests)]
        if isinstance(request, RangeByteRequest):
            if request.start < request.end:
                # Of two ranges with the same start, the longer one is sorted first.
                spans.append((request.start, -request.end, index, request.end, member))
            else:
                empty.append(member)
        elif isinstance(request, OffsetByteRequest):
            spans.append((request.offset, -_NO_END, index, _NO_END, member))
        elif request.suffix:
            suffixes.append(member)
            longest = max(longest, request.suffix)
        else:
            empty.append(member)
    spans.sort()
    fetches = _merge(spans, max_gap_bytes, max_coalesced_bytes, merge_nested=True)
    if suffixes:
        fetches.append(Fetch(SuffixByteRequest(longest), suffixes))
    if empty and fetches:
        fetches[0].members.extend(empty)
    elif empty:
        fetches.append(Fetch(empty[0][1], empty))
    return fetches


def slice_members(
    data: memoryview, fetched: ByteRequest | None, members: list[IndexedRequest]
) -> list[tuple[int, memoryview]]:
    """Views of the bytes of each member of a fetch, with its index.

    The read has fewer bytes than requested when the object ends earlier. A view is empty when its
    request is empty or out of range.
    """
    # The start of a suffix is unknown. Its members are suffixes, or empty.
    begin = 0
    if isinstance(fetched, RangeByteRequest):
        begin = fetched.start
    elif isinstance(fetched, OffsetByteRequest):
        begin = fetched.offset
    parts = []
    size = begin + len(data)
    for index, request in members:
        if isinstance(request, RangeByteRequest) and begin <= request.start <= request.end <= size:
            # The hot path.
            start, end = request.start, request.end
        else:
            start, end = resolve(request, size)
        parts.append((index, data[max(start - begin, 0) : max(end - begin, 0)]))
    return parts


def _coalesce_strictly(
    requests: list[IndexedRequest], max_gap_bytes: int, max_coalesced_bytes: int
) -> list[Fetch]:
    """Fetches where a limit is negative: only ranges that overlap enough are merged.

    The rule of ``zarr.core._coalesce.coalesce_ranges``, which reads repeated requests repeatedly.
    """
    fetches: list[Fetch] = []
    spans: list[_Span] = []
    for member in requests:
        index, request = member
        if isinstance(request, RangeByteRequest):
            spans.append((request.start, 0, index, request.end, member))
        else:
            fetches.append(Fetch(request, [member]))
    spans.sort()
    return fetches + _merge(spans, max_gap_bytes, max_coalesced_bytes, merge_nested=False)


def _merge(
    spans: Iterable[_Span], max_gap_bytes: int, max_coalesced_bytes: int, *, merge_nested: bool
) -> list[Fetch]:
    """Merge sorted spans within the limits; nested spans always if ``merge_nested`` is true."""
    fetches: list[Fetch] = []
    members: list[IndexedRequest] = []
    first = last = 0
    for start, _, _, end, member in spans:
        if members and (
            (merge_nested and end <= last)
            or (start - last <= max_gap_bytes and max(last, end) - first <= max_coalesced_bytes)
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


def _fetch(members: list[IndexedRequest], start: int, end: int) -> Fetch:
    if len(members) == 1:
        return Fetch(members[0][1], members)
    if end == _NO_END:
        return Fetch(OffsetByteRequest(start), members)
    return Fetch(RangeByteRequest(start, end), members)
