"""Transfers on a Dask cluster: complete, in order, safe to repeat, and without secrets in texts."""

from __future__ import annotations

import asyncio
import json
import pickle
import random
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import pytest
from servers import S3Endpoint
from servers.dask_cluster import KillingStore, allowed_failures
from servers.fault_proxy import FaultProxy
from servers.roots import new_root

from fsspec_store import Buffer, FsspecStore
from fsspec_store._runtime.cluster import connect
from fsspec_store.errors import (
    BackendError,
    KeyNotFoundError,
    RefusedError,
    StoreError,
    StoreURLError,
    VersionMismatchError,
)
from fsspec_store.transfer import Result, apply, blocking, copy, plan, sync, verify
from fsspec_store.transfer.cluster_listing import split_listing
from fsspec_store.transfer.cluster_tasks import run_operations

MIB = 2**20


def values(count: int = 450) -> dict[str, bytes]:
    seeded = random.Random(3)
    found = {f"a/c/{number}": seeded.randbytes(700) for number in range(count)}
    return found | {"zarr.json": b"group", "a/zarr.json": b"array", "a/empty": b""}


def write(root: Path, data: dict[str, bytes]) -> FsspecStore:
    for key, value in data.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)
    return FsspecStore.from_url(str(root))


def read(store: FsspecStore) -> dict[str, bytes]:
    found = {}
    for key in store.sync.list():
        value = store.sync.get(key)
        assert value is not None
        found[key] = value.to_bytes()
    return found


@pytest.fixture
def target(minio_endpoint: S3Endpoint) -> FsspecStore:
    return FsspecStore.from_url(
        f"s3://{new_root(minio_endpoint)}",
        minio_endpoint.storage_options(),
        large_value_bytes=8 * MIB,
        part_bytes=5 * MIB,
    )


class TestSync:
    def test_is_that_of_one_machine(
        self, cluster: Any, target: FsspecStore, tmp_path: Path
    ) -> None:
        data = values() | {"a/large": random.Random(4).randbytes(9 * MIB)}
        source = write(tmp_path / "source", data)
        for key in ("a/c/old", "old/zarr.json"):
            target.sync.set(key, Buffer.from_bytes(b"old"))
        target.sync.set("a/c/7", Buffer.from_bytes(b"other"))
        seen: list[tuple[int, int]] = []

        def note(result: Result) -> None:
            seen.append((result.copied, result.deleted))

        result = blocking.sync(source, target, client=cluster, max_delete=2, on_progress=note)
        assert result.ok, result.failures[:3]
        assert (result.copied, result.deleted, result.equal) == (len(data), 2, 0)
        assert result.copied_bytes == sum(map(len, data.values()))
        # A call at the start and one for each key, and deletes after all copies.
        assert seen == [(count, 0) for count in range(len(data) + 1)] + [
            (len(data), 1),
            (len(data), 2),
        ]
        assert read(target) == data
        again = blocking.sync(source, target, client=cluster.scheduler.address)
        assert (again.copied, again.deleted, again.equal) == (0, 0, len(data))

    async def test_of_an_asynchronous_client(self, cluster: Any, tmp_path: Path) -> None:
        from distributed import Client

        data = values(120)
        source = write(tmp_path / "source", data)
        target = FsspecStore.from_url(str(tmp_path / "target"))
        async with Client(
            cluster.scheduler.address, asynchronous=True, set_as_default=False
        ) as client:
            assert (await copy(source, target, client=client, atomic=True)).copied == len(data)
            await target.set("a/c/3", Buffer.from_bytes(bytes(700)))
            options: dict[str, Any] = {"client": client, "compare": "bytes"}
            found = await verify(source, target, **options)
            assert [(one.key, one.reason) for one in found.differences] == [("a/c/3", "bytes")]
            assert (await sync(source, target, **options)).copied == 1
            assert (await verify(source, target, **options)).equal == len(data)

    def test_refuses_what_one_machine_refuses(self, cluster: Any, tmp_path: Path) -> None:
        source = FsspecStore.from_url(str(tmp_path / "source"))
        target = write(tmp_path / "target", values(20))
        with pytest.raises(RefusedError, match="has no key"):
            blocking.sync(source, target, client=cluster)
        source.sync.set("a/c/0", Buffer.from_bytes(b"0"))
        with pytest.raises(RefusedError, match="keys would be deleted"):
            blocking.sync(source, target, client=cluster)
        assert len(read(target)) == 23

    def test_of_a_store_that_workers_do_not_share(self, cluster: Any, tmp_path: Path) -> None:
        source = write(tmp_path / "source", values(20))
        target = FsspecStore.from_url("memory://of-this-process")
        result = blocking.sync(source, target, client=cluster)
        assert (result.copied, result.failed, result.held_back) == (0, 21, 2)
        assert "is not the same place on the workers" in result.failures[0].error

    def test_of_a_failed_key_goes_on(self, cluster: Any, tmp_path: Path) -> None:
        source = write(tmp_path / "source", values(150))
        target = write(tmp_path / "target", {"a/c/3/below": b"", "a/c/old": b""})
        with pytest.raises(RefusedError):
            blocking.sync(source, target, client=cluster, max_delete=1)
        assert len(read(target)) == 2
        result = blocking.copy(source, target, client=cluster)
        assert [failure.key for failure in result.failures] == ["a/c/3"]
        assert "KeyConflictError" in result.failures[0].error
        assert (result.copied, result.held_back) == (150, 2)
        with pytest.raises(OSError, match="a/c/3"):
            blocking.copy(source, target, client=cluster, fail_fast=True)
        assert read(target)["a/c/3/below"] == b""
        assert blocking.sync(source, target, client=cluster).ok
        assert read(target) == values(150)


