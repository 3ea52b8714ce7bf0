"""kerchunk's references: arrays that lie in files which are no zarr stores, on a server."""

from __future__ import annotations

import json
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
from fsspec.implementations.reference import LazyReferenceMapper

from fsspec_store import Buffer
from fsspec_store.errors import AccessDeniedError, BackendError, UnsupportedOperationError
from fsspec_store.zarr import ZarrStore, open_store

from .places import Place

HEADER = b"a header of another format \0\xff"
TIMES, ROWS, COLUMNS = 6, 4, 5
# No zero, which HDF5 fills with, and which xarray would take for a missing value then.
AIR = 1 + np.arange(TIMES * ROWS * COLUMNS, dtype="<f4").reshape(TIMES, ROWS, COLUMNS)


def metadata(dtype: str, shape: list[int], chunks: list[int]) -> str:
    return json.dumps(
        {
            "zarr_format": 2,
            "shape": shape,
            "chunks": chunks,
            "dtype": dtype,
            "compressor": None,
            "fill_value": None,
            "filters": None,
            "order": "C",
        }
    )


def references(target: str) -> dict[str, Any]:
    """A dataset of which a plain file holds one variable, two times a chunk."""
    length = 2 * ROWS * COLUMNS * AIR.itemsize
    return {
        ".zgroup": '{"zarr_format": 2}',
        ".zattrs": '{"source": "a file"}',
        "air/.zarray": metadata("<f4", list(AIR.shape), [2, ROWS, COLUMNS]),
        "air/.zattrs": '{"_ARRAY_DIMENSIONS": ["time", "y", "x"]}',
        **{
            f"air/{chunk}.0.0": [target, len(HEADER) + chunk * length, length] for chunk in range(3)
        },
        "time/.zarray": metadata("<i4", [TIMES], [TIMES]),
        "time/.zattrs": '{"_ARRAY_DIMENSIONS": ["time"]}',
        "time/0": np.arange(TIMES, dtype="<i4").tobytes().decode(),
    }


@pytest.fixture
def target(place: Place) -> str:
    """The URL of a file that is a header and AIR."""
    value = Buffer.from_bytes(HEADER + AIR.tobytes())
    place.open("files").sync.set("air.bin", value)
    return f"{place.url}/files/air.bin"


def expected() -> xr.Dataset:
    return xr.Dataset(
        {"air": (("time", "y", "x"), AIR)},
        coords={"time": np.arange(TIMES, dtype="i4")},
        attrs={"source": "a file"},
    )


def remote(place: Place) -> dict[str, Any]:
    return {"remote_protocol": "s3", "remote_options": place.options}


def check(store: ZarrStore, chunks: Any) -> None:
    with store, xr.open_zarr(store, consolidated=False, chunks=chunks) as opened:
        xr.testing.assert_identical(opened.isel(time=[1, 4]).load(), expected().isel(time=[1, 4]))
        xr.testing.assert_identical(opened.load(), expected())


@pytest.mark.parametrize("chunks", [None, {}], ids=str)
@pytest.mark.parametrize("where", ["a mapping", "a file", "a bucket"])
def test_a_plain_file_is_a_dataset_by_its_references(
    place: Place, target: str, tmp_path: Any, where: str, chunks: Any
) -> None:
    refs = {"version": 1, "refs": references(target)}
    options = remote(place)
    if where == "a mapping":
        options["fo"] = refs
    elif where == "a file":
        (tmp_path / "refs.json").write_text(json.dumps(refs))
        options["fo"] = str(tmp_path / "refs.json")
    else:
        place.open("sets").sync.set("refs.json", Buffer.from_bytes(json.dumps(refs).encode()))
        options |= {
            "fo": f"{place.url}/sets/refs.json",
            "target_protocol": "s3",
            "target_options": place.options,
        }
    check(open_store("reference://", options, read_only=True), chunks)


