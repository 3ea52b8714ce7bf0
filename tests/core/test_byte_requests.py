from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from fsspec_store._core.byte_requests import check_byte_range
from fsspec_store._core.ranges import is_empty_request, is_out_of_range, resolve

sizes = st.integers(0, 200_000)
numbers = st.integers(0, 400_000)
ranges = st.tuples(numbers, numbers).map(lambda pair: RangeByteRequest(min(pair), max(pair)))
requests = st.one_of(ranges, numbers.map(OffsetByteRequest), numbers.map(SuffixByteRequest))

DATA = bytes(range(256)) * 782


def python_slice(request: Any, data: bytes) -> bytes:
    if isinstance(request, RangeByteRequest):
        return data[request.start : request.end]
    if isinstance(request, OffsetByteRequest):
        return data[request.offset :]
    return data[-request.suffix :] if request.suffix else b""


@given(sizes, requests)
def test_a_request_is_pythons_slice(size: int, request: Any) -> None:
    data = DATA[:size]
    start, end = resolve(request, size)
    assert 0 <= start <= end <= size
    assert data[start:end] == python_slice(request, data)


@given(sizes, requests)
def test_an_empty_slice_is_out_of_range_unless_it_is_a_suffix(size: int, request: Any) -> None:
    empty = python_slice(request, DATA[:size]) == b""
    assert is_out_of_range(request, size) == (empty and not isinstance(request, SuffixByteRequest))
    if is_empty_request(request):
        assert empty


def test_the_whole_value_is_never_out_of_range() -> None:
    assert resolve(None, 7) == (0, 7)
    assert not is_out_of_range(None, 0)
    assert not is_empty_request(None)


def test_numpy_bounds_are_integers() -> None:
    request = check_byte_range(RangeByteRequest(np.int64(1), np.uint8(2)))  # type: ignore[arg-type]
    assert request == RangeByteRequest(1, 2)
    assert type(request.start) is int  # type: ignore[union-attr]


def test_bounds_above_63_bits_do_not_overflow() -> None:
    assert check_byte_range(RangeByteRequest(0, 2**80)) == RangeByteRequest(0, 2**63 - 1)
    assert is_out_of_range(check_byte_range(RangeByteRequest(2**80, 2**81)), 10)


@pytest.mark.parametrize(
    "request_", [RangeByteRequest(1, 2), OffsetByteRequest(3), SuffixByteRequest(4)]
)
def test_requests_are_frozen_slotted_values(request_: Any) -> None:
    assert pickle.loads(pickle.dumps(request_)) == request_
    assert hash(request_) == hash(pickle.loads(pickle.dumps(request_)))
    assert not hasattr(request_, "__dict__")
    with pytest.raises(FrozenInstanceError):
        setattr(request_, type(request_).__slots__[0], 9)
