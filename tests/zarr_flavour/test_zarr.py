"""`ZarrStore` with zarr and xarray, on every backend."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
import zarr.abc.store
import zarr.core.codec_pipeline
from zarr.core.buffer import cpu, default_buffer_prototype
from zarr.registry import register_buffer

import fsspec_store
from fsspec_store import RangeByteRequest
from fsspec_store.zarr import ZarrBuffer, ZarrStore, open_store

MakeStore = Callable[..., ZarrStore]


BUCKETS = {
    "moto": ("s3", "make_bucket"),
    "seaweedfs": ("s3", "make_bucket"),
    "minio": ("s3", "make_bucket"),
    "fake_gcs": ("gs", "make_bucket"),
    "azurite": ("abfs", "make_container"),
}


@pytest.fixture(params=["memory", "local", *BUCKETS])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeStore]:
    options: dict[str, Any] = {}
    if request.param == "memory":
        root = f"memory://{tmp_path.name}"
    elif request.param == "local":
        root = str(tmp_path)
    else:
        protocol, make_bucket = BUCKETS[request.param]
        endpoint = request.getfixturevalue(f"{request.param}_endpoint")
        root = f"{protocol}://{getattr(endpoint, make_bucket)()}/root"
        options = endpoint.storage_options()
    made = []

    def make(below: str = "data.zarr", **kwargs: Any) -> ZarrStore:
        made.append(ZarrStore.from_url(f"{root}/{below}", options, **kwargs))
        return made[-1]

    yield make
    for store in made:
        store.close()


def field(*shape: int) -> np.ndarray[Any, Any]:
    return np.arange(np.prod(shape), dtype="f4").reshape(shape)


@pytest.mark.parametrize("shards", [None, (40, 40)])
def test_an_array_round_trips(make_store: MakeStore, shards: Any) -> None:
    data = field(100, 70)
    array = zarr.create_array(
        store=make_store(), shape=data.shape, chunks=(20, 20), shards=shards, dtype=data.dtype
    )
    array[:] = data
    reader = zarr.open_array(store=make_store(read_only=True), mode="r")
    np.testing.assert_array_equal(reader[:], data)
    np.testing.assert_array_equal(reader[13:57, 5:9], data[13:57, 5:9])
    array[10:30, 10:30] = -1
    data[10:30, 10:30] = -1
    np.testing.assert_array_equal(reader[:], data)


def test_groups_and_attributes(make_store: MakeStore) -> None:
    root = zarr.open_group(store=make_store(), mode="w", attributes={"title": "field"})
    root.create_array("a", shape=(4,), dtype="i2")
    below = root.create_group("below")
    below.create_array("b", shape=(4,), dtype="i2")[:] = 5
    again = zarr.open_group(store=make_store(), mode="r")
    assert dict(again.attrs) == {"title": "field"}
    assert sorted(name for name, _ in again.members(max_depth=None)) == ["a", "below", "below/b"]
    assert again["below/b"][:].tolist() == [5] * 4
    del root["below"]
    assert "below" not in again
    assert "a" in again


def test_zarr_format_2(make_store: MakeStore) -> None:
    data = field(6, 6)
    zarr.create_array(store=make_store(), shape=(6, 6), chunks=(4, 4), dtype="f4", zarr_format=2)[
        :
    ] = data
    np.testing.assert_array_equal(zarr.open(store=make_store(), mode="r")[:], data)


def test_overwriting_clears_the_place_and_nothing_beside_it(make_store: MakeStore) -> None:
    beside = zarr.create_array(store=make_store("data.zarr-2"), shape=(4,), dtype="i2")
    zarr.create_array(store=make_store(), shape=(100,), chunks=(10,), dtype="i2")[:] = 1
    new = zarr.create_array(store=make_store(), shape=(3,), dtype="i8", overwrite=True)
    assert new[:].tolist() == [0, 0, 0]
    assert beside[:].tolist() == [0] * 4
    with pytest.raises(Exception, match=r"(?i)exist|contains"):
        zarr.create_array(store=make_store(), shape=(3,), dtype="i8")


def test_opening_nothing_is_zarrs_own_error(make_store: MakeStore) -> None:
    with pytest.raises(FileNotFoundError):
        zarr.open(store=make_store(), mode="r")


def dataset() -> xr.Dataset:
    time = np.arange(6)
    return xr.Dataset(
        {"air": (("time", "y", "x"), field(6, 8, 10)), "mask": (("y", "x"), np.eye(8, 10) > 0)},
        coords={"time": time, "y": np.linspace(0, 1, 8), "x": np.arange(10) ** 2},
        attrs={"source": "made here"},
    )


# zarr says so of every consolidated v3 hierarchy, on any store.
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
@pytest.mark.parametrize("consolidated", [True, False])
def test_xarray_round_trips(make_store: MakeStore, consolidated: bool) -> None:
    ds = dataset()
    ds.to_zarr(make_store(), mode="w", consolidated=consolidated)
    with xr.open_zarr(make_store(read_only=True), consolidated=consolidated) as again:
        xr.testing.assert_identical(again.load(), ds)
    ds.isel(time=slice(4)).to_zarr(make_store("grown.zarr"), mode="w", consolidated=consolidated)
    ds.isel(time=slice(4, None)).drop_vars(["mask"]).to_zarr(
        make_store("grown.zarr"), append_dim="time", consolidated=consolidated
    )
    with xr.open_zarr(make_store("grown.zarr"), consolidated=consolidated) as again:
        xr.testing.assert_identical(again.load(), ds)


def test_it_is_both_kinds_of_store(make_store: MakeStore) -> None:
    store = make_store()
    assert isinstance(store, zarr.abc.store.Store)
    assert isinstance(store, fsspec_store.FsspecStore)
    assert isinstance(store, fsspec_store.Store)
    assert store.supports_partial_writes is False
    assert store.supports_consolidated_metadata
    assert type(store.with_read_only(True)) is ZarrStore
    assert store != fsspec_store.FsspecStore(store.fs, store.path)
    again = pickle.loads(pickle.dumps(store))
    assert again == store
    assert type(again) is ZarrStore


def test_reads_are_zarrs_and_clamp(make_store: MakeStore) -> None:
    from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest

    store = make_store()

    async def check() -> None:
        await store.set("a", cpu.Buffer.from_bytes(b"0123456789"))
        assert type(await store.get("a")) is ZarrBuffer
        assert type(await store.get("a", default_buffer_prototype())) is cpu.Buffer
        for request, expected in [
            (None, b"0123456789"),
            (RangeByteRequest(2, 4), b"23"),
            (RangeByteRequest(8, 20), b"89"),
            (RangeByteRequest(10, 20), b""),
            (RangeByteRequest(3, 3), b""),
            (OffsetByteRequest(7), b"789"),
            (OffsetByteRequest(70), b""),
            (SuffixByteRequest(2), b"89"),
            (SuffixByteRequest(0), b""),
        ]:
            value = await store.get("a", default_buffer_prototype(), request)  # type: ignore[arg-type]
            assert isinstance(value, cpu.Buffer)
            assert value.to_bytes() == expected
        strict = make_store(out_of_range="raise")
        with pytest.raises(fsspec_store.errors.ByteRangeError):
            await strict.get("a", byte_range=RangeByteRequest(10, 20))  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await store.set("b", b"bytes")  # type: ignore[arg-type]
        await strict.aclose()
        await store.aclose()

    asyncio.run(check())


def test_a_buffer_with_a_repr_is_zarrs_in_all_else() -> None:
    ours, theirs = ZarrBuffer.from_bytes(b"0123"), cpu.Buffer.from_bytes(b"0123")
    assert repr(ours) == "<ZarrBuffer of 4 bytes>"
    assert ours == theirs
    assert theirs == ours
    assert (ours + theirs).to_bytes() == (theirs + ours).to_bytes() == b"01230123"
    for again in (ours, pickle.loads(pickle.dumps(ours)), ZarrBuffer.from_buffer(theirs)):
        assert type(again[1:3]) is ZarrBuffer
        assert again[1:3].to_bytes() == b"12"


class OtherBuffer(cpu.Buffer):
    """As a package for another kind of memory registers one."""


def test_a_class_that_zarrs_configuration_names_is_what_reads_return() -> None:
    register_buffer(OtherBuffer)
    path = f"{OtherBuffer.__module__}.{OtherBuffer.__qualname__}"
    store = open_store("memory://configured-buffer")
    store.sync.set("a", cpu.Buffer.from_bytes(b"x"))
    with zarr.config.set({"buffer": path}):
        assert type(store.sync.get("a")) is OtherBuffer
    store.sync.clear()


# -- The way in ------------------------------------------------------------------------------------


def test_open_store_accepts_every_kind_of_location(tmp_path: Path) -> None:
    upath = pytest.importorskip("upath")
    url = f"file://{tmp_path}/a"
    zarr.create_array(store=open_store(url), shape=(4,), dtype="i2")[:] = 7
    for place in (url, f"{tmp_path}/a", tmp_path / "a", upath.UPath(url), fsspec.get_mapper(url)):
        store = open_store(place, read_only=True, timeout=5)
        assert type(store) is ZarrStore
        assert store.read_only
        assert zarr.open_array(store=store, mode="r")[:].tolist() == [7] * 4


def test_open_store_rejects_options_of_a_store_that_has_its_own(tmp_path: Path) -> None:
    mapper = fsspec.get_mapper(str(tmp_path))
    with pytest.raises(TypeError, match="FSMap, which has its own"):
        open_store(mapper, {"auto_mkdir": True})
    with pytest.raises(fsspec_store.errors.StorageOptionError, match="nonsense"):
        open_store("s3://bucket/x", {"nonsense": 1})
    with pytest.raises(fsspec_store.errors.StoreURLError):
        open_store("nonsense://x")


# -- Without await ---------------------------------------------------------------------------------


@pytest.fixture
def fused() -> Iterator[None]:
    """zarr's pipeline that reads and writes chunks without an event loop where a store can."""
    path = "zarr.core.codec_pipeline.FusedCodecPipeline"
    if not hasattr(zarr.core.codec_pipeline, "FusedCodecPipeline"):
        pytest.skip("cannot: this release of zarr has no fused pipeline")
    with zarr.config.set({"codec_pipeline.path": path}):
        yield


