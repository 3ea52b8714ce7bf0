from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from fsspec_store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from fsspec_store._core.byte_requests import ByteRequest
from fsspec_store._core.failures import RangeNotSatisfiableError
from fsspec_store._core.ranges import is_empty_request, is_out_of_range, resolve
from fsspec_store._http.content_range import (
    MAX_DISCARDED_BYTES,
    MAX_UNSIZED_BYTES,
    check_not_encoded,
    content_coding,
    content_length,
    max_body_bytes,
    part_start,
    range_header,
    requested_part,
    stated_size,
    total_size,
)

DATA = bytes(range(256)) * 4

numbers = st.integers(0, 1200)
requests = st.one_of(
    st.tuples(numbers, numbers).map(lambda pair: RangeByteRequest(min(pair), max(pair))),
    numbers.map(OffsetByteRequest),
    numbers.map(SuffixByteRequest),
).filter(lambda request: not is_empty_request(request))
sizes = st.integers(0, 1024)


def partial(start: int, end: int, total: object) -> Mapping[str, str]:
    return {"Content-Range": f"bytes {start}-{end - 1}/{total}", "Content-Length": f"{end - start}"}


def part_of_answer(
    status: int, headers: Mapping[str, str], body: bytes, request: ByteRequest | None
) -> bytes | memoryview:
    """The Content-Range of a decoded response, as backends compute it."""
    headers = CIMultiDict(headers)
    check_not_encoded(status, headers)
    length = None if content_coding(headers) else content_length(headers)
    content_range = headers.get("Content-Range")
    return requested_part(body, request, status=status, content_range=content_range, length=length)


def part_206(
    data: bytes, start: int, end: int, total: object, request: ByteRequest
) -> bytes | memoryview:
    return part_of_answer(206, partial(start, end, total), data[start:end], request)


@given(sizes, requests)
def test_a_part_from_a_server_that_supports_ranges(size: int, request: ByteRequest) -> None:
    start, end = resolve(request, size)
    if start < end:
        assert part_206(DATA[:size], start, end, size, request) == DATA[start:end]


@given(sizes, requests)
def test_a_part_cut_from_a_server_that_ignores_ranges(size: int, request: ByteRequest) -> None:
    headers = {"Content-Length": str(size)}
    if is_out_of_range(request, size):
        with pytest.raises(RangeNotSatisfiableError) as caught:
            part_of_answer(200, headers, DATA[:size], request)
        assert caught.value.size == size
    else:
        start, end = resolve(request, size)
        assert part_of_answer(200, headers, DATA[:size], request) == DATA[start:end]


@pytest.mark.parametrize(
    ("content_range", "request_", "size"),
    [
        ("bytes 10-9/10", RangeByteRequest(10, 12), 10),
        ("bytes 10-9/10", OffsetByteRequest(10), 10),
        ("bytes 0--1/0", RangeByteRequest(0, 1), 0),
    ],
)
def test_an_empty_part_for_a_range_past_the_end_is_an_error(
    content_range: str, request_: ByteRequest, size: int
) -> None:
    with pytest.raises(RangeNotSatisfiableError) as caught:
        part_of_answer(206, {"Content-Range": content_range}, b"", request_)
    assert caught.value.size == size
    suffix = SuffixByteRequest(3)
    assert part_of_answer(206, {"Content-Range": "bytes 0--1/0"}, b"", suffix) == b""


@given(sizes, requests, st.integers(-3, 3), st.integers(-3, 3))
def test_another_part_is_an_error(size: int, request: ByteRequest, early: int, late: int) -> None:
    start, end = resolve(request, size)
    sent, until = start + early, end + late
    if (early, late) == (0, 0) or not 0 <= sent < until <= size:
        return
    with pytest.raises(aiohttp.ClientPayloadError, match="bytes"):
        part_206(DATA[:size], sent, until, size, request)


@pytest.mark.parametrize(
    ("request_", "good", "bad"),
    [
        (RangeByteRequest(2, 10), [(2, 8), (2, 10)], [(1, 8), (2, 11)]),
        (OffsetByteRequest(2), [(2, 8)], [(1, 8), (3, 8)]),
        (SuffixByteRequest(3), [(5, 8), (6, 8)], [(4, 8)]),
        (None, [(0, 8)], [(1, 8)]),
    ],
)
def test_content_range_without_a_total(request_: Any, good: Any, bad: Any) -> None:
    for start, end in good:
        assert part_206(DATA, start, end, "*", request_) == DATA[start:end]
    for start, end in bad:
        with pytest.raises(aiohttp.ClientPayloadError):
            part_206(DATA, start, end, "*", request_)