class TestKilledWorker:
    def test_is_replaced(self, cluster: Any, target: FsspecStore, tmp_path: Path) -> None:
        data = values()
        write(tmp_path / "source", data)
        source = KillingStore.from_url(str(tmp_path / "source"))
        result = blocking.sync(source, target, client=cluster)
        assert source.killed.exists()
        assert result.ok, result.failures[:3]
        assert result.copied == len(data)
        assert read(target) == data
        cluster.wait_for_workers(2, timeout=60)

    @pytest.mark.slow
    def test_that_kills_every_time_fails_its_keys(
        self, cluster: Any, target: FsspecStore, tmp_path: Path
    ) -> None:
        data = values()
        write(tmp_path / "source", data)
        source = KillingStore.from_url(str(tmp_path / "source"))
        source.killed.mkdir()
        target.sync.set("a/c/old", Buffer.from_bytes(b"old"))
        with allowed_failures(cluster, 0):
            result = blocking.sync(source, target, client=cluster, max_delete=1)
        failed = {failure.key: failure.error for failure in result.failures}
        assert "KilledWorker" in failed["a/c/7"]
        # Its batch, and at most those that waited on the same worker.
        assert 1 < result.failed < len(data) - len(METADATA)
        assert (result.held_back, result.deletes_skipped) == (2, 1)
        present = read(target)
        assert all(present[key] == data[key] for key in data.keys() - failed.keys() - METADATA)
        assert not METADATA & present.keys()


METADATA = {"zarr.json", "a/zarr.json"}


class TestPlan:
    async def test_is_applied(self, cluster: Any, tmp_path: Path) -> None:
        data = values(150)
        source = write(tmp_path / "source", data)
        target = write(tmp_path / "target", {"a/c/7": b"other", "a/c/old": b"old"})
        with await plan(source, target, delete=True, client=cluster) as planned:
            assert (planned.copies, planned.deletes, planned.keys) == (len(data), 1, 2)
            await source.set("a/c/9", Buffer.from_bytes(b"changed"))
            result = await apply(planned, source, target, client=cluster)
            assert [failure.key for failure in result.failures] == ["a/c/9"]
            assert "has changed since the plan was made" in result.failures[0].error
            assert (result.copied, result.held_back, result.deletes_skipped) == (150, 2, 1)
            await source.set("a/c/9", Buffer.from_bytes(data["a/c/9"]))
            again = await apply(planned, source, target, client=cluster)
            # Done already: equal, as without a cluster.
            assert again.equal == 150

    async def test_operations_may_run_again(self, tmp_path: Path) -> None:
        data = {"a/c/0": b"0" * 10, "a/c/1": b"1" * 9 * MIB}
        source = write(tmp_path / "source", data)
        target = write(tmp_path / "target", {"a/c/0": b"", "a/c/old": b"old"})
        with await plan(source, target, delete=True) as planned:
            operations = list(planned)
        assert await run_operations(source, target, operations, True, 2, 2**20) == [False] * 3
        versions = {key: await target.get_version(key) for key in data}
        # As after a worker that is lost when it is done.
        assert await run_operations(source, target, operations, True, 2, 2**20) == [True] * 3
        assert versions == {key: await target.get_version(key) for key in data}
        # Without the check of states, only a large value is looked up.
        assert await run_operations(source, target, operations, False, 2, 2**20) == [False] * 3
        assert versions["a/c/1"] == await target.get_version("a/c/1")
        await target.set("a/c/0", Buffer.from_bytes(b"another"))
        await source.delete("a/c/1")
        errors = await run_operations(source, target, operations, False, 2, 2**20)
        assert [type(error) for error in errors] == [bool, KeyNotFoundError, bool]
        await target.set("a/c/0", Buffer.from_bytes(b"another"))
        [error, *_] = await run_operations(source, target, operations, True, 2, 2**20)
        assert isinstance(error, VersionMismatchError)


