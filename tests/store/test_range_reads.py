"""Merged reads return the same bytes as one read per request."""

from __future__ import annotations

import asyncio
import tracemalloc
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store import (
    Buffer,
    BufferPrototype,
    FsspecStore,
    OffsetByteRequest,
    RangeByteRequest,
    SuffixByteRequest,
)
from fsspec_store._core.ranges import is_empty_request, is_out_of_range, resolve
from fsspec_store._store.range_reads import KeyFetch, plan, read_fetch
from fsspec_store.errors import ByteRangeError

SIZES = {"empty": 0, "byte": 1, "value": 1000}
VALUES = {key: np.arange(size, dtype="u2").tobytes()[:size] for key, size in SIZES.items()}
KEYS = [*SIZES, "missing"]

# Most bounds near the end of the largest value, or near each other.
bounds = st.integers(0, 1300) | st.integers(980, 1020) | st.integers(0, 5)
lengths = st.integers(0, 30) | st.integers(0, 1300)
byte_requests = st.one_of(
    st.builds(lambda start, length: RangeByteRequest(start, start + length), bounds, lengths),
    bounds.map(OffsetByteRequest),
    bounds.map(SuffixByteRequest),
    st.none(),
)
of_many = st.lists(st.tuples(st.sampled_from(KEYS), byte_requests), max_size=20)
of_one = st.sampled_from(KEYS).flatmap(
    lambda key: st.lists(st.tuples(st.just(key), byte_requests), min_size=2, max_size=6)
)
asked_for = of_one | of_many
gaps, spans = st.integers(0, 300), st.integers(0, 1500)


class Reader:
    """Values in memory, read as a store reads them; counts the reads."""

    def __init__(self, out_of_range: str) -> None:
        self.out_of_range = out_of_range
        self.reads: list[tuple[str, Any]] = []

    async def read(self, key: str, request: Any) -> memoryview | None:
        self.reads.append((key, request))
        if key not in VALUES:
            return None
        size = SIZES[key]
        if is_out_of_range(request, size):
            shown = None if is_empty_request(request) else size
            return await self.reject(key, request, shown)
        return memoryview(VALUES[key])[slice(*resolve(request, size))]

    async def reject(self, key: str, request: Any, size: int | None) -> memoryview:
        assert size in (None, SIZES[key]) or self.out_of_range == "empty"
        if self.out_of_range == "empty":
            return memoryview(b"")
        raise ByteRangeError("no", key=key, byte_range=request, size=size)


@given(asked_for, gaps, spans, st.sampled_from(["raise", "empty"]))
def test_merged_reads_return_the_same_as_single_reads(
    requests: list[tuple[str, Any]], gap: int, span: int, out_of_range: str
) -> None:
    async def one_by_one() -> tuple[list[Any], list[Any]]:
        reader, results, rejected = Reader(out_of_range), [], []
        for key, request in requests:
            try:
                results.append(await reader.read(key, request))
            except ByteRangeError:
                rejected.append((key, request))
        return results, rejected

    async def merged() -> tuple[list[Any], list[Any], int]:
        reader, rejected = Reader(out_of_range), []
        results: dict[int, Any] = {}
        fetches = plan(iter(requests), max_gap_bytes=gap, max_coalesced_bytes=span)
        for fetch in fetches:
            try:
                for place, data in await read_fetch(reader.read, reader.reject, fetch):
                    assert place not in results
                    results[place] = data
            except ByteRangeError as error:
                rejected.append((error.key, error.byte_range))
        assert len(reader.reads) == len(fetches)
        return [results[place] for place in sorted(results)], rejected, len(fetches)

    expected, expected_rejected = asyncio.run(one_by_one())
    results, rejected, reads = asyncio.run(merged())
    assert bool(rejected) == bool(expected_rejected)
    # The error of a fetch names one of its requests that are out of range.
    assert all(pair in expected_rejected for pair in rejected)
    assert rejected or results == expected
    assert reads <= len(set(requests))


