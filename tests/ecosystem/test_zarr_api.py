"""What else zarr does with a store: its asynchronous API, hierarchies, kinds of data, settings."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import zarr
import zarr.api.asynchronous

from fsspec_store import Buffer
from fsspec_store.zarr import ZarrStore

from .places import Place

FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])

pytestmark = [
    # zarr says so of every consolidated v3 hierarchy, on any store.
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
    # And of every array of such data of format 3.
    pytest.mark.filterwarnings("ignore:The data type .* does not have a Zarr V3 specification"),
]

DATA = np.arange(600, dtype="i4").reshape(20, 30)


def keys(store: ZarrStore, prefix: str = "") -> list[str]:
    return sorted(store.sync.list_prefix(prefix))


@FORMATS
def test_the_asynchronous_api_of_zarr(place: Place, zarr_format: Any) -> None:
    async def write(name: str) -> None:
        array = await zarr.api.asynchronous.create_array(
            store=place.open(), name=name, shape=DATA.shape, chunks=(5, 10), dtype=DATA.dtype,
            zarr_format=zarr_format,
        )  # fmt: skip
        await array.setitem(slice(None), DATA)

    async def read() -> list[Any]:
        root = await zarr.api.asynchronous.open_group(store=place.open(read_only=True), mode="r")
        found = {name: node async for name, node in root.members(max_depth=None)}
        assert sorted(found) == ["a", "b", "below", "below/c"]
        return await asyncio.gather(
            *(found[name].getitem((slice(3, 9), slice(5, None))) for name in ("a", "b", "below/c"))
        )

    async def everything() -> list[Any]:
        await zarr.api.asynchronous.create_group(store=place.open(), zarr_format=zarr_format)
        await zarr.api.asynchronous.create_group(
            store=place.open(), path="below", zarr_format=zarr_format
        )
        await asyncio.gather(*map(write, ("a", "b", "below/c")))
        return await read()

    for parts in (asyncio.run(everything()), asyncio.run(read())):
        for part in parts:
            np.testing.assert_array_equal(part, DATA[3:9, 5:])


@FORMATS
def test_members_are_found_at_the_requested_depth(place: Place, zarr_format: Any) -> None:
    root = zarr.create_group(store=place.open(), zarr_format=zarr_format)
    root.create_array("one/two/a", shape=(2,), dtype="i2")
    root.create_array("b", shape=(2,), dtype="i2")
    found = zarr.open_group(store=place.open(read_only=True), mode="r")
    by_depth = {
        depth: sorted(name for name, _ in found.members(max_depth=depth))
        for depth in (0, 1, 2, None)
    }
    assert by_depth == {
        0: ["b", "one"],
        1: ["b", "one", "one/two"],
        2: ["b", "one", "one/two", "one/two/a"],
        None: ["b", "one", "one/two", "one/two/a"],
    }
    assert found.nmembers(max_depth=None) == 4
    assert "one/two/a" in found
    assert "one/tw" not in found
    with pytest.raises(KeyError):
        found["one/three"]


@FORMATS
def test_consolidated_metadata_are_as_old_as_they_are(place: Place, zarr_format: Any) -> None:
    root = zarr.create_group(store=place.open(), zarr_format=zarr_format)
    root.create_array("a", data=DATA, chunks=(10, 10))
    zarr.consolidate_metadata(place.open(), zarr_format=zarr_format)

    def names(**how: Any) -> list[str]:
        opened = zarr.open_group(
            store=place.open(read_only=True), mode="r", zarr_format=zarr_format, **how
        )
        return sorted(opened.array_keys())

    writable = zarr.open_group(store=place.open(), mode="r+", use_consolidated=False)
    writable.create_array("b", data=DATA, chunks=(10, 10))
    writable["a"].resize((20, 40))
    assert names() == names(use_consolidated=True) == ["a"]
    assert names(use_consolidated=False) == ["a", "b"]
    stale = zarr.open_group(store=place.open(read_only=True), mode="r", zarr_format=zarr_format)
    assert stale["a"].shape == (20, 30)
    zarr.consolidate_metadata(place.open(), zarr_format=zarr_format)
    assert names(use_consolidated=True) == ["a", "b"]
    again = zarr.open_group(store=place.open(read_only=True), mode="r", zarr_format=zarr_format)
    assert again["a"].shape == (20, 40)
    np.testing.assert_array_equal(again["a"][:, :30], DATA)


@FORMATS
def test_arrays_are_grown_and_cut(place: Place, zarr_format: Any) -> None:
    array = zarr.create_array(
        store=place.open(), name="a", data=DATA, chunks=(5, 10), zarr_format=zarr_format
    )
    array.append(DATA[:5])
    array.append(np.full((25, 4), 9, "i4"), axis=1)
    expected = np.hstack([np.vstack([DATA, DATA[:5]]), np.full((25, 4), 9, "i4")])
    np.testing.assert_array_equal(zarr.open_array(store=place.open(), path="a")[:], expected)
    array.resize((7, 12))
    np.testing.assert_array_equal(zarr.open_array(store=place.open(), path="a")[:], DATA[:7, :12])
    # What was cut off is gone, and nothing comes back.
    chunks = [key for key in keys(place.open(), "a/") if not key.endswith(("y", "s", "n"))]
    assert len(chunks) == 4
    array.resize((20, 30))
    assert not zarr.open_array(store=place.open(), path="a")[10:].any()
    assert zarr.open_array(store=place.open(), path="a").nchunks_initialized == 4


@FORMATS
def test_a_node_is_deleted_with_all_below_it_and_nothing_else(
    overwritten: Place, zarr_format: Any
) -> None:
    place = overwritten
    root = zarr.create_group(store=place.open(), zarr_format=zarr_format)
    for name in ("run1/a", "run10/a", "run[1]/a"):
        root.create_array(name, data=DATA, chunks=(10, 10))
    before = keys(place.open())
    del root["run1"]
    assert sorted(zarr.open_group(store=place.open(), mode="r").group_keys()) == ["run10", "run[1]"]
    assert keys(place.open()) == [key for key in before if not key.startswith("run1/")]
    with pytest.raises(ValueError, match="read-only"):
        del zarr.open_group(store=place.open(read_only=True), mode="r")["run10"]
    np.testing.assert_array_equal(
        zarr.open_array(store=place.open(), path="run10/a", mode="r")[:], DATA
    )


STRINGS = np.array(["", "a", "größer", "日本", "x" * 300, "end"] * 3)
RECORDS = np.array(
    [(1, 2.5), (-3, np.inf), (7, 0.0)] * 4, dtype=[("count", "<i4"), ("mean", "<f8")]
)


@FORMATS
@pytest.mark.parametrize(
    "data",
    [
        STRINGS.astype(np.dtypes.StringDType()),
        STRINGS,
        RECORDS,
        np.arange(12).astype("M8[ns]"),
        np.array([b"a", b"", b"\xff\x01"] * 4),
        np.array([1 + 2j, -1j, 3] * 4),
        np.arange(12) % 3 == 0,
        np.linspace(0, 1, 12, dtype=">f2"),
    ],
    ids=["strings", "fixed strings", "records", "times", "bytes", "complex", "bool", "big endian"],
)
def test_every_kind_of_data_round_trips(place: Place, data: Any, zarr_format: Any) -> None:
    zarr.create_array(store=place.open(), name="a", data=data, chunks=(5,), zarr_format=zarr_format)
    found = zarr.open_array(store=place.open(read_only=True), path="a", mode="r")
    # Format 3 keeps the order of bytes in a codec, not in the type.
    assert (found.dtype.kind, found.dtype.itemsize) == (data.dtype.kind, data.dtype.itemsize)
    np.testing.assert_array_equal(found[:], data)
    np.testing.assert_array_equal(found[4:7], data[4:7])
    grown = zarr.open_array(store=place.open(), path="a", mode="r+")
    grown.append(data[:1])
    assert grown[len(data)] == data[0]


@pytest.mark.parametrize("shards", [None, (10, 30)])
@pytest.mark.parametrize("empty", [False, True])
def test_empty_chunks_are_written_where_requested(place: Place, shards: Any, empty: bool) -> None:
    array = zarr.create_array(
        store=place.open(), name="a", shape=DATA.shape, chunks=(5, 10), shards=shards, dtype="i4",
        fill_value=0, config={"write_empty_chunks": empty},
    )  # fmt: skip
    array[:10] = 0
    assert bool(keys(place.open(), "a/c/0/")) is empty
    array[:] = DATA
    array[:10] = 0
    assert bool(keys(place.open(), "a/c/0/0")) is empty
    expected = DATA.copy()
    expected[:10] = 0
    np.testing.assert_array_equal(zarr.open_array(store=place.open(), path="a")[:], expected)


def test_a_damaged_shard_is_an_error(place: Place) -> None:
    zarr.create_array(store=place.open(), name="a", data=DATA, chunks=(5, 10), shards=(20, 30))
    store = place.open()
    shard = bytearray(store.sync.get("a/c/0/0").to_bytes())
    shard[-9] ^= 1
    store.sync.set("a/c/0/0", Buffer.from_bytes(bytes(shard)))
    with pytest.raises(ValueError, match="checksum"):
        zarr.open_array(store=place.open(), path="a", mode="r")[:]


def test_threads_write_chunks_of_one_array(place: Place) -> None:
    store = place.open()
    zarr.create_array(store=store, name="a", shape=DATA.shape, chunks=(1, 30), dtype="i4")

    def write(row: int) -> None:
        zarr.open_array(store=store, path="a", mode="r+")[row] = DATA[row]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(20)))
    np.testing.assert_array_equal(zarr.open_array(store=place.open(), path="a")[:], DATA)


def test_a_hierarchy_is_made_at_once_over_another(place: Place) -> None:
    plain = zarr.create_array(store={}, shape=(4,), chunks=(2,), dtype="i2").metadata
    group = zarr.create_group(store={}, attributes={"title": "new"}).metadata
    zarr.create_array(store=place.open(), name="below/a", data=DATA, chunks=(5, 10))
    nodes = {"": group, "below": group, "below/a": plain}
    with pytest.raises(Exception, match=r"(?i)exist"):
        dict(zarr.create_hierarchy(store=place.open(), nodes=nodes))
    dict(zarr.create_hierarchy(store=place.open(), nodes=nodes, overwrite=True))
    found = zarr.open_group(store=place.open(read_only=True), mode="r")
    assert found["below"].attrs["title"] == "new"
    assert found["below/a"][:].tolist() == [0] * 4
    assert keys(place.open(), "below/a/") == ["below/a/zarr.json"]


@FORMATS
def test_attributes_are_replaced_together(place: Place, zarr_format: Any) -> None:
    root = zarr.create_group(
        store=place.open(), attributes={"a": 1, "b": [1.5, None]}, zarr_format=zarr_format
    )
    root.attrs.put({"c": "größer"})
    root.update_attributes({"d": {"deep": True}})
    del root.attrs["c"]
    found = zarr.open_group(store=place.open(read_only=True), mode="r")
    assert dict(found.attrs) == {"d": {"deep": True}}
    name = ".zattrs" if zarr_format == 2 else "zarr.json"
    said = json.loads(place.open().sync.get(name).to_bytes())
    assert (said if zarr_format == 2 else said["attributes"]) == {"d": {"deep": True}}
