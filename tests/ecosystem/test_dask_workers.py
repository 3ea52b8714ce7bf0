"""The life of a store on workers: event loops of tasks, restarts, graphs of many chunks."""

from __future__ import annotations

import asyncio
import os
import pickle
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from dask.delayed import delayed
from distributed import Client

from fsspec_store import Buffer

from .places import Place

# zarr says so of every consolidated v3 hierarchy, on any store.
pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")

DATA = np.arange(600, dtype="i4").reshape(20, 30)


def test_tasks_of_several_event_loops_share_a_store(place: Place, cluster: Client) -> None:
    store = place.open()
    zarr.create_array(store=store, name="a", data=DATA, chunks=(5, 10))
    worker = min(cluster.scheduler_info()["workers"])

    async def on_the_workers_loop(number: int) -> bytes:
        await store.set(f"by/{number}", Buffer.from_bytes(b"awaited"))
        return bytes((await store.get(f"by/{number}")).to_bytes())

    def by_a_loop_of_its_own(number: int) -> bytes:
        return asyncio.run(on_the_workers_loop(number))

    def blocking(number: int) -> int:
        store.sync.set(f"by/{number}", Buffer.from_bytes(b"blocking"))
        return int(zarr.open_array(store=store, path="a", mode="r")[number % 20, 3])

    def submit(function: Any, numbers: range) -> list[Any]:
        return [cluster.submit(function, at, workers=[worker], pure=False) for at in numbers]

    awaited = submit(on_the_workers_loop, range(4))
    own = submit(by_a_loop_of_its_own, range(4, 8))
    waited = submit(blocking, range(8, 12))
    assert cluster.gather(awaited) == cluster.gather(own) == [b"awaited"] * 4
    assert cluster.gather(waited) == DATA[8:12, 3].tolist()
    assert sorted(place.open().sync.list_dir("by")) == sorted(map(str, range(12)))


def test_a_task_whose_worker_dies_is_done_again_and_workers_are_replaced(
    place: Place, cluster: Client
) -> None:
    store = place.open()
    zarr.create_array(store=store, name="a", shape=(20, 30), chunks=(5, 30), dtype="i4")

    def write(row: int) -> int:
        array = zarr.open_array(store=store, path="a", mode="r+")
        array[row : row + 5] = DATA[row : row + 5]
        if row == 10 and not store.sync.exists("died"):
            store.sync.set("died", Buffer.from_bytes(b"once"))
            os._exit(1)
        return row

    rows = [cluster.submit(write, row, pure=False) for row in range(0, 20, 5)]
    assert cluster.gather(rows) == [0, 5, 10, 15]
    assert place.open().sync.exists("died")
    cluster.wait_for_workers(2, timeout=60)
    with cluster.as_current():
        np.testing.assert_array_equal(da.from_zarr(store, component="a").compute(), DATA)


def test_a_store_is_small_and_is_once_in_a_graph(place: Place, cluster: Client) -> None:
    store = place.open()
    assert len(pickle.dumps(store)) < 2000
    array = zarr.create_array(
        store=store, name="a", shape=(100, 10), chunks=(1, 10), dtype="i2", fill_value=3
    )
    # A store that has been at work takes nothing of that along.
    array[:2] = 3
    assert len(pickle.dumps(store)) < 2000
    graph = da.from_zarr(store, component="a").__dask_graph__()
    assert len(graph) > 100
    assert len(pickle.dumps(dict(graph))) < 3000 + 400 * len(graph)
    with cluster.as_current():
        assert int(da.from_zarr(store, component="a").sum().compute()) == 3 * 1000


def test_locks_and_delayed_stores(place: Place, cluster: Client) -> None:
    first, second = (
        zarr.create_array(
            store=place.open(), name=name, shape=DATA.shape, chunks=(5, 10), dtype="i4"
        )
        for name in ("first", "second")
    )
    source = da.from_array(DATA, chunks=(5, 10))
    with cluster.as_current():
        written = da.store([source, source * 2], [first, second], lock=False, compute=False)
        assert not zarr.open_array(store=place.open(), path="first")[:].any()
        dask.compute(written)
        later = da.to_zarr(source + 1, place.open(), component="third", compute=False)
        total = delayed(lambda _: int(zarr.open_array(store=place.open(), path="third")[:].sum()))
        assert total(later).compute(scheduler="threads") == (DATA + 1).sum()
    for name, factor in (("first", 1), ("second", 2)):
        found = zarr.open_array(store=place.open(), path=name, mode="r")
        np.testing.assert_array_equal(found[:], DATA * factor)


def test_chunks_are_rechunked_from_store_to_store(place: Place, cluster: Client) -> None:
    ds = xr.Dataset({"air": (("y", "x"), DATA)}, coords={"y": np.arange(20)})
    ds.to_zarr(place.open("rows.zarr"), mode="w", encoding={"air": {"chunks": (1, 30)}})
    with cluster.as_current():
        with xr.open_zarr(place.open("rows.zarr", read_only=True), chunks={}) as opened:
            columns = opened.chunk({"y": 20, "x": 3}).drop_encoding()
            columns.to_zarr(place.open("columns.zarr"), mode="w")
        with xr.open_zarr(place.open("columns.zarr", read_only=True), chunks={}) as opened:
            assert opened["air"].chunks == ((20,), (3,) * 10)
            xr.testing.assert_identical(opened.compute(), ds)
