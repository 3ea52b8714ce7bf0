"""xarray on this store: regions, appending, trees, many stores at once, and modes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import xarray as xr
from servers import AzureEndpoint, GCSEndpoint, HTTPEndpoint

from fsspec_store.zarr import open_store

from .places import Place

# zarr says so of every consolidated v3 hierarchy, on any store.
pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")


def dataset(times: int = 6) -> xr.Dataset:
    shape = (times, 4, 5)
    return xr.Dataset(
        {
            "air": (("time", "y", "x"), np.arange(np.prod(shape), dtype="f4").reshape(shape)),
            "mask": (("y", "x"), np.eye(4, 5) > 0),
        },
        coords={"time": np.arange(times), "y": np.linspace(0, 1, 4), "x": np.arange(5) ** 2},
        attrs={"source": "made here"},
    )


def found(place: Place, below: str = "data.zarr", **more: Any) -> xr.Dataset:
    """What another reader finds."""
    with xr.open_zarr(place.open(below, read_only=True), **more) as opened:
        return opened.load()


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunks", [None, {}, "auto", {"time": 4}], ids=str)
def test_a_dataset_is_opened_with_any_chunks(place: Place, chunks: Any, zarr_format: Any) -> None:
    ds = dataset()
    encoding = {"air": {"chunks": (2, 4, 5)}}
    ds.to_zarr(place.open(), mode="w-", encoding=encoding, zarr_format=zarr_format)
    with xr.open_zarr(place.open(read_only=True), chunks=chunks) as opened:
        assert (opened["air"].chunks is None) == (chunks is None)
        xr.testing.assert_identical(opened.isel(time=[1, 4]).load(), ds.isel(time=[1, 4]))
        assert float(opened["air"].mean()) == float(ds["air"].mean())
    with xr.open_dataset(place.open(), engine="zarr", chunks=chunks) as opened:
        xr.testing.assert_identical(opened.load(), ds)


@pytest.mark.parametrize("by", ["slices", "auto", "auto for one"])
def test_regions_are_written_where_they_belong(place: Place, by: str) -> None:
    ds = dataset()
    region: Any = {
        "slices": {"time": slice(2, 4), "x": slice(0, 5)},
        "auto": "auto",
        "auto for one": {"time": "auto"},
    }[by]
    ds.to_zarr(place.open(), mode="w", encoding={"air": {"chunks": (2, 4, 5)}})
    part = ds[["air"]].isel(time=slice(2, 4)) + 1000
    # What tells where a region lies is brought along, and nothing else that is no part of it.
    found_by = {"slices": [], "auto": ["time", "y", "x"], "auto for one": ["time"]}[by]
    part = part.drop_vars(set(part.coords) - set(found_by))
    part.to_zarr(place.open(), region=region, mode="r+")
    expected = ds.copy(deep=True)
    expected["air"][2:4] += 1000
    xr.testing.assert_identical(found(place), expected)


def test_a_template_is_filled_region_by_region(place: Place) -> None:
    ds = dataset()
    template = ds.chunk({"time": 2})
    template.to_zarr(place.open(), mode="w", compute=False)
    assert (found(place)["air"] != ds["air"]).any()
    xr.testing.assert_identical(found(place)["time"], ds["time"])
    for start in (4, 0, 2):
        part = ds[["air"]].isel(time=slice(start, start + 2)).drop_vars(["time", "y", "x"])
        part.to_zarr(place.open(), region={"time": slice(start, start + 2)})
    ds[["mask"]].drop_vars(["y", "x"]).to_zarr(
        place.open(), region={"y": slice(0, 4), "x": slice(0, 5)}
    )
    xr.testing.assert_identical(found(place), ds)


def test_what_is_delayed_is_written_when_it_is_computed(place: Place) -> None:
    ds = dataset()
    delayed = ds.chunk({"time": 2}).to_zarr(place.open(), mode="w", compute=False)
    delayed.compute(scheduler="threads")
    xr.testing.assert_identical(found(place), ds)


@pytest.mark.parametrize("consolidated", [True, False])
def test_appending_again_and_again(place: Place, consolidated: bool) -> None:
    ds = dataset(times=6)
    first = {"encoding": {"air": {"chunks": (4, 4, 5)}}, "mode": "w"}
    ds.isel(time=slice(1)).to_zarr(place.open(), consolidated=consolidated, **first)
    for start in (1, 3):
        part = ds[["air"]].isel(time=slice(start, start + 2 + start // 3))
        part.to_zarr(place.open(), append_dim="time", consolidated=consolidated)
    xr.testing.assert_identical(found(place, consolidated=consolidated), ds)


def test_groups_lie_beside_each_other(overwritten: Place) -> None:
    place = overwritten
    one, two = dataset(), dataset(times=2)
    one.to_zarr(place.open(), group="first", mode="w")
    two.to_zarr(place.open(), group="below/second", mode="w")
    xr.testing.assert_identical(found(place, group="first"), one)
    xr.testing.assert_identical(found(place, group="below/second"), two)
    # Writing one anew leaves the other alone.
    two.to_zarr(place.open(), group="first", mode="w")
    xr.testing.assert_identical(found(place, group="first"), two)
    xr.testing.assert_identical(found(place, group="below/second"), two)


@pytest.mark.parametrize("consolidated", [True, False])
def test_a_tree_round_trips(place: Place, consolidated: bool) -> None:
    tree = xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs={"title": "two"}), "/fine": dataset(), "/fine/deep": dataset() * 2}
    )
    tree.to_zarr(place.open(), mode="w", consolidated=consolidated)
    for chunks in (None, {}):
        with xr.open_datatree(
            place.open(read_only=True), engine="zarr", chunks=chunks, consolidated=consolidated
        ) as opened:
            xr.testing.assert_identical(opened.load(), tree)
    groups = xr.open_groups(place.open(), engine="zarr", consolidated=consolidated)
    assert sorted(groups) == ["/", "/fine", "/fine/deep"]
    xr.testing.assert_identical(found(place, group="fine", consolidated=consolidated), dataset())


@pytest.mark.parametrize("parallel", [False, True])
def test_many_stores_are_one_dataset(place: Place, parallel: bool) -> None:
    ds = dataset()
    for start in (0, 2, 4):
        ds.isel(time=slice(start, start + 2)).to_zarr(place.open(f"{start}.zarr"), mode="w")
    stores = [place.open(f"{start}.zarr", read_only=True) for start in (0, 2, 4)]
    with xr.open_mfdataset(
        stores, engine="zarr", parallel=parallel, data_vars="minimal", coords="minimal",
        compat="override", combine="nested", concat_dim="time",
    ) as opened:  # fmt: skip
        xr.testing.assert_identical(opened.load(), ds)


def test_modes_are_kept_to(overwritten: Place) -> None:
    place = overwritten
    ds = dataset()
    ds.to_zarr(place.open(), mode="w-")
    with pytest.raises(FileExistsError):
        ds.to_zarr(place.open(), mode="w-")
    (ds[["air"]] + 1).to_zarr(place.open(), mode="r+")
    xr.testing.assert_identical(found(place)["air"].drop_attrs(), (ds + 1)["air"].drop_attrs())
    with pytest.raises(ValueError, match="new"):
        xr.Dataset({"new": ("x", np.arange(5))}).to_zarr(place.open(), mode="r+")
    xr.Dataset({"new": ("x", np.arange(5))}).to_zarr(place.open(), mode="a")
    assert found(place)["new"].values.tolist() == [0, 1, 2, 3, 4]
    dataset(times=2).to_zarr(place.open(), mode="w")
    xr.testing.assert_identical(found(place), dataset(times=2))


@pytest.mark.parametrize(
    "how",
    [{"mode": "w"}, {"mode": "w-"}, {"mode": "a"}, {"mode": "r+"}, {"append_dim": "time"}],
    ids=str,
)
def test_a_read_only_store_refuses(place: Place, how: Any) -> None:
    ds = dataset()
    ds.to_zarr(place.open(), mode="w")
    keys = sorted(place.open().sync.list_sizes())
    with pytest.raises((ValueError, FileExistsError), match=r"(?i)read.only|exist|contains"):
        (ds + 1).to_zarr(place.open(read_only=True), **how)
    xr.testing.assert_identical(found(place), ds)
    assert sorted(place.open().sync.list_sizes()) == keys


def test_nothing_there_is_a_missing_file(place: Place) -> None:
    with pytest.raises(FileNotFoundError):
        xr.open_zarr(place.open("missing.zarr", read_only=True), consolidated=False)


# -- Published on other services -------------------------------------------------------------------


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "unlisted"])
def test_a_published_dataset_is_read_over_http(nginx_endpoint: HTTPEndpoint, listed: bool) -> None:
    ds = dataset()
    ds.to_zarr(open_store(nginx_endpoint.folder / f"published-{listed}.zarr"), mode="w")
    url = nginx_endpoint.url if listed else nginx_endpoint.unlisted_url
    store = open_store(f"{url}/published-{listed}.zarr", read_only=True)
    with store, xr.open_zarr(store, chunks={}) as opened:
        xr.testing.assert_identical(opened.load(), ds)


@pytest.fixture(params=["gs", "abfs"])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "gs":
        google: GCSEndpoint = request.getfixturevalue("fake_gcs_endpoint")
        found = Place(f"gs://{google.make_bucket()}/root", google.storage_options())
    else:
        azure: AzureEndpoint = request.getfixturevalue("azurite_endpoint")
        found = Place(f"abfs://{azure.make_container()}/root", azure.storage_options())
    yield found
    found.close()


def test_trees_and_regions_on_google_and_azure(elsewhere: Place) -> None:
    tree = xr.DataTree.from_dict({"/": dataset(), "/other": dataset() * 2})
    tree.to_zarr(elsewhere.open(), mode="w")
    part = (dataset()[["air"]].isel(time=slice(0, 6)) + 5).drop_vars(["time", "y", "x"])
    part.to_zarr(elsewhere.open(), region={"time": slice(0, 6)})
    expected = tree.copy(deep=True)
    expected["air"][:] += 5
    with xr.open_datatree(elsewhere.open(read_only=True), engine="zarr") as opened:
        xr.testing.assert_identical(opened.load(), expected)
