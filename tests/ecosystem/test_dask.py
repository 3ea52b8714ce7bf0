"""Dask on this store: arrays and datasets, by threads and by a cluster of processes."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from dask.base import tokenize
from distributed import Client

from fsspec_store import Buffer
from fsspec_store.zarr import ZarrStore

from .places import Place

# zarr says so of every consolidated v3 hierarchy, on any store.
pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")

DATA = np.arange(600, dtype="i4").reshape(20, 30)


@pytest.fixture(params=["threads", "processes"])
def scheduler(request: pytest.FixtureRequest) -> Iterator[None]:
    """Makes Dask compute by threads of this process, or on the cluster."""
    if request.param == "threads":
        with dask.config.set(scheduler="threads", num_workers=4):
            yield
        return
    with request.getfixturevalue("cluster").as_current():
        yield


def dataset() -> xr.Dataset:
    shape = (8, 4, 5)
    return xr.Dataset(
        {"air": (("time", "y", "x"), np.arange(np.prod(shape), dtype="f4").reshape(shape))},
        coords={"time": np.arange(8), "y": np.linspace(0, 1, 4)},
        attrs={"source": "made here"},
    )


@pytest.mark.usefixtures("scheduler")
def test_an_array_is_written_and_read(place: Place) -> None:
    da.to_zarr(da.from_array(DATA, chunks=(5, 10)) + 1, place.open(), component="a")
    assert zarr.open_array(store=place.open(), path="a").chunks == (5, 10)
    for store in (place.open(), place.open(read_only=True)):
        read = da.from_zarr(store, component="a", mode="r")
        np.testing.assert_array_equal((read - 1).compute(), DATA)
    read = da.from_zarr(zarr.open_array(store=place.open(), path="a", mode="r"), chunks=(20, 7))
    assert int(read.sum().compute()) == DATA.sum() + DATA.size


@pytest.mark.usefixtures("scheduler")
def test_an_array_is_written_into_one_that_is_there(place: Place) -> None:
    there = zarr.create_array(
        store=place.open(), shape=DATA.shape, chunks=(5, 5), shards=(10, 10), dtype=DATA.dtype
    )
    half = da.from_array(DATA, chunks=(10, 10))[:10]
    half.to_zarr(there, region=(slice(0, 10), slice(None)))
    expected = np.where(np.arange(20)[:, None] < 10, DATA, 0)
    np.testing.assert_array_equal(zarr.open_array(store=place.open())[:], expected)


@pytest.mark.usefixtures("scheduler")
def test_a_dataset_is_written_and_read_in_chunks(place: Place) -> None:
    ds = dataset()
    ds.chunk({"time": 2}).to_zarr(place.open(), mode="w")
    with xr.open_zarr(place.open(read_only=True), chunks={}) as opened:
        assert opened["air"].chunks == ((2,) * 4, (4,), (5,))
        xr.testing.assert_identical(opened.compute(), ds)
        xr.testing.assert_equal(opened["air"].mean("time").compute(), ds["air"].mean("time"))


@pytest.mark.usefixtures("scheduler")
def test_delayed_writes_and_appends(place: Place) -> None:
    ds = dataset()
    delayed = ds.chunk({"time": 2}).to_zarr(place.open(), mode="w", compute=False)
    assert not list(place.open().sync.list_prefix("air/c/"))
    dask.compute(delayed)
    more = ds.assign_coords(time=ds["time"] + 8)
    more.chunk({"time": 4}).to_zarr(place.open(), append_dim="time")
    with xr.open_zarr(place.open()) as opened:
        xr.testing.assert_identical(opened.compute(), xr.concat([ds, more], "time"))


def test_workers_write_regions_of_one_dataset(place: Place, cluster: Client) -> None:
    ds = dataset()
    ds.chunk({"time": 2}).to_zarr(place.open(), mode="w", compute=False)
    store = place.open()

    def write(start: int) -> int:
        part = ds[["air"]].isel(time=slice(start, start + 2)).drop_vars(["time", "y"])
        part.to_zarr(store, region={"time": slice(start, start + 2)})
        return os.getpid()

    workers = sorted(cluster.scheduler_info()["workers"])
    tasks = [
        cluster.submit(write, start, workers=workers[start // 2 % 2], pure=False)
        for start in (0, 2, 4, 6)
    ]
    assert len({*cluster.gather(tasks), os.getpid()}) == 3
    with xr.open_zarr(place.open(read_only=True)) as opened:
        xr.testing.assert_identical(opened.compute(), ds)


def test_a_store_goes_to_the_workers_and_back(place: Place, cluster: Client) -> None:
    store = place.open()

    def write(store: ZarrStore, key: str) -> ZarrStore:
        store.sync.set(key, Buffer.from_bytes(key.encode()))
        return store

    def read(store: ZarrStore, key: str) -> tuple[bytes, list[str], int]:
        value = store.sync.get(key)
        return bytes(value.to_bytes()), sorted(store.sync.list()), store.stats.requests

    keys = [f"by-worker/{number}" for number in range(8)]
    returned = cluster.gather([cluster.submit(write, store, key, pure=False) for key in keys])
    assert returned == [store] * 8
    # Nobody asked by this store here: what was counted there is not.
    assert store.stats.requests == 0
    assert sorted(store.sync.list()) == keys
    found = cluster.gather([cluster.submit(read, store, key, pure=False) for key in keys])
    assert [value for value, _, _ in found] == [key.encode() for key in keys]
    assert all(listed == keys for _, listed, _ in found)
    assert all(requests >= 2 for _, _, requests in found)


def test_a_refusal_reaches_the_client_as_it_is(place: Place, cluster: Client) -> None:
    store = place.open(read_only=True)

    def write() -> None:
        store.sync.set("a", Buffer.from_bytes(b"x"))

    with pytest.raises(ValueError, match="read-only") as caught:
        cluster.submit(write, pure=False).result()
    assert type(caught.value).__name__ == "ReadOnlyError"
    assert place.options["secret"] not in str(caught.value)


def test_equal_stores_are_one_in_a_graph(place: Place) -> None:
    used = place.open()
    zarr.create_array(store=used, name="a", data=DATA, chunks=(5, 10))
    with dask.config.set({"tokenize.ensure-deterministic": True}):
        assert tokenize(used) == tokenize(place.open())
        assert tokenize(used) == tokenize(pickle.loads(pickle.dumps(used)))
        assert tokenize(used) != tokenize(place.open("other.zarr"))
        assert tokenize(used) != tokenize(place.open(read_only=True))
        names = {da.from_zarr(store, component="a").name for store in (used, place.open())}
    assert len(names) == 1


def test_no_secret_is_in_what_a_graph_shows(place: Place) -> None:
    zarr.create_array(store=place.open(), name="a", data=DATA, chunks=(5, 10))
    read = da.from_zarr(place.open(), component="a") + 1
    task = dask.delayed(lambda store: store.sync.exists("a/zarr.json"))(place.open())
    assert task.compute()
    graph = {**read.__dask_graph__(), **task.__dask_graph__()}
    shown = [repr(read), str(read.name), read._repr_html_(), read.dask._repr_html_()]
    # A worker logs the arguments of a task that fails.
    shown += [f"{key!r} {task!r} {getattr(task, 'args', '')!r}" for key, task in graph.items()]
    assert repr(place.open()) in " ".join(shown)
    assert not [text for text in shown if place.options["secret"] in text]


PROGRAM = """
import sys, json
import dask.array as da
import numpy as np
import zarr
from distributed import Client, LocalCluster
from fsspec_store.zarr import open_store


def main():
    url, options = json.loads(sys.argv[1])
    data = np.arange(600).reshape(20, 30)
    with LocalCluster(
        n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster, Client(cluster):
        # Neither here nor there is any store closed.
        da.to_zarr(da.from_array(data, chunks=(5, 10)), open_store(url, options), component="a")
        assert (da.from_zarr(open_store(url, options), component="a").compute() == data).all()
    read = da.from_zarr(open_store(url, options), component="a")
    assert (read.compute(scheduler="threads") == data).all()
    print("done")


if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_a_program_ends_without_a_word(place: Place, tmp_path: Any) -> None:
    program = tmp_path / f"program_{uuid.uuid4().hex}.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [
            sys.executable,
            "-Walways::ResourceWarning",
            str(program),
            json.dumps([f"{place.url}/data.zarr", place.options]),
        ],
        # A worker that is stopped at its heartbeat logs that, whatever store it had.
        env={**os.environ, "DASK_LOGGING__DISTRIBUTED": "critical"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stderr, done.stdout, done.returncode) == ("", "done\n", 0)
