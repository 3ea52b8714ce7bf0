"""Rules of `set_partial_values`."""

from __future__ import annotations

from typing import Any

import pytest

from .support import MakeStore, Rules, buf, put, read


class PartialWriteRules(Rules):
    of_writing = True

    async def test_other_bytes_stay_as_they_are(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a", "b/c", data=b"0123456789")
        await store.set_partial_values(
            iter([("a", 2, b"xx"), ("b/c", 0, b"Y"), ("a", 8, buf(b"zz")), ("a", 4, b"w")])
        )
        assert await read(store, "a") == b"01xxw567zz"
        assert await read(store, "b/c") == b"Y123456789"

    async def test_a_gap_past_the_end_is_filled_with_zeros(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a", data=b"012")
        await store.set_partial_values([("a", 5, b"xy")])
        assert await read(store, "a") == b"012\0\0xy"
        await store.set_partial_values([("a", 6, b"abc")])
        assert await read(store, "a") == b"012\0\0xabc"

    async def test_a_missing_key_is_created(self, make_store: MakeStore) -> None:
        store = make_store()
        await store.set_partial_values([("n/ew", 2, b"ab"), ("whole", 0, b"cd")])
        assert await read(store, "n/ew") == b"\0\0ab"
        assert await read(store, "whole") == b"cd"

    async def test_writing_no_bytes_changes_none(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a", data=b"012")
        await store.set_partial_values([("a", 1, b""), ("a", 99, b"")])
        assert await read(store, "a") == b"012"

    async def test_overlapping_or_negative_parts_are_refused_whole(
        self, make_store: MakeStore
    ) -> None:
        store = make_store()
        await put(store, "a", data=b"0123")
        for parts in (
            [("a", 0, b"xx"), ("a", 1, b"y")],
            [("a", 3, b"y"), ("a", 0, b"wxyz")],
            [("a", 0, b"x"), ("a", 0, b"y")],
            [("b", 0, b"x"), ("a", -1, b"y")],
        ):
            with pytest.raises(ValueError, match="'a'"):
                await store.set_partial_values(parts)
            assert await read(store, "a") == b"0123"
            assert not await store.exists("b")

    async def test_an_invalid_part_is_rejected(self, make_store: MakeStore) -> None:
        store = make_store()
        invalid: list[Any] = [("a", 0, "text"), ("a", 0, 7), ("a", 1.5, b"x")]
        for part in invalid:
            with pytest.raises(TypeError):
                await store.set_partial_values([("b", 0, b"x"), part])
        assert not await store.exists("a")
        assert not await store.exists("b")
