"""Rules of reading and writing many things at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsspec_store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from fsspec_store.errors import ByteRangeError

from .ranges import sliced
from .support import MakeStore, Rules, buf, collect, content, put, read, run_property

SIZE = 5000
VALUE = content(SIZE)

# Often near the end, and near each other: that is where merged reads could differ.
places = st.integers(0, SIZE + 500) | st.integers(SIZE - 30, SIZE + 30)
lengths = st.integers(0, 40) | st.integers(0, SIZE)
parts = st.one_of(
    st.builds(lambda start, length: RangeByteRequest(start, start + length), places, lengths),
    places.map(OffsetByteRequest),
    places.map(SuffixByteRequest),
    st.none(),
)


def expected_part(request: Any) -> bytes:
    return VALUE if request is None else sliced(VALUE, request) or b""


class ManyRules(Rules):
    async def test_get_partial_values_keeps_the_order(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a", "b/c")
        asked = [
            ("b/c", RangeByteRequest(1, 3)),
            ("missing", None),
            ("a", None),
            ("b/c", None),
            ("b/c", RangeByteRequest(0, 2)),
            ("missing/too", SuffixByteRequest(3)),
            ("b/c", SuffixByteRequest(1)),
        ]
        # Once only: an iterator that is read twice comes back empty.
        values = await store.get_partial_values(None, iter(asked))
        got = [None if value is None else value.to_bytes() for value in values]
        assert got == [b"/c", None, b"a", b"b/c", b"b/", None, b"c"]

    async def test_get_partial_values_of_nothing(self, make_store: MakeStore) -> None:
        assert await make_store().get_partial_values(None, []) == []

    async def test_get_partial_values_out_of_range(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a", data=b"0123456789")
        asked = [("a", RangeByteRequest(0, 2)), ("a", RangeByteRequest(20, 30))]
        with pytest.raises(ByteRangeError) as caught:
            await store.get_partial_values(None, asked)
        assert caught.value.byte_range == RangeByteRequest(20, 30)
        assert caught.value.key == "a"
        empty = make_store(out_of_range="empty")
        values = await empty.get_partial_values(None, asked)
        assert [value.to_bytes() for value in values] == [b"01", b""]

    async def test_get_ranges_yields_every_range_with_its_place(
        self, make_store: MakeStore
    ) -> None:
        store = make_store()
        await put(store, "shard", data=VALUE)
        asked = [
            SuffixByteRequest(16),
            RangeByteRequest(4000, 4100),
            RangeByteRequest(0, 10),
            None,
            RangeByteRequest(5, 20),
            RangeByteRequest(0, 10),
            OffsetByteRequest(4990),
        ]
        got = {}
        async for batch in store.get_ranges("shard", asked):
            for place, value in batch:
                assert place not in got
                got[place] = value.to_bytes()
        assert got == {place: expected_part(request) for place, request in enumerate(asked)}

    async def test_get_ranges_fetches_nearby_ranges_together(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "shard", data=VALUE)
        near = [RangeByteRequest(start, start + 10) for start in range(0, 100, 20)]
        far = RangeByteRequest(4000, 4010)
        batches = await collect(store.get_ranges("shard", [*near, far], max_gap_bytes=10))
        assert sorted(len(batch) for batch in batches) == [1, 5]
        alone = await collect(store.get_ranges("shard", near, max_gap_bytes=9))
        assert [len(batch) for batch in alone] == [1] * 5
        bounded = await collect(store.get_ranges("shard", near, max_coalesced_bytes=50))
        assert sorted(len(batch) for batch in bounded) == [2, 3]

    async def test_get_ranges_of_a_missing_key(self, make_store: MakeStore) -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await collect(make_store().get_ranges("missing", [RangeByteRequest(0, 1), None]))
        assert caught.value.subgroup(FileNotFoundError) is not None

    async def test_get_ranges_needs_room_for_one(self, make_store: MakeStore) -> None:
        with pytest.raises(ValueError, match="max_concurrency"):
            await collect(make_store().get_ranges("a", [None], max_concurrency=0))

    async def test_get_ranges_of_nothing(self, make_store: MakeStore) -> None:
        assert await collect(make_store().get_ranges("missing", [])) == []

    async def test_many_ranges_are_pythons_slices(self, make_store: MakeStore) -> None:
        store, strict = make_store(out_of_range="empty"), make_store()
        await put(store, "value", data=VALUE)

        async def by_every_call(store: Any, asked: list[Any], **bounds: int) -> list[list[bytes]]:
            got: dict[int, bytes] = {}
            async for batch in store.get_ranges("value", asked, max_concurrency=3, **bounds):
                got.update({place: value.to_bytes() for place, value in batch})
            values = await store.get_partial_values(None, [("value", part) for part in asked])
            many = [
                value async for _, value in store._get_many([("value", None, p) for p in asked])
            ]
            return [
                [got[place] for place in range(len(asked))],
                [value.to_bytes() for value in values],
                # As read, so in any order.
                sorted(value.to_bytes() for value in many),
            ]

        @settings(max_examples=self.limits.examples)
        @given(st.lists(parts, max_size=20), st.integers(0, 600), st.integers(1, 3000))
        async def check(asked: list[Any], gap: int, most: int) -> None:
            bounds = {"max_gap_bytes": gap, "max_coalesced_bytes": most}
            expected = [expected_part(request) for request in asked]
            answers = [expected, expected, sorted(expected)]
            assert await by_every_call(store, asked, **bounds) == answers
            within = [part for part in asked if part is None or sliced(VALUE, part) is not None]
            if within == asked:
                assert await by_every_call(strict, asked, **bounds) == answers
                return
            with pytest.raises(ExceptionGroup) as group:
                await collect(strict.get_ranges("value", asked, **bounds))
            assert group.value.subgroup(ByteRangeError) is not None
            with pytest.raises(ByteRangeError) as caught:
                await strict.get_partial_values(None, [("value", part) for part in asked])
            assert caught.value.byte_range not in within
            with pytest.raises(ByteRangeError) as caught:
                await collect(strict._get_many([("value", None, part) for part in asked]))
            assert caught.value.byte_range not in within

        await run_property(check)

    async def test_get_many(self, make_store: MakeStore) -> None:
        store = make_store()
        keys = [f"c/{number}" for number in range(25)]
        await put(store, *keys)
        requests = [
            (key, None, part)
            for key in [*keys, "missing"]
            for part in (RangeByteRequest(2, 9), RangeByteRequest(0, 1))
        ]
        got = [
            (key, None if value is None else value.to_bytes())
            async for key, value in store._get_many(iter(requests))
        ]
        expected = [(key, part) for key in keys for part in (key[2:].encode(), b"c")]
        assert sorted(answer for answer in got if answer[1] is not None) == sorted(expected)
        assert [answer for answer in got if answer[1] is None] == [("missing", None)] * 2

    async def test_set_many(self, make_store: MakeStore) -> None:
        store = make_store()
        pairs = {f"c/{number}": b"%d" % number for number in range(100)}
        await store._set_many((key, buf(data)) for key, data in pairs.items())
        for key in ("c/0", "c/57", "c/99"):
            assert await read(store, key) == pairs[key]
        assert await store.getsize_prefix("c") == sum(map(len, pairs.values()))
