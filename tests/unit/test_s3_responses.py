from __future__ import annotations

from typing import Any, ClassVar

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from fsspec_store._backends.s3.responses import error_code, requested_part
from fsspec_store._core.byte_requests import ByteRequest
from fsspec_store._core.failures import RangeNotSatisfiableError
from fsspec_store._core.ranges import is_empty_request, is_out_of_range, resolve

DATA = bytes(range(256)) * 4

numbers = st.integers(0, 1200)
requests = st.one_of(
    st.tuples(numbers, numbers).map(lambda pair: RangeByteRequest(min(pair), max(pair))),
    numbers.map(OffsetByteRequest),
    numbers.map(SuffixByteRequest),
).filter(lambda request: not is_empty_request(request))
sizes = st.integers(0, 1024)


def answer(data: bytes, start: int, end: int, total: object) -> tuple[dict[str, Any], bytes]:
    body = data[start:end]
    return {"ContentLength": len(body), "ContentRange": f"bytes {start}-{end - 1}/{total}"}, body


@given(sizes, requests)
def test_the_requested_part_of_a_partial_response(size: int, request: ByteRequest) -> None:
    data = DATA[:size]
    start, end = resolve(request, size)
    if start == end:
        return
    assert bytes(requested_part(*answer(data, start, end, size), request)) == data[start:end]


@given(sizes, requests)
def test_the_requested_part_of_a_whole_response(size: int, request: ByteRequest) -> None:
    data = DATA[:size]
    if is_out_of_range(request, size):
        with pytest.raises(RangeNotSatisfiableError) as caught:
            requested_part({"ContentLength": size}, data, request)
        assert caught.value.size == size
    else:
        start, end = resolve(request, size)
        assert bytes(requested_part({"ContentLength": size}, data, request)) == data[start:end]


@given(sizes, requests, st.integers(-3, 3), st.integers(-3, 3))
def test_another_part_is_an_error(size: int, request: ByteRequest, early: int, late: int) -> None:
    start, end = resolve(request, size)
    sent, until = start + early, end + late
    if (early, late) == (0, 0) or not 0 <= sent < until <= size:
        return
    with pytest.raises(aiohttp.ClientPayloadError, match="bytes"):
        requested_part(*answer(DATA[:size], sent, until, size), request)


def test_a_truncated_body_is_an_error() -> None:
    with pytest.raises(aiohttp.ClientPayloadError, match="received 3 of 10 bytes"):
        requested_part({"ContentLength": 10}, b"012", None)
    with pytest.raises(aiohttp.ClientPayloadError):
        requested_part({"ContentRange": "bytes 0-9/20"}, b"012", RangeByteRequest(0, 10))


def test_a_part_without_content_range_is_an_error() -> None:
    response = {"ResponseMetadata": {"HTTPStatusCode": 206}, "ContentLength": 3}
    with pytest.raises(aiohttp.ClientPayloadError, match="unknown part"):
        requested_part(response, b"012", RangeByteRequest(0, 3))


def test_an_unknown_total_size() -> None:
    request = RangeByteRequest(2, 10)
    assert requested_part(*answer(DATA[:8], 2, 8, "*"), request) == DATA[2:8]
    with pytest.raises(aiohttp.ClientPayloadError):
        requested_part(*answer(DATA, 1, 8, "*"), request)
    with pytest.raises(aiohttp.ClientPayloadError):
        requested_part(*answer(DATA, 2, 11, "*"), request)


def test_the_error_code_of_a_wrapped_error() -> None:
    class ClientError(Exception):
        response: ClassVar = {"Error": {"Code": "NoSuchKey"}}

    inner = OSError()
    inner.__cause__ = ClientError()
    outer = FileNotFoundError()
    outer.__cause__ = inner
    assert error_code(outer) == "NoSuchKey"
    assert error_code(OSError("connection reset")) is None