def test_a_set_of_references_is_one_of_the_links_of_a_url(place: Place, target: str) -> None:
    refs = json.dumps({"version": 1, "refs": references(target)}).encode()
    place.open("sets").sync.set("refs.json", Buffer.from_bytes(refs))
    url = f"reference://::{place.url}/sets/refs.json"
    check(open_store(url, {"s3": place.options, "reference": remote(place)}), None)


# What fsspec reads them by, unless told otherwise.
@pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated")
@pytest.mark.parametrize("where", ["a folder", "a bucket"])
def test_references_in_tables_are_read_as_they_are_needed(
    place: Place, target: str, tmp_path: Any, where: str
) -> None:
    fs = fsspec.filesystem("file")
    (tmp_path / "refs.parq").mkdir()
    # Two references a file, so that a variable's are in several.
    table = LazyReferenceMapper.create(str(tmp_path / "refs.parq"), fs=fs, record_size=2)
    for key, value in references(target).items():
        table[key] = value.encode() if isinstance(value, str) else value
    table.flush()
    options = {**remote(place), "fo": str(tmp_path / "refs.parq"), "lazy": True}
    if where == "a bucket":
        bucket = place.open("refs.parq")
        for file in (tmp_path / "refs.parq").rglob("*.*"):
            if file.is_file():
                key = str(file.relative_to(tmp_path / "refs.parq"))
                bucket.sync.set(key, Buffer.from_bytes(file.read_bytes()))
        options |= {
            "fo": f"{place.url}/refs.parq",
            "target_protocol": "s3",
            "target_options": place.options,
        }
    store = open_store("reference://", options, read_only=True)
    # fsspec lists the references, and not the chunk that lies in the table itself.
    assert {f"air/{chunk}.0.0" for chunk in range(3)} <= set(store.sync.list())
    assert store.sync.exists("time/0")
    check(store, {})


def test_references_are_not_written(place: Place, target: str) -> None:
    store = open_store("reference://", {"fo": references(target), **remote(place)})
    assert not store.supports_writes
    with pytest.raises(UnsupportedOperationError):
        store.sync.set("air/0.0.0", Buffer.from_bytes(b"x"))
    check(store, None)


def test_a_file_that_is_gone_or_refused_is_no_missing_chunk(place: Place, target: str) -> None:
    gone = open_store("reference://", {"fo": references(f"{target}-gone"), **remote(place)})
    wrong = {**remote(place), "remote_options": {**place.options, "secret": "wrong"}}
    refused = open_store("reference://", {"fo": references(target), **wrong})
    for store, error in ((gone, BackendError), (refused, AccessDeniedError)):
        with store, xr.open_zarr(store, consolidated=False, chunks=None) as opened:
            with pytest.raises(error) as caught:
                opened["air"].load()
            assert place.options["secret"] not in str(caught.value)


def test_kerchunk_reads_what_is_in_an_hdf5_file(place: Place, tmp_path: Any) -> None:
    import h5py
    from kerchunk.hdf import SingleHdf5ToZarr

    path = tmp_path / "air.h5"
    with h5py.File(path, "w") as file:
        file.attrs["source"] = "a file"
        time = file.create_dataset("time", data=1 + np.arange(TIMES, dtype="i4"))
        time.make_scale("time")
        air = file.create_dataset("air", data=AIR, chunks=(2, 2, 5), compression="gzip")
        for axis, name in enumerate(("time", "y", "x")):
            air.dims[axis].label = name
        air.dims[0].attach_scale(time)
    place.open("files").sync.set("air.h5", Buffer.from_bytes(path.read_bytes()))
    with path.open("rb") as file:
        refs = SingleHdf5ToZarr(file, f"{place.url}/files/air.h5", inline_threshold=0).translate()
    store = open_store("reference://", {"fo": refs, **remote(place)}, read_only=True)
    with store, xr.open_zarr(store, consolidated=False, chunks={}) as opened:
        np.testing.assert_array_equal(opened["air"].values, AIR)
        assert opened["time"].values.tolist() == list(range(1, TIMES + 1))
        assert opened.attrs == {"source": "a file"}
