"""zarr's own ways to make, find and copy arrays and groups."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
import zarr.storage
from zarr.core.buffer import default_buffer_prototype
from zarr.core.group import GroupMetadata

from .places import Place

FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])

# zarr says so of every consolidated v3 hierarchy, on any store.
CONSOLIDATED = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")

DATA = np.arange(600, dtype="i4").reshape(20, 30)


@FORMATS
def test_open_makes_and_finds_groups_and_arrays(place: Place, zarr_format: Any) -> None:
    made = zarr.open(store=place.open(), mode="w", zarr_format=zarr_format)
    assert isinstance(made, zarr.Group)
    for mode in ("a", "r+", "r"):
        assert isinstance(zarr.open(store=place.open(), mode=mode), zarr.Group)
    array = zarr.open(
        store=place.open(),
        path="below/a",
        mode="w-",
        shape=DATA.shape,
        chunks=(7, 11),
        dtype=DATA.dtype,
        zarr_format=zarr_format,
    )
    array[:] = DATA
    found = zarr.open(store=place.open(read_only=True), path="below/a", mode="r")
    assert isinstance(found, zarr.Array)
    np.testing.assert_array_equal(found[3:17, 5:], DATA[3:17, 5:])
    with pytest.raises(FileExistsError):
        zarr.open(store=place.open(), path="below/a", mode="w-", shape=(1,), dtype="i4")


@FORMATS
def test_groups_are_made_inside_of_groups(place: Place, zarr_format: Any) -> None:
    root = zarr.create_group(
        store=place.open(), attributes={"title": "field"}, zarr_format=zarr_format
    )
    below = root.create_group("one/two", attributes={"depth": 2})
    array = zarr.create_array(
        store=place.open(), name="one/two/a", data=DATA, chunks=(20, 10), zarr_format=zarr_format
    )
    array.attrs["unit"] = "K"
    below.attrs.update({"more": [1, 2]})
    again = zarr.open_group(store=place.open(read_only=True), mode="r")
    assert dict(again.attrs) == {"title": "field"}
    assert dict(again["one/two"].attrs) == {"depth": 2, "more": [1, 2]}
    assert dict(again["one/two/a"].attrs) == {"unit": "K"}
    np.testing.assert_array_equal(again["one/two/a"][:], DATA)
    assert "a" in str(again.tree())


@FORMATS
def test_what_is_saved_is_loaded(place: Place, zarr_format: Any) -> None:
    zarr.save(place.open("array"), DATA, zarr_format=zarr_format)
    np.testing.assert_array_equal(zarr.load(place.open("array")), DATA)
    zarr.save(place.open("group"), first=DATA, second=DATA[:2], zarr_format=zarr_format)
    # zarr saves groups, and does not load them.
    saved = zarr.open_group(store=place.open("group"), mode="r")
    assert sorted(saved.array_keys()) == ["first", "second"]
    np.testing.assert_array_equal(zarr.load(place.open("group"), path="second"), DATA[:2])


@CONSOLIDATED
@FORMATS
def test_consolidated_metadata_are_all_a_reader_needs(place: Place, zarr_format: Any) -> None:
    root = zarr.create_group(store=place.open(), zarr_format=zarr_format)
    for name in ("a", "b/c"):
        root.create_array(name, data=DATA, chunks=(10, 10))
    with pytest.raises((ValueError, KeyError)):
        zarr.open_consolidated(place.open(), mode="r", zarr_format=zarr_format)
    zarr.consolidate_metadata(place.open(), zarr_format=zarr_format)
    store = place.open(read_only=True)
    found = zarr.open_consolidated(store, mode="r", zarr_format=zarr_format)
    asked = store.stats.requests
    assert sorted(name for name, _ in found.members(max_depth=None)) == ["a", "b", "b/c"]
    assert found["b/c"].shape == DATA.shape
    assert store.stats.requests == asked
    np.testing.assert_array_equal(found["b/c"][5:15], DATA[5:15])


def test_a_group_of_a_thousand_members(place: Place) -> None:
    names = [f"group-{number:03}" for number in range(200)]
    arrays = [f"array-{number:03}" for number in range(800)]
    template = zarr.create_array(store={}, shape=(4,), chunks=(4,), dtype="i2").metadata
    nodes = {"": GroupMetadata(), **dict.fromkeys(names, GroupMetadata())}
    nodes |= dict.fromkeys(arrays, template)  # type: ignore[arg-type]
    made = dict(zarr.create_hierarchy(store=place.open(), nodes=nodes))
    assert len(made) == 1001
    found = zarr.open_group(store=place.open(read_only=True), mode="r")
    assert sorted(found.array_keys()) == arrays
    # A page of most services holds a thousand.
    assert sorted(place.open().sync.list_dir("")) == sorted(["zarr.json", *arrays, *names])
    assert isinstance(found["group-199"], zarr.Group)
    assert isinstance(found["array-799"], zarr.Array)
    assert "array-800" not in found


@pytest.mark.parametrize(("separator", "key"), [("/", "a/1/2"), (".", "a/1.2")])
def test_keys_of_chunks_of_format_2_have_the_separator(
    place: Place, separator: Any, key: str
) -> None:
    array = zarr.create_array(
        store=place.open(),
        name="a",
        shape=DATA.shape,
        chunks=(10, 10),
        dtype=DATA.dtype,
        zarr_format=2,
        chunk_key_encoding={"name": "v2", "separator": separator},
        fill_value=-1,
    )
    array[:10] = DATA[:10]
    store = place.open()
    assert sorted(store.sync.list_prefix("a/0")) == [
        f"a/0{separator}{column}" for column in range(3)
    ]
    assert not store.sync.exists(key)
    array[10:, 20:] = DATA[10:, 20:]
    assert store.sync.exists(key)
    assert json.loads(store.sync.get("a/.zarray").to_bytes())["dimension_separator"] == separator
    found = zarr.open_array(store=place.open(read_only=True), path="a", mode="r")
    np.testing.assert_array_equal(found[:10], DATA[:10])
    np.testing.assert_array_equal(found[10:, 20:], DATA[10:, 20:])
    assert (found[10:, :20] == -1).all()


def test_parts_of_shards_are_written_and_grown(place: Place) -> None:
    array = zarr.create_array(
        store=place.open(), shape=(40, 40), shards=(20, 20), chunks=(5, 5), dtype="i4", fill_value=0
    )
    expected = np.zeros((50, 40), "i4")
    for row, column in ((3, 7), (18, 18), (39, 0)):
        array[row : row + 4, column : column + 4] = row
        expected[row : min(row + 4, 40), column : column + 4] = row
    array.resize((50, 40))
    array.append(np.full((2, 40), 9, "i4"), axis=0)
    found = zarr.open_array(store=place.open(read_only=True), mode="r")
    np.testing.assert_array_equal(found[:50], expected)
    np.testing.assert_array_equal(found[50:], np.full((2, 40), 9))
    np.testing.assert_array_equal(found.oindex[[3, 19, 40], 5:9], expected[[3, 19, 40], 5:9])
    np.testing.assert_array_equal(found.vindex[[3, 19], [7, 18]], expected[[3, 19], [7, 18]])
    np.testing.assert_array_equal(found.blocks[0, 0], expected[:20, :20])
    # A shard that holds nothing but the fill value is none.
    array[:] = 0
    assert list(place.open().sync.list_prefix("c/")) == []


def test_a_hierarchy_of_a_folder_is_copied(place: Place, tmp_path: Path) -> None:
    local = zarr.storage.LocalStore(tmp_path / "source.zarr")
    source = zarr.create_group(store=local, attributes={"title": "field"})
    source.create_array("a", data=DATA, chunks=(10, 10), attributes={"unit": "K"})
    source.create_array("below/b", data=DATA, chunks=(10, 10), shards=(20, 30))
    # Key by key, as whoever moves a data set does it.
    target = place.open("keys.zarr")

    async def copy() -> None:
        async for key in local.list():
            await target.set(key, await local.get(key, default_buffer_prototype()))

    asyncio.run(copy())
    copied = zarr.open_group(store=place.open("keys.zarr", read_only=True), mode="r")
    assert dict(copied.attrs) == {"title": "field"}
    assert sorted(name for name, _ in copied.members(max_depth=None)) == ["a", "below", "below/b"]
    np.testing.assert_array_equal(copied["below/b"][:], DATA)
    # Chunk by chunk into another layout.
    array = zarr.from_array(place.open("array.zarr"), data=source["a"], chunks=(4, 30))
    assert array.chunks == (4, 30)
    np.testing.assert_array_equal(zarr.open_array(store=place.open("array.zarr"))[:], DATA)