@pytest.mark.usefixtures("fused")
@pytest.mark.parametrize("shards", [None, (40, 40)])
def test_the_fused_pipeline_has_the_same_results(make_store: MakeStore, shards: Any) -> None:
    data = field(100, 70)
    array = zarr.create_array(
        store=make_store(), shape=data.shape, chunks=(20, 20), shards=shards, dtype=data.dtype
    )
    array[:] = data
    array[10:30, 10:30] = -1
    data[10:30, 10:30] = -1
    reader = zarr.open_array(store=make_store(read_only=True), mode="r")
    np.testing.assert_array_equal(reader[:], data)
    np.testing.assert_array_equal(reader[13:57, 5:9], data[13:57, 5:9])


@pytest.mark.parametrize("pipeline", ["BatchedCodecPipeline", "FusedCodecPipeline"])
def test_parts_of_a_shard_are_merged_as_zarr_is_configured(
    make_store: MakeStore, pipeline: str
) -> None:
    gap = "array.sharding_coalesce_max_gap_bytes"
    if zarr.config.get(gap, None) is None or not hasattr(zarr.core.codec_pipeline, pipeline):
        pytest.skip("cannot: this release of zarr merges no ranges, or has no such pipeline")
    data = field(40, 40)
    array = zarr.create_array(
        store=make_store(), shape=data.shape, chunks=(5, 5), shards=(40, 40), dtype=data.dtype
    )
    array[:] = data
    requests = {}
    with zarr.config.set({"codec_pipeline.path": f"zarr.core.codec_pipeline.{pipeline}"}):
        for bytes_between in (-1, -1000, 2**20):
            with zarr.config.set({gap: bytes_between}):
                store = make_store(read_only=True)
                reader = zarr.open_array(store=store, mode="r")
                np.testing.assert_array_equal(reader[:, 3:22], data[:, 3:22])
                requests[bytes_between] = store.stats.requests
    if requests[2**20]:
        # A request for each of the 40 parts, or one for the span of all; some stores look for the
        # bucket as well.
        assert min(requests[-1], requests[-1000]) > requests[2**20] + 30


async def test_blocking_methods_of_zarr(make_store: MakeStore) -> None:
    store, prototype = make_store(), default_buffer_prototype()
    store.set_sync("a", cpu.Buffer.from_bytes(b"0123456789"))
    assert store.get_sync("a", prototype=prototype).to_bytes() == b"0123456789"
    part = store.get_sync("a", prototype=prototype, byte_range=RangeByteRequest(2, 4))
    assert part.to_bytes() == b"23"
    ranges = [RangeByteRequest(1, 3), None, RangeByteRequest(8, 9)]
    for gap in (-1, 0, 100):
        found = store.get_ranges_sync("a", ranges, prototype=prototype, max_gap_bytes=gap)
        assert {place: value.to_bytes() for place, value in found} == {
            0: b"12",
            1: b"0123456789",
            2: b"8",
        }
    store.delete_sync("a")
    assert store.get_sync("a", prototype=prototype) is None
    with pytest.raises(ExceptionGroup) as caught:
        store.get_ranges_sync("a", ranges, prototype=prototype)
    assert caught.group_contains(FileNotFoundError)
    local = str(store).startswith(("memory:", "file:", "/"))
    assert store._supports_sync_io == local