@given(st.lists(byte_requests, min_size=1, max_size=12), st.data())
def test_all_methods_of_a_store_return_the_same_bytes(requests: list[Any], data: Any) -> None:
    gap, span = data.draw(gaps), data.draw(spans)
    mode = data.draw(st.sampled_from(["raise", "empty"]))

    async def check() -> None:
        store = FsspecStore.from_url(f"memory://{uuid.uuid4()}", out_of_range=mode)
        await store.set("value", Buffer.from_bytes(VALUES["value"]))
        expected = []
        rejected = []
        for request in requests:
            try:
                expected.append(await store.get("value", None, request))
            except ByteRangeError:
                rejected.append(request)
        pairs = [("value", request) for request in requests]
        limits = {"max_gap_bytes": gap, "max_coalesced_bytes": span}

        async def by_partial_values() -> list[Any]:
            return await store.get_partial_values(None, iter(pairs), **limits)

        async def by_ranges() -> list[Any]:
            found = {}
            try:
                async for batch in store.get_ranges("value", requests, **limits):
                    found.update(batch)
            except* ByteRangeError as group:
                raise group.exceptions[0] from None
            return [found[place] for place in range(len(requests))]

        async def by_many() -> list[Any]:
            triples = ((key, None, request) for key, request in pairs)
            return sorted([bytes(value) async for _, value in store._get_many(triples)])

        for call in (by_partial_values, by_ranges, by_many):
            if rejected:
                with pytest.raises(ByteRangeError) as caught:
                    await call()
                assert caught.value.byte_range in rejected
                assert caught.value.key == "value"
            elif call is by_many:
                assert await call() == sorted(map(bytes, expected))
            else:
                assert await call() == expected

    asyncio.run(check())


@pytest.mark.parametrize(
    ("requests", "rejected", "size"),
    [
        # All past the end: the merged read itself is out of range.
        ([RangeByteRequest(1100, 1110), RangeByteRequest(1120, 1130)], 0, 1000),
        # One before the end, so that the read shows where that is.
        ([RangeByteRequest(1120, 1130), RangeByteRequest(990, 1010)], 0, 1000),
        ([OffsetByteRequest(1001), RangeByteRequest(2000, 2001)], 0, 1000),
        ([None, OffsetByteRequest(1000)], 1, 1000),
        # No bytes, of a value whose size the read does not show.
        ([RangeByteRequest(5, 10), RangeByteRequest(7, 7)], 1, None),
    ],
)
async def test_errors_name_the_callers_request_and_not_the_fetch(
    requests: list[Any], rejected: int, size: int | None
) -> None:
    async def read_all(out_of_range: str) -> list[Any]:
        reader = Reader(out_of_range)
        fetches = plan((("value", part) for part in requests), max_gap_bytes=300)
        assert len(fetches) == 1
        results = await read_fetch(reader.read, reader.reject, fetches[0])
        assert len(reader.reads) == 1
        return [bytes(data or b"") for _, data in sorted(results, key=lambda pair: pair[0])]

    with pytest.raises(ByteRangeError) as caught:
        await read_all("raise")
    assert caught.value.byte_range == requests[rejected]
    assert caught.value.size == size
    assert await read_all("empty") == [VALUES["value"][slice(*resolve(r, 1000))] for r in requests]