@pytest.mark.parametrize("content_range", [None, "", "bytes */20", "items 0-3/20", "bytes 0-3"])
def test_a_part_without_a_valid_content_range_is_an_error(content_range: str | None) -> None:
    request = RangeByteRequest(0, 4)
    with pytest.raises(aiohttp.ClientPayloadError, match="unknown part"):
        requested_part(b"0123", request, status=206, content_range=content_range)


def test_a_body_of_another_length_than_stated_is_an_error() -> None:
    with pytest.raises(aiohttp.ClientPayloadError, match="received 3 of 10 bytes"):
        part_of_answer(200, {"Content-Length": "10"}, b"012", None)
    with pytest.raises(aiohttp.ClientPayloadError, match="3 bytes"):
        requested_part(b"012", RangeByteRequest(0, 10), content_range="bytes 0-9/20")


def test_a_part_of_a_compressed_body_is_an_error() -> None:
    gzip = {"Content-Encoding": "gzip", "Content-Length": "7"}
    # Decoded by the HTTP library: longer than Content-Length, and valid.
    assert part_of_answer(200, gzip, b"0123456789", None) == b"0123456789"
    assert part_of_answer(200, gzip, b"0123456789", RangeByteRequest(2, 4)) == b"23"
    with pytest.raises(OSError, match="gzip form"):
        part_of_answer(206, {**gzip, "Content-Range": "bytes 2-3/7"}, b"23", RangeByteRequest(2, 4))
    identity = {"Content-Encoding": "identity", "Content-Length": "7"}
    with pytest.raises(aiohttp.ClientPayloadError):
        part_of_answer(200, identity, b"0123456789", None)


@pytest.mark.parametrize(
    ("request_", "header"),
    [
        (None, None),
        (RangeByteRequest(0, 1), "bytes=0-0"),
        (RangeByteRequest(5, 10), "bytes=5-9"),
        (OffsetByteRequest(5), "bytes=5-"),
        # The whole object; an empty one gets no 416.
        (OffsetByteRequest(0), None),
        (SuffixByteRequest(5), "bytes=-5"),
    ],
)
def test_range_headers(request_: Any, header: str | None) -> None:
    assert range_header(request_) == header


def test_sizes_in_headers() -> None:
    assert total_size("bytes 0-0/1000") == 1000
    assert total_size("bytes */1000") == 1000
    assert [total_size(text) for text in (None, "", "bytes 0-0/*", "bytes 1000")] == [None] * 4
    assert content_length({"content-length": "0"}) == 0
    assert [content_length({"content-length": text}) for text in ("", "-1", "\u0663")] == [None] * 3
    assert content_length({}) is None
    # Converting so many digits to a number takes too long.
    digits = "0" * 5000 + "5"
    assert content_length({"content-length": digits}) is None
    assert total_size(f"bytes 0-0/{digits}") is None
    assert part_start(f"bytes {digits}-9/10") == 0
    assert content_coding({"Content-Encoding": "GZIP"}) == "gzip"
    assert content_coding({"Content-Encoding": "identity"}) == content_coding({}) == ""


@pytest.mark.parametrize("content_range", [f"bytes 0-9/{'9' * 5000}", f"bytes {'0' * 5000}-9/10"])
def test_a_content_range_with_many_digits_is_invalid(content_range: str) -> None:
    with pytest.raises(aiohttp.ClientPayloadError, match=r"unknown part.*\.\.\.") as caught:
        requested_part(bytes(10), RangeByteRequest(0, 10), status=206, content_range=content_range)
    assert len(str(caught.value)) < 300


def test_max_body_bytes() -> None:
    part, end = RangeByteRequest(100, 110), SuffixByteRequest(10)
    for bounded in (part, end):
        assert max_body_bytes(bounded, 206) == 10
        assert max_body_bytes(bounded, 200) == 10 + MAX_DISCARDED_BYTES
    for whole in (None, OffsetByteRequest(5), RangeByteRequest(0, 10**15)):
        assert max_body_bytes(whole, 206) == MAX_UNSIZED_BYTES


def test_stated_size() -> None:
    assert [stated_size(said, "x") for said in ("0", "17", 17)] == [0, 17, 17]
    for said in ("", "-1", "1.5", "\u0663", "9" * 30, -1, 10**30, True, 1.5, None):
        with pytest.raises(OSError, match="size of x"):
            stated_size(said, "x")
