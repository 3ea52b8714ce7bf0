"""What fsspec's users already hold: a ``UPath``, a mapper, a filesystem."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
from upath import UPath

from fsspec_store import Buffer
from fsspec_store.zarr import ZarrStore, open_store

from .places import Place

# zarr says so of every consolidated v3 hierarchy, on any store.
pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")

DATA = np.arange(200, dtype="i4").reshape(10, 20)


def by_upath(place: Place) -> Any:
    return UPath(f"{place.url}/data.zarr", **place.options)


def by_joined_upath(place: Place) -> Any:
    return UPath(place.url, **place.options) / "data.zarr" / ""


def by_mapper(place: Place) -> Any:
    return fsspec.get_mapper(f"{place.url}/data.zarr", **place.options)


def by_mapper_of_a_filesystem(place: Place) -> Any:
    fs = fsspec.filesystem("s3", **place.options)
    return fs.get_mapper(f"{place.path}/data.zarr")


WAYS = pytest.mark.parametrize(
    "hold",
    [by_upath, by_joined_upath, by_mapper, by_mapper_of_a_filesystem],
    ids=lambda way: way.__name__,
)


@WAYS
def test_what_is_held_is_the_same_place(place: Place, hold: Callable[[Place], Any]) -> None:
    zarr.create_array(store=place.open(), name="a", data=DATA, chunks=(5, 5))
    held = hold(place)
    store = open_store(held, read_only=True)
    assert type(store) is ZarrStore
    assert store.url == place.open().url
    np.testing.assert_array_equal(zarr.open_array(store=store, path="a", mode="r")[:], DATA)
    again = pickle.loads(pickle.dumps(open_store(held)))
    zarr.open_array(store=again, path="a", mode="r+")[:] = DATA + 1
    np.testing.assert_array_equal(zarr.open_array(store=place.open(), path="a")[:], DATA + 1)
    assert place.options["secret"] not in repr(store)


@WAYS
def test_a_dataset_is_written_and_read_by_what_is_held(
    place: Place, hold: Callable[[Place], Any]
) -> None:
    ds = xr.Dataset({"air": (("y", "x"), DATA)}, coords={"y": np.arange(10)})
    ds.to_zarr(open_store(hold(place)), mode="w")
    with xr.open_zarr(open_store(hold(place), read_only=True)) as opened:
        xr.testing.assert_identical(opened.load(), ds)


def test_a_path_below_a_upath_is_a_store_of_its_own(place: Place) -> None:
    root = UPath(place.url, **place.options)
    for name in ("one.zarr", "two.zarr"):
        zarr.create_array(store=open_store(root / name), data=DATA, chunks=(10, 20))
    # And the other way around: UPath sees the keys.
    assert sorted(path.name for path in root.iterdir()) == ["one.zarr", "two.zarr"]
    assert (root / "one.zarr" / "c/0/0").is_file()
    assert json.loads((root / "two.zarr" / "zarr.json").read_text())["shape"] == [10, 20]


def test_what_a_mapper_wrote_is_an_array(place: Place) -> None:
    mapper = by_mapper(place)
    metadata = {
        "zarr_format": 2,
        "shape": list(DATA.shape),
        "chunks": [5, 20],
        "dtype": "<i4",
        "compressor": None,
        "fill_value": 0,
        "filters": None,
        "order": "C",
    }
    mapper[".zgroup"] = b'{"zarr_format": 2}'
    mapper["a/.zarray"] = json.dumps(metadata).encode()
    mapper.setitems({f"a/{row}.0": DATA[5 * row : 5 * row + 5].tobytes() for row in range(2)})
    root = zarr.open_group(store=place.open(read_only=True), mode="r")
    assert list(root.array_keys()) == ["a"]
    np.testing.assert_array_equal(root["a"][:], DATA)
    # What is changed here is seen there, and what is removed here is gone there.
    zarr.open_array(store=place.open(), path="a")[0] = 7
    fresh = fsspec.get_mapper(
        f"{place.url}/data.zarr",
        **place.options,
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    assert np.frombuffer(fresh["a/0.0"], "<i4")[:20].tolist() == [7] * 20
    assert sorted(fresh) == sorted(place.open().sync.list())
    place.open().sync.delete("a/1.0")
    assert "a/1.0" not in fresh
    assert zarr.open_array(store=place.open(), path="a")[9].tolist() == [0] * 20


def test_zarrs_store_of_a_mapper_reads_what_was_written_here(place: Place) -> None:
    zarr.create_array(store=place.open(), name="a", data=DATA, chunks=(5, 5), shards=(10, 10))
    fs = fsspec.filesystem("s3", asynchronous=True, **place.options)
    theirs = zarr.storage.FsspecStore.from_mapper(fs.get_mapper(f"{place.path}/data.zarr"))
    np.testing.assert_array_equal(zarr.open_array(store=theirs, path="a", mode="r")[:], DATA)


def test_a_filesystem_that_is_shared_goes_on_working(place: Place) -> None:
    fs = fsspec.filesystem("s3", **place.options, skip_instance_cache=True)
    with ZarrStore(fs, f"{place.path}/data.zarr") as store:
        store.sync.set("a", Buffer.from_bytes(b"by the store"))
    assert fs.cat_file(f"{place.path}/data.zarr/a") == b"by the store"
    fs.pipe_file(f"{place.path}/data.zarr/a", b"by the filesystem")
    assert place.open().sync.get("a").to_bytes() == b"by the filesystem"
