"""From a key to the index of its chunk and back, compared with the keys that zarr writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.places import check, new_store
from fsspec_store.dataset import ArrayMetadata, ChunkGrid, parse_metadata

ENCODINGS = [("default", "/"), ("default", "."), ("v2", "/"), ("v2", ".")]


@st.composite
def grids(draw: st.DrawFn, most: int = 10**7) -> ChunkGrid:
    axes = draw(st.lists(st.tuples(st.integers(0, most), st.integers(1, most)), max_size=4))
    shape, chunks = tuple(size for size, _ in axes), tuple(chunk for _, chunk in axes)
    return ChunkGrid(shape, chunks, *draw(st.sampled_from(ENCODINGS)))


class TestChunkGrid:
    @given(grids(), st.data())
    def test_an_index_and_its_key_are_inverse(self, grid: ChunkGrid, data: st.DataObject) -> None:
        index = tuple(data.draw(st.integers(0, 10**15)) for _ in grid.shape)
        assert grid.index(grid.key(index)) == index

    @given(grids(most=6))
    def test_lists_each_key_once_in_the_order_of_numbers(self, grid: ChunkGrid) -> None:
        keys = list(grid.all_keys())
        assert len(set(keys)) == len(keys) == grid.count
        assert keys == [grid.numbered_key(number) for number in range(grid.count)]

    @given(grids(), st.text("c0123./ \n+-", max_size=8))
    def test_another_key_has_no_index(self, grid: ChunkGrid, key: str) -> None:
        index = grid.index(key)
        assert index is None or grid.key(index) == key

    @pytest.mark.parametrize(
        ("encoding", "separator", "keys"),
        [
            ("default", "/", ["c", "c/3", "c/3/0"]),
            ("default", ".", ["c", "c.3", "c.3.0"]),
            ("v2", "/", ["0", "3", "3/0"]),
            ("v2", ".", ["0", "3", "3.0"]),
        ],
    )
    def test_the_keys_of_arrays_of_0_to_2_axes(
        self, encoding: str, separator: str, keys: list[str]
    ) -> None:
        for axes, key in enumerate(keys):
            grid = ChunkGrid((9,) * axes, (2,) * axes, encoding, separator)
            assert grid.key((3, 0)[:axes]) == key

    @pytest.mark.parametrize(
        "key", ["c/01", "c/1/", "c/-1", "c/1.0", "1", "c", "c/1/2", "C/1", "c/1\n"]
    )
    def test_a_key_that_no_writer_makes_has_no_index(self, key: str) -> None:
        assert ChunkGrid((5,), (1,)).index(key) is None

    def test_a_region_ends_at_the_edge_of_the_array(self) -> None:
        grid = ChunkGrid((7, 5), (4, 2))
        assert grid.counts == (2, 3)
        assert grid.region(5) == (slice(4, 7), slice(4, 5))

    def test_a_large_grid_is_counted_without_its_keys(self) -> None:
        grid = ChunkGrid((10**6, 10**12, 10**6), (1, 1, 1))
        assert grid.count == 10**24
        assert next(ChunkGrid((10**12,), (1,)).all_keys()) == "c/0"


@st.composite
def arrays(draw: st.DrawFn) -> dict[str, Any]:
    axes = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3)), max_size=3))
    options: dict[str, Any] = {
        "shape": tuple(size for size, _ in axes),
        "chunks": tuple(chunk for _, chunk in axes),
        "zarr_format": draw(st.sampled_from([2, 3])),
        "dtype": draw(st.sampled_from(["uint8", ">i4", "<f8", "complex64", "bool", "M8[s]", "U3"])),
        "compressors": draw(st.sampled_from([None, "auto"])),
    }
    encoding, separator = draw(st.sampled_from(ENCODINGS))
    if options["zarr_format"] == 3 or encoding == "v2":
        options["chunk_key_encoding"] = {"name": encoding, "separator": separator}
    if options["zarr_format"] == 3 and draw(st.booleans()):
        options["shards"] = tuple(2 * chunk for chunk in options["chunks"])
    return options


# Of the data types of strings.
@pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification")
class TestWhatZarrWrites:
    @settings(max_examples=60)
    @given(arrays())
    def test_is_exactly_what_is_expected(self, options: dict[str, Any]) -> None:
        store = new_store()
        array = zarr.create_array(store, config={"write_empty_chunks": True}, **options)
        if array.size:
            array[...] = np.zeros(array.shape, array.dtype)
        name = ".zarray" if options["zarr_format"] == 2 else "zarr.json"
        metadata = parse_metadata(name, store.sync.get(name).to_bytes())
        assert isinstance(metadata, ArrayMetadata)
        written = {key for key in store.sync.list() if key not in (name, ".zattrs")}
        assert written == set(metadata.grid.all_keys())
        report = check(store, shards=True)
        assert report.findings == ()
        [found] = report.arrays
        assert len(found.present) == found.metadata.grid.count == len(written)