class TestListing:
    @pytest.mark.slow
    async def test_is_in_order(self, cluster: Any, target: FsspecStore, tmp_path: Path) -> None:
        keys = {"zarr.json", "a/zarr.json", "a-b/0", "a.b", "b/1/é", "b/1 1/x", "ü/ü"}
        keys |= {f"a/c/{number}" for number in range(1100)}
        keys |= {f"b/{x}/{y}" for x in range(15) for y in range(10)}
        await sync(write(tmp_path, dict.fromkeys(keys, b"")), target)
        ran: list[tuple[Any, ...]] = []
        async with connect(cluster, target, target) as workers:
            assert workers is not None
            run = workers.run

            async def noted(*arguments: Any) -> Any:
                ran.append(arguments)
                return await run(*arguments)

            workers.run = noted
            found = split_listing(workers, target, is_source=False, keys_of_task=150)
            assert [entry async for entry in found] == [
                entry async for entry in target.list_entries()
            ]
            assert 5 < len(ran) < 80
            # A listing may be left early.
            found = split_listing(workers, target, is_source=False, keys_of_task=150)
            first = [(await anext(found)).key for _ in range(1150)]
            assert first == sorted(keys)[:1150]
            await found.aclose()
        await target.aclose()


class FailingStore(FsspecStore):
    """Its errors repeat the options of its filesystem, as those of some libraries do."""

    def open_reader(self, key: str, **options: Any) -> Any:
        if key == "a/c/5":
            raise RuntimeError(f"unexpected: {self.fs.storage_options}")
        return super().open_reader(key, **options)


def test_a_failed_comparison_holds_metadata_back(cluster: Any, tmp_path: Path) -> None:
    write(tmp_path / "source", values(20))
    source = FailingStore.from_url(str(tmp_path / "source"))
    old = {"zarr.json": b"old", "a/zarr.json": b"old", "a/c/5": bytes(700), "extra": b""}
    target = write(tmp_path / "target", old)
    result = blocking.sync(source, target, client=cluster)
    assert [(one.key, one.action) for one in result.failures] == [("a/c/5", "compare")]
    assert (result.copied, result.held_back, result.deletes_skipped) == (20, 2, 1)
    with pytest.raises(StoreError, match="unexpected: "):
        blocking.sync(source, target, client=cluster, fail_fast=True)


class TestSecrets:
    def test_are_in_no_text(
        self,
        cluster: Any,
        endpoint: S3Endpoint,
        proxy: FaultProxy,
        target: FsspecStore,
        tmp_path: Path,
    ) -> None:
        secret = endpoint.storage_options()["secret"]
        blocking.sync(write(tmp_path / "data", values(150)), target)
        options = {**endpoint.storage_options(), "endpoint_url": proxy.url}
        source = FailingStore.from_url(target.url, options)
        copied = FsspecStore.from_url(str(tmp_path / "copied"))
        is_running, is_seen = threading.Event(), threading.Event()

        def hold(method: str, path: str, headers: Mapping[str, str]) -> None:
            # No task ends before the scheduler was looked at.
            if "/a/c/" in path:
                is_running.set()
                is_seen.wait(60)

        def look() -> str:
            try:
                assert is_running.wait(60)
                return str(cluster.run_on_scheduler(shown_by_scheduler))
            finally:
                is_seen.set()

        proxy.plan = hold
        with ThreadPoolExecutor() as threads:
            shown = threads.submit(look)
            result = blocking.copy(source, copied, client=cluster)
        texts = [shown.result()]
        assert "unexpected: {" in result.failures[0].error
        assert 0 < result.failed < 150
        texts += [
            json.dumps(result.to_dict()),
            str(cluster.get_scheduler_logs()),
            str(cluster.get_worker_logs()),
            str(cluster.get_worker_logs(nanny=True)),
            str(cluster.get_task_stream()),
            str(cluster.scheduler_info()),
            str(cluster.get_events()),
            str(cluster.run_on_scheduler(shown_by_scheduler)),
        ]
        # The keys of the batches are in the graph.
        assert "run_operations-" in texts[0]
        assert "a/c/12" in texts[0]
        assert "Compute Failed" in "".join(texts)
        assert secret not in "".join(texts)

    def test_leave_the_cluster_at_the_end(
        self, cluster: Any, target: FsspecStore, tmp_path: Path
    ) -> None:
        blocking.sync(write(tmp_path, values(20)), target, client=cluster)
        assert cluster.run_on_scheduler(plugins_of_scheduler) == []
        assert all(names == [] for names in cluster.run(plugins_of_worker).values())


