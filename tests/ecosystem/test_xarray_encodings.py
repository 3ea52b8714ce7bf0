"""xarray on this store: how data are stored, trees that grow, and what is read lazily."""

from __future__ import annotations

import asyncio
from typing import Any

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr

from .places import Place

FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])

pytestmark = [
    # zarr says so of every consolidated v3 hierarchy, on any store.
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
    # And of every array of such data of format 3.
    pytest.mark.filterwarnings("ignore:The data type .* does not have a Zarr V3 specification"),
]


def dataset(times: int = 6) -> xr.Dataset:
    shape = (times, 4, 5)
    return xr.Dataset(
        {"air": (("time", "y", "x"), np.arange(np.prod(shape), dtype="f4").reshape(shape))},
        coords={
            "time": np.datetime64("2020-01-01", "ns") + np.arange(times) * np.timedelta64(1, "D"),
            "y": np.linspace(0, 1, 4),
            "station": ("x", np.array(["a", "größer", "日本", "", "e"], dtype=object)),
        },
        attrs={"source": "made here"},
    )


def found(place: Place, below: str = "data.zarr", **more: Any) -> xr.Dataset:
    with xr.open_zarr(place.open(below, read_only=True), **more) as opened:
        return opened.load()


@pytest.mark.parametrize("consolidated", [True, False])
def test_shards_by_encoding(place: Place, consolidated: bool) -> None:
    ds = dataset()
    encoding = {"air": {"chunks": (1, 2, 5), "shards": (4, 4, 5)}}
    ds.isel(time=slice(4)).to_zarr(
        place.open(), mode="w", encoding=encoding, consolidated=consolidated, zarr_format=3
    )
    ds.isel(time=slice(4, None)).to_zarr(place.open(), append_dim="time", consolidated=consolidated)
    array = zarr.open_array(store=place.open(), path="air", mode="r")
    assert (array.shards, array.chunks) == ((4, 4, 5), (1, 2, 5))
    assert sorted(place.open().sync.list_prefix("air/c/")) == ["air/c/0/0/0", "air/c/1/0/0"]
    xr.testing.assert_identical(found(place, consolidated=consolidated), ds)
    lazy = xr.open_zarr(place.open(read_only=True), chunks={}, consolidated=consolidated)
    with lazy as opened:
        assert float(opened["air"][5, 2, 3]) == float(ds["air"][5, 2, 3])


@FORMATS
def test_packed_and_compressed_values(place: Place, zarr_format: Any) -> None:
    ds = dataset()
    ds["air"][2, 1] = np.nan
    compressor = numcodecs.GZip(5) if zarr_format == 2 else zarr.codecs.GzipCodec(level=5)
    packed = {"dtype": "i2", "scale_factor": 0.5, "add_offset": 10.0, "_FillValue": -999}
    encoding: Any = {
        "air": {**packed, "compressors": [compressor]},
        "time": {"units": "hours since 2019-12-31"},
    }
    ds.to_zarr(place.open(), mode="w", encoding=encoding, zarr_format=zarr_format)
    stored = zarr.open_array(store=place.open(), path="air", mode="r")
    assert stored.dtype == "i2"
    assert (stored[2, 1] == -999).all()
    xr.testing.assert_allclose(found(place), ds)
    assert found(place)["time"].encoding["units"] == "hours since 2019-12-31"
    raw = found(place, decode_cf=False)
    assert raw["time"].values.tolist() == [24 * (1 + day) for day in range(6)]


@FORMATS
def test_empty_chunks_are_written_where_requested(place: Place, zarr_format: Any) -> None:
    ds = xr.Dataset({"air": (("y", "x"), np.zeros((4, 6)))})
    fill = "_FillValue" if zarr_format == 2 else "fill_value"
    how: Any = {"encoding": {"air": {"chunks": (2, 3), fill: 0.0}}, "zarr_format": zarr_format}
    written = {}
    for empty in (False, True):
        store = place.open(f"{empty}.zarr")
        ds.to_zarr(store, mode="w", write_empty_chunks=empty, **how)
        written[empty] = len([key for key in store.sync.list_prefix("air/") if key[-1].isdigit()])
        assert not found(place, f"{empty}.zarr", mask_and_scale=False)["air"].any()
    assert written == {False: 0, True: 4}


