"""A cluster of Dask's on this machine, and stores that kill its workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fsspec_store import FsspecStore
from fsspec_store.zarr import ZarrStore


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A client of two workers, each a process of its own, with one thread for tasks."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as running,
        Client(running, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def allowed_failures(client: Any, count: int) -> Iterator[None]:
    """How many workers a task may lose before it fails."""

    def change(dask_scheduler: Any = None) -> int:
        before: int = dask_scheduler.allowed_failures
        dask_scheduler.allowed_failures = count
        return before

    def restore(dask_scheduler: Any = None) -> None:
        dask_scheduler.allowed_failures = before

    before = client.run_on_scheduler(change)
    try:
        yield
    finally:
        client.run_on_scheduler(restore)
        client.wait_for_workers(2, timeout=60)


class _Killing:
    """A store in a folder. A worker that reads the key ``a/c/7`` is killed by SIGKILL."""

    path: str

    @property
    def killed(self) -> Path:
        """A file that exists after the first time; a folder here kills every time."""
        return Path(f"{self.path}.killed")

    def kill(self, key: str) -> None:
        if key != "a/c/7" or multiprocessing.parent_process() is None:
            return
        if not self.killed.is_dir():
            try:
                self.killed.touch(exist_ok=False)
            except FileExistsError:
                return
        os.kill(os.getpid(), signal.SIGKILL)


class KillingStore(_Killing, FsspecStore):
    def open_reader(self, key: str, **options: Any) -> Any:
        self.kill(key)
        return super().open_reader(key, **options)


class KillingZarrStore(_Killing, ZarrStore):
    async def get(self, key: str, *args: Any, **options: Any) -> Any:
        self.kill(key)
        return await super().get(key, *args, **options)
