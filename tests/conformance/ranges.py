"""Rules of byte requests: the same request on the same bytes gives the same answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsspec_store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from fsspec_store.errors import ByteRangeError

from .support import MakeStore, Rules, content, put, read, run_property

VALUE = content(100)
PARTS = [
    RangeByteRequest(0, 1),
    RangeByteRequest(10, 20),
    RangeByteRequest(0, 100),
    RangeByteRequest(90, 1000),
    RangeByteRequest(99, 100),
    OffsetByteRequest(0),
    OffsetByteRequest(1),
    OffsetByteRequest(99),
    SuffixByteRequest(0),
    SuffixByteRequest(1),
    SuffixByteRequest(100),
    SuffixByteRequest(1000),
]
OUTSIDE = [
    RangeByteRequest(0, 0),
    RangeByteRequest(7, 7),
    RangeByteRequest(100, 100),
    RangeByteRequest(100, 101),
    RangeByteRequest(5000, 6000),
    OffsetByteRequest(100),
    OffsetByteRequest(5000),
]
INVALID: list[Any] = [
    (0, 2),
    [0, 2],
    slice(0, 2),
    5,
    "0-2",
    object(),
    RangeByteRequest(-1, 2),
    RangeByteRequest(5, 2),
    RangeByteRequest(0, 2.0),  # type: ignore[arg-type]
    RangeByteRequest("0", "2"),  # type: ignore[arg-type]
    RangeByteRequest(False, True),
    OffsetByteRequest(-3),
    OffsetByteRequest(None),  # type: ignore[arg-type]
    SuffixByteRequest(-3),
]

MAX_SIZE = 200_000
bounds = st.integers(0, 2 * MAX_SIZE) | st.integers(0, 10) | st.sampled_from([2**31, 2**63, 2**70])
requests = st.one_of(
    st.tuples(bounds, bounds).map(lambda pair: RangeByteRequest(min(pair), max(pair))),
    bounds.map(OffsetByteRequest),
    bounds.map(SuffixByteRequest),
)


def sliced(data: bytes, request: Any) -> bytes | None:
    """What Python slicing says; ``None`` for a request that is empty or out of range."""
    if isinstance(request, SuffixByteRequest):
        return data[-request.suffix :] if request.suffix else b""
    if isinstance(request, OffsetByteRequest):
        return data[request.offset :] or None
    return data[request.start : request.end] or None


class RangeRules(Rules):
    async def test_part_of_a_value(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "c/0", data=VALUE)
        for request in PARTS:
            assert await read(store, "c/0", request) == sliced(VALUE, request)

    async def test_empty_or_past_the_end_is_a_byte_range_error(self, make_store: MakeStore) -> None:
        store, clamping = make_store(), make_store(out_of_range="empty")
        await put(store, "c/0", data=VALUE)
        for request in OUTSIDE:
            with pytest.raises(ByteRangeError, match="c/0") as caught:
                await store.get("c/0", byte_range=request)
            assert isinstance(caught.value, ValueError)
            assert caught.value.key == "c/0"
            assert caught.value.byte_range == request
            assert caught.value.size in (None, 100)
            assert await read(clamping, "c/0", request) == b""

    async def test_an_empty_value_has_no_first_byte(self, make_store: MakeStore) -> None:
        store, clamping = make_store(), make_store(out_of_range="empty")
        await put(store, "empty", data=b"")
        for request in (RangeByteRequest(0, 1), OffsetByteRequest(0)):
            with pytest.raises(ByteRangeError, match="empty"):
                await store.get("empty", byte_range=request)
            assert await read(clamping, "empty", request) == b""

    async def test_a_suffix_of_an_empty_value_is_empty(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "empty", data=b"")
        for suffix in (0, 1, 100):
            assert await read(store, "empty", SuffixByteRequest(suffix)) == b""

    async def test_no_part_of_a_missing_key(self, make_store: MakeStore) -> None:
        store = make_store(out_of_range="empty")
        await put(store, "a/b")
        for request in (
            RangeByteRequest(0, 5),
            RangeByteRequest(3, 3),
            OffsetByteRequest(2),
            SuffixByteRequest(3),
            SuffixByteRequest(0),
        ):
            assert await store.get("missing", byte_range=request) is None
            assert await store.get("a", byte_range=request) is None

    async def test_an_invalid_request_is_rejected(self, make_store: MakeStore) -> None:
        store = make_store()
        for request in INVALID:
            refused = pytest.raises((TypeError, ValueError), match=r"^Unexpected byte_range, got")
            with refused:
                # Missing, so that an answer could only come from looking.
                await store.get("missing", byte_range=request)
            with refused:
                await store.get_partial_values(None, [("missing", request)])
            with refused:
                async for _ in store.get_ranges("missing", [request]):
                    pass

    async def test_requests_are_recognised_by_their_attributes(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "c/0", data=VALUE)
        assert await read(store, "c/0", SimpleNamespace(start=1, end=4)) == VALUE[1:4]
        assert await read(store, "c/0", SimpleNamespace(offset=95)) == VALUE[95:]
        assert await read(store, "c/0", SimpleNamespace(suffix=2)) == VALUE[-2:]

    async def test_any_request_is_pythons_slice(self, make_store: MakeStore) -> None:
        sizes = st.sampled_from([0, 1, 2, 255, 4096, 65_537, MAX_SIZE]) | st.integers(0, MAX_SIZE)
        strict, clamping = make_store(), make_store(out_of_range="empty")

        @settings(max_examples=self.limits.examples)
        @given(sizes, st.lists(requests, min_size=1, max_size=8))
        async def check(size: int, asked: list[Any]) -> None:
            data = content(size)
            await put(strict, "value", data=data)
            for request in asked:
                expected = sliced(data, request)
                assert await read(clamping, "value", request) == (expected or b"")
                if expected is None:
                    with pytest.raises(ByteRangeError):
                        await strict.get("value", byte_range=request)
                else:
                    assert await read(strict, "value", request) == expected

        await run_property(check)