async def test_an_interrupted_transfer_leaves_nothing_on_the_cluster(
    cluster: Any, target: FsspecStore, tmp_path: Path
) -> None:
    source = write(tmp_path, values())
    is_copying = asyncio.Event()

    def note(result: Result) -> None:
        if result.copied:
            is_copying.set()

    work = asyncio.create_task(copy(source, target, client=cluster, on_progress=note))
    await is_copying.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert cluster.run_on_scheduler(plugins_of_scheduler) == []
    assert cluster.run_on_scheduler(lambda dask_scheduler=None: len(dask_scheduler.tasks)) == 0
    assert (await copy(source, target)).ok
    await target.aclose()


def test_a_killed_client_leaves_nothing_on_the_cluster(
    cluster: Any, minio_endpoint: S3Endpoint, target: FsspecStore, tmp_path: Path
) -> None:
    write(tmp_path, values())
    place = [str(tmp_path), target.url, minio_endpoint.storage_options()]
    cluster.run_on_scheduler(watch_clients)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps([*place, cluster.scheduler.address])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"copying\n"
        assert len(cluster.run_on_scheduler(plugins_of_scheduler)) == 1
        running.kill()
    cluster.run_on_scheduler(wait_for_lost_client)
    assert cluster.run_on_scheduler(plugins_of_scheduler) == []


PROGRAM = """
import json, sys
from fsspec_store import FsspecStore
from fsspec_store.transfer import blocking

source, url, options, address = json.loads(sys.argv[1])
blocking.sync(
    FsspecStore.from_url(source),
    FsspecStore.from_url(url, options),
    client=address,
    on_progress=lambda result: result.copied and (print("copying", flush=True) or sys.stdin.read()),
)
"""


def watch_clients(dask_scheduler: Any = None) -> None:
    from distributed import SchedulerPlugin

    class Watching(SchedulerPlugin):
        def __init__(self) -> None:
            self.has_lost_client = asyncio.Event()

        def remove_client(self, scheduler: Any, client: str) -> None:
            # The objects of all clients that end themselves are removed before.
            if plugins_of_scheduler(scheduler):
                self.has_lost_client.set()

    dask_scheduler.add_plugin(Watching(), name="watching")


async def wait_for_lost_client(dask_scheduler: Any = None) -> None:
    await dask_scheduler.plugins["watching"].has_lost_client.wait()
    dask_scheduler.remove_plugin(name="watching")


def shown_by_scheduler(dask_scheduler: Any = None) -> list[Any]:
    """Everything of tasks: their keys, their graph, pickled too, and the dump of the state."""
    tasks = [
        (key, repr(task), repr(task.run_spec), pickle.dumps(task.run_spec), str(task.exception))
        for key, task in dask_scheduler.tasks.items()
    ]
    return [tasks, dask_scheduler._to_dict()]


def plugins_of_scheduler(dask_scheduler: Any = None) -> list[str]:
    return [name for name in dask_scheduler.worker_plugins if name.startswith("fsspec-store")]


def plugins_of_worker(dask_worker: Any = None) -> list[str]:
    return [name for name in dask_worker.plugins if name.startswith("fsspec-store")]


class TestConnecting:
    def test_to_no_scheduler(self, tmp_path: Path) -> None:
        source = write(tmp_path, values(1))
        with (
            dask.config.set({"distributed.comm.timeouts.connect": "200ms"}),
            pytest.raises(BackendError, match="cannot reach the Dask scheduler tcp:"),
        ):
            blocking.sync(source, source, client="tcp://127.0.0.1:9")
        with pytest.raises(StoreURLError, match="invalid address of a Dask scheduler"):
            blocking.sync(source, source, client="nowhere://127.0.0.1:9")
        client: Any = 8786
        with pytest.raises(
            TypeError, match=r"client must be a connected dask\.distributed\.Client"
        ):
            blocking.sync(source, source, client=client)

    async def test_to_a_scheduler_that_ends(self, tmp_path: Path) -> None:
        from distributed import LocalCluster, SchedulerPlugin

        source = write(tmp_path / "source", values())
        target = FsspecStore.from_url(str(tmp_path / "target"))
        is_started = asyncio.Event()

        class Started(SchedulerPlugin):
            def update_graph(self, *args: Any, **options: Any) -> None:
                is_started.set()

        with dask.config.set({"distributed.comm.timeouts.connect": "200ms"}):
            async with LocalCluster(
                n_workers=0, processes=False, dashboard_address=":0", asynchronous=True
            ) as running:
                running.scheduler.add_plugin(Started())
                work = asyncio.create_task(copy(source, target, client=running.scheduler_address))
                await is_started.wait()
                await running.scheduler.close()
                with pytest.raises(BackendError, match="the Dask scheduler is lost"):
                    await work
