"""Merging of byte requests, and the slices of their reads."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import zarr.abc.store as zarr_requests
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from fsspec_store._core.coalescing import Fetch, coalesce, slice_members
from fsspec_store._core.ranges import is_empty_request, is_out_of_range, known_size, resolve

numbers = st.integers(0, 3000)
ranges = st.tuples(numbers, numbers).map(lambda pair: RangeByteRequest(min(pair), max(pair)))
byte_requests = st.one_of(
    ranges, numbers.map(OffsetByteRequest), numbers.map(SuffixByteRequest), st.none()
)
gaps, spans = st.integers(0, 300), st.integers(0, 3000)

DATA = bytes(range(256)) * 12


def plan(requests: list[Any], gap: int = 0, span: int = 10**9) -> list[Fetch]:
    return coalesce(list(enumerate(requests)), max_gap_bytes=gap, max_coalesced_bytes=span)


def fetched(*requests: Any, gap: int = 0, span: int = 10**9) -> list[Any]:
    return [fetch.request for fetch in plan(list(requests), gap, span)]


@given(st.lists(byte_requests, max_size=30), gaps, spans)
def test_each_request_is_a_member_once_and_bounds_are_kept(
    requests: list[Any], gap: int, span: int
) -> None:
    fetches = plan(requests, gap, span)
    members = [member for fetch in fetches for member in fetch.members]
    assert sorted(place for place, _ in members) == list(range(len(requests)))
    assert all(requests[place] == request for place, request in members)
    for fetch in fetches:
        if not isinstance(fetch.request, RangeByteRequest):
            continue
        inside = [request for _, request in fetch.members if not is_empty_request(request)]
        inside.sort(key=lambda request: request.start)
        reach = fetch.request.start
        for request in inside:
            assert request.start - reach <= gap
            reach = max(reach, request.end)
        if inside:
            assert reach == fetch.request.end
            assert reach - fetch.request.start <= max(span, *(r.end - r.start for r in inside))


@given(st.lists(byte_requests, max_size=30), gaps, spans)
def test_nested_requests_are_read_once(requests: list[Any], gap: int, span: int) -> None:
    wanted = [fetch.request for fetch in plan(requests, gap, span)]
    assert None not in wanted or wanted == [None]
    assert sum(isinstance(request, OffsetByteRequest) for request in wanted) <= 1
    assert sum(isinstance(request, SuffixByteRequest) for request in wanted) <= 1
    assert not any(map(is_empty_request, wanted)) or len(wanted) == 1
    held = [resolve(r, 10**6) for r in wanted if not isinstance(r, SuffixByteRequest)]
    for (start, end), (other_start, other_end) in itertools.permutations(held, 2):
        assert not (other_start <= start and end <= other_end)


@given(st.integers(0, len(DATA)), st.lists(byte_requests, max_size=20), gaps, spans)
def test_the_slice_of_each_member_is_the_requested_bytes(
    size: int, requests: list[Any], gap: int, span: int
) -> None:
    for request, members in plan(requests, gap, span):
        start, end = resolve(request, size)
        data = memoryview(DATA)[start:end]
        parts = slice_members(data, request, members)
        assert [place for place, _ in parts] == [place for place, _ in members]
        for (_, member), (_, part) in zip(members, parts, strict=True):
            assert part == DATA[slice(*resolve(member, size))]
            assert part.obj is DATA
        if not is_out_of_range(request, size):
            assert known_size(request, len(data)) in (None, size)


@given(st.lists(ranges, max_size=30), st.integers(0, 300))
def test_neighbours_are_merged_in_any_order(requests: list[RangeByteRequest], gap: int) -> None:
    nonempty = [request for request in requests if request.start < request.end]

    def bounds(byte_requests: list[RangeByteRequest]) -> set[tuple[int, int]]:
        return {(r.start, r.end) for r in fetched(*byte_requests, gap=gap)}

    assert bounds(nonempty) == bounds(nonempty[::-1])
    found = sorted(bounds(nonempty))
    # Nothing that is near enough is left apart.
    assert all(right[0] - left[1] > gap for left, right in itertools.pairwise(found))


@given(st.lists(byte_requests, max_size=30), st.integers(-300, 300), st.integers(-2, 3000))
def test_negative_limits_mean_the_same_as_in_zarr(requests: list[Any], gap: int, span: int) -> None:
    zarrs = pytest.importorskip("zarr.core._coalesce")
    if gap >= 0 and span >= 0:
        gap = -1 - gap
    of_zarr = [
        zarr_requests.RangeByteRequest(request.start, request.end)
        if isinstance(request, RangeByteRequest)
        else request
        for request in requests
    ]
    groups, alone = zarrs.coalesce_ranges(of_zarr, max_gap_bytes=gap, max_coalesced_bytes=span)
    expected = [[place for place, _ in group] for group in (*groups, *([one] for one in alone))]
    fetches = plan(requests, gap, span)
    assert sorted(expected) == sorted([place for place, _ in each.members] for each in fetches)
    for fetch in fetches:
        parts = [request for _, request in fetch.members]
        if len(parts) > 1:
            assert fetch.request == RangeByteRequest(
                min(part.start for part in parts), max(part.end for part in parts)
            )


def test_a_range_above_the_limit_is_read_alone_with_nested_ranges() -> None:
    large, inside, beside = (
        RangeByteRequest(0, 100),
        RangeByteRequest(40, 60),
        RangeByteRequest(100, 101),
    )
    assert fetched(inside, large, beside, large, span=50) == [large, beside]
    assert fetched(RangeByteRequest(0, 10), large, span=50) == [large]


def test_a_range_that_starts_inside_an_offset_is_served_from_it() -> None:
    offset = OffsetByteRequest(50)
    requests = [
        RangeByteRequest(60, 70),
        OffsetByteRequest(90),
        offset,
        RangeByteRequest(1000, 1001),
    ]
    assert fetched(*requests) == [offset]
    # Its own bytes would be read whatever it costs: the end is not known.
    assert fetched(RangeByteRequest(40, 60), offset) == [RangeByteRequest(40, 60), offset]


def test_only_the_longest_suffix_is_read_and_it_serves_only_suffixes() -> None:
    requests = [SuffixByteRequest(5), SuffixByteRequest(9), SuffixByteRequest(9)]
    assert fetched(*requests) == [SuffixByteRequest(9)]
    assert fetched(*requests, RangeByteRequest(0, 1)) == [
        RangeByteRequest(0, 1),
        SuffixByteRequest(9),
    ]


def test_empty_requests_join_any_read() -> None:
    nothing = [RangeByteRequest(7, 7), SuffixByteRequest(0)]
    for other in (None, RangeByteRequest(1, 2), OffsetByteRequest(3), SuffixByteRequest(4)):
        assert fetched(*nothing, other) == [other]
    assert fetched(*nothing) == [RangeByteRequest(7, 7)]
    assert fetched() == []
