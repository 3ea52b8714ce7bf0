from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store.dataset import ChunkSet


def of(size: int, numbers: set[int]) -> ChunkSet:
    chunks = ChunkSet(size)
    chunks.add(np.array(sorted(numbers), np.int64))
    return chunks


@st.composite
def sets(draw: st.DrawFn) -> tuple[int, set[int], set[int]]:
    # The larger ones have more than one block.
    size = draw(st.sampled_from([0, 1, 7, 8, 9, 64, 300_000]))
    numbers = st.sets(st.integers(0, max(size - 1, 0)), max_size=size and 30)
    return size, draw(numbers), draw(numbers)


class TestChunkSet:
    @given(sets())
    def test_is_a_set_of_numbers(self, given_sets: tuple[int, set[int], set[int]]) -> None:
        size, numbers, others = given_sets
        chunks = of(size, numbers)
        assert len(chunks) == len(numbers)
        assert list(chunks) == sorted(numbers)
        assert all((number in chunks) == (number in numbers) for number in others)
        assert set(np.flatnonzero(chunks.bools())) == numbers
        assert set(chunks - of(size, others)) == numbers - others
        rest = ChunkSet(size, full=True) - chunks
        assert len(rest) == size - len(numbers)
        assert not any(number in rest for number in numbers)

    @given(sets())
    def test_is_the_same_after_json(self, given_sets: tuple[int, set[int], set[int]]) -> None:
        size, numbers, _ = given_sets
        chunks = of(size, numbers)
        assert ChunkSet.from_json(json.loads(json.dumps(chunks.to_json())), size) == chunks

    def test_ranges_go_on_over_the_blocks(self) -> None:
        size = 10**6
        chunks = ChunkSet(size, full=True) - of(size, {0, 500_000})
        assert list(chunks.ranges()) == [(1, 500_000), (500_001, size)]
        assert list(ChunkSet(size, full=True).ranges()) == [(0, size)]
        assert list(ChunkSet(size).ranges()) == []

    def test_adds_a_number_twice(self) -> None:
        chunks = ChunkSet(20)
        chunks.add(np.array([3, 3, 4]))
        chunks.add(4)
        assert list(chunks) == [3, 4]

    def test_of_a_full_grid_needs_no_bitmap_in_json(self) -> None:
        assert ChunkSet(10**6, full=True).to_json() == "all"
        assert ChunkSet(10**6).to_json() == "none"

    @pytest.mark.parametrize("text", ["", "some", "AAAA", None, 3, ["all"]])
    def test_other_json_is_an_error(self, text: object) -> None:
        with pytest.raises(ValueError, match="not a bitmap"):
            ChunkSet.from_json(text, 9)

    def test_json_of_another_grid_is_an_error(self) -> None:
        text = of(1000, {1}).to_json()
        for size in (100, 10_000):
            with pytest.raises(ValueError, match=f"not a bitmap of {size} chunks"):
                ChunkSet.from_json(text, size)