def test_chunks_that_two_tasks_would_write_are_refused(place: Place) -> None:
    ds = dataset()
    ds.to_zarr(place.open(), mode="w", encoding={"air": {"chunks": (4, 4, 5)}})
    part = ds[["air"]].isel(time=slice(0, 6)).drop_vars(["time", "y", "station"])
    across = part.chunk({"time": 3}) + 1
    with pytest.raises(ValueError, match="safe_chunks"):
        across.to_zarr(place.open(), region={"time": slice(0, 6)})
    xr.testing.assert_identical(found(place), ds)
    across.to_zarr(place.open(), region={"time": slice(0, 6)}, align_chunks=True)
    xr.testing.assert_equal(found(place)["air"], ds["air"] + 1)


@FORMATS
def test_a_tree_grows(place: Place, zarr_format: Any) -> None:
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"title": "two"}), "/fine": dataset()})
    tree.to_zarr(place.open(), mode="w", zarr_format=zarr_format)
    # A node beside the others, and more of one that is there.
    more = dataset(2).assign_coords(
        time=np.datetime64("2020-01-07", "ns") + np.arange(2) * np.timedelta64(1, "D")
    )
    dataset().mean("time").drop_vars("station").to_zarr(
        place.open(), group="coarse/mean", mode="a", zarr_format=zarr_format
    )
    more.to_zarr(place.open(), group="fine", append_dim="time", zarr_format=zarr_format)
    part = dataset()[["air"]].isel(time=slice(2, 4), x=slice(0, 5)) * 0 - 1
    part.drop_vars(["y", "station"]).to_zarr(
        place.open(), group="fine", region={"time": "auto"}, zarr_format=zarr_format
    )
    expected = xr.concat([dataset(), more], "time", data_vars="minimal", coords="minimal")
    expected["air"][2:4] = -1
    with xr.open_datatree(place.open(read_only=True), engine="zarr", consolidated=False) as opened:
        assert sorted(node.path for node in opened.subtree) == [
            "/", "/coarse", "/coarse/mean", "/fine",
        ]  # fmt: skip
        xr.testing.assert_identical(opened["fine"].to_dataset().load(), expected)
        mean = dataset()["air"].values.mean(0)
        np.testing.assert_allclose(opened["coarse/mean/air"].values, mean)
    with xr.open_datatree(
        place.open(read_only=True), engine="zarr", group="fine", consolidated=False
    ) as opened:
        assert float(opened["air"][2, 0, 0]) == -1


def test_opened_data_are_read_on_request(place: Place) -> None:
    ds = dataset()
    ds.to_zarr(place.open(), mode="w", encoding={"air": {"chunks": (1, 4, 5)}})
    store = place.open(read_only=True)
    with xr.open_dataset(store, engine="zarr", chunks=None) as opened:
        before = store.stats.requests
        one = opened["air"].isel(time=3)
        assert store.stats.requests == before
        np.testing.assert_array_equal(one.values, ds["air"].values[3])
        assert store.stats.requests == before + 1
    with xr.open_dataset(store, engine="zarr", drop_variables=["air"]) as opened:
        assert "air" not in opened


async def test_variables_are_loaded_together_without_blocking(place: Place) -> None:
    if not hasattr(xr.Dataset, "load_async"):
        pytest.skip("cannot: this release of xarray loads by blocking alone")
    ds = dataset()
    ds.to_zarr(place.open(), mode="w", encoding={"air": {"chunks": (1, 4, 5)}})
    with xr.open_zarr(place.open(read_only=True), chunks=None) as opened:
        parts = [opened.isel(time=slice(start, start + 2)) for start in range(0, 6, 2)]
        loaded = await asyncio.gather(*(part.load_async() for part in parts))
    for start, part in zip(range(0, 6, 2), loaded, strict=True):
        xr.testing.assert_identical(part, ds.isel(time=slice(start, start + 2)))


def test_what_is_lazy_is_read_by_a_store_that_was_closed(place: Place) -> None:
    ds = dataset()
    ds.to_zarr(place.open(), mode="w")
    with place.open(read_only=True) as store:
        opened = xr.open_zarr(store)
        first = opened["air"][0].load()
    np.testing.assert_array_equal(first, ds["air"][0])
    with opened:
        xr.testing.assert_identical(opened.load(), ds)