class Watched(FsspecStore):
    """Counts its reads, and lets none finish before ``together`` run."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.reads: list[Any] = []
        self.together = asyncio.Barrier(1)

    async def _read(self, key: str, request: Any) -> memoryview | None:
        self.reads.append((key, request))
        async with asyncio.timeout(10):
            await self.together.wait()
        return await super()._read(key, request)


@pytest.fixture
def store() -> Iterator[Watched]:
    with Watched.from_url(f"memory://{uuid.uuid4()}") as made:
        yield made


SPAN = 100 * 40_000
FAR = [RangeByteRequest(start, start + 1024) for start in range(0, SPAN, 40_000)]


async def put(store: FsspecStore, key: str, size: int) -> bytes:
    data = np.arange(size // 4, dtype="u4").tobytes()
    await store.set(key, Buffer.from_bytes(data))
    return data


def address(buffer: Any) -> int:
    place: int = buffer.as_numpy_array().__array_interface__["data"][0]
    return place


async def test_a_hundred_ranges_40_kb_apart_are_one_read_of_views(store: Watched) -> None:
    data = await put(store, "shard", SPAN)
    whole = [("shard", RangeByteRequest(0, FAR[-1].end))]

    values = await store.get_partial_values(None, [("shard", part) for part in FAR])
    [batch] = [batch async for batch in store.get_ranges("shard", FAR)]
    many = [value async for _, value in store._get_many(("shard", None, part) for part in FAR)]

    assert store.reads == whole * 3
    for parts in (values, [value for _, value in sorted(batch)], many):
        assert [bytes(part) for part in parts] == [data[part.start : part.end] for part in FAR]
        # As far apart in memory as in the value: nothing was copied out.
        assert [address(part) - address(parts[0]) for part in parts] == [r.start for r in FAR]


async def test_parts_are_not_copied(store: Watched) -> None:
    await put(store, "shard", SPAN)
    half = SPAN // 2
    # All of it, and all of it again: a copy of either would be seen.
    requests = [("shard", RangeByteRequest(at, at + half)) for at in (0, half, 0, half)]
    tracemalloc.start()
    try:
        values = await store.get_partial_values(None, requests)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert values[0] is not None
    assert values[2] is not None
    assert np.shares_memory(values[0].as_numpy_array(), values[2].as_numpy_array())
    assert sum(len(value) for value in values if value is not None) == 2 * SPAN
    # What memory's own read takes, if anything.
    assert peak < 1.1 * SPAN


async def test_repeated_requests_are_read_once(store: Watched) -> None:
    await put(store, "a", 400)
    await put(store, "b", 400)
    same = [RangeByteRequest(0, 9), OffsetByteRequest(390), SuffixByteRequest(3)]
    requests = [("a", request) for request in same * 3] + [("b", None), ("b", same[0])] * 2
    values = await store.get_partial_values(None, requests)
    assert sorted(len(value) for value in values if value is not None) == sorted(
        [9, 10, 3] * 3 + [400, 9] * 2
    )
    assert sorted(store.reads, key=repr) == sorted(
        [*(("a", request) for request in same), ("b", None)], key=repr
    )


async def test_fetches_run_concurrently(store: Watched) -> None:
    await put(store, "a", 400)
    await put(store, "b", 400)
    apart = [RangeByteRequest(start, start + 1) for start in (0, 100, 200)]
    store.together = asyncio.Barrier(3)
    batches = [batch async for batch in store.get_ranges("a", apart, max_gap_bytes=10)]
    assert sorted(place for [(place, _)] in batches) == [0, 1, 2]
    store.together = asyncio.Barrier(4)
    pairs = [(key, part) for key in "ab" for part in apart[:2]]
    values = await store.get_partial_values(None, pairs, max_gap_bytes=10)
    assert [len(value) for value in values if value is not None] == [1] * 4
    triples = [(key, None, None) for key in ("a", "b", "c", "d")]
    many = {key: value async for key, value in store._get_many(triples)}
    assert {key: value is None for key, value in many.items()} == {
        "a": False,
        "b": False,
        "c": True,
        "d": True,
    }


async def test_concurrency_stays_within_the_limit(store: Watched) -> None:
    await put(store, "a", 400)
    running = most = 0

    class Slow(Watched):
        async def _read(self, key: str, request: Any) -> memoryview | None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            return await FsspecStore._read(self, key, request)

    slow = Slow(store.fs, store.path, max_concurrency=3)
    apart = [RangeByteRequest(start, start + 1) for start in range(0, 400, 10)]
    await slow.get_partial_values(None, [("a", part) for part in apart], max_gap_bytes=0)
    assert most == 3
    most = 0
    async for _ in slow.get_ranges("a", apart, max_gap_bytes=0):
        pass
    assert most == 3
    most = 0
    async for _ in slow.get_ranges("a", apart, max_gap_bytes=0, max_concurrency=2):
        pass
    assert most == 2


async def test_many_values_have_the_buffer_class_of_their_request(store: Watched) -> None:
    class Mine(Buffer):
        pass

    await put(store, "a", 400)
    byte_requests = [("a", BufferPrototype(Mine), FAR[0]), ("a", None, RangeByteRequest(0, 8))]
    got = [value async for _, value in store._get_many(byte_requests)]
    assert {type(value): len(value) for value in got if value is not None} == {Mine: 400, Buffer: 8}
    assert len(store.reads) == 1


@pytest.mark.parametrize("option", ["max_gap_bytes", "max_coalesced_bytes"])
async def test_negative_bounds_merge_nothing(store: Watched, option: str) -> None:
    data = await put(store, "a", 300)
    touching = [RangeByteRequest(start, start + 100) for start in (0, 100, 200)]
    values = await store.get_partial_values(
        None, [("a", part) for part in touching], **{option: -1}
    )
    assert b"".join(value.to_bytes() for value in values if value is not None) == data
    assert len(store.reads) == 3
    store.reads.clear()
    batches = [batch async for batch in store.get_ranges("a", touching, **{option: -1})]
    assert sorted(place for [(place, _)] in batches) == [0, 1, 2]
    assert len(store.reads) == 3


def test_an_unhashable_key_is_an_invalid_key() -> None:
    with pytest.raises(ValueError, match="key must be a str, got list"):
        plan([(["a"], None)])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="must not contain segments"):
        plan([("a", None), ("../a", None)])
    fetch: KeyFetch
    [fetch] = plan([("a", None), ("a", FAR[0])])
    assert fetch[0] == "a"
