"""A deep check whose chunks are decoded on a Dask cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from servers import S3Endpoint
from servers.dask_cluster import KillingZarrStore, allowed_failures
from servers.roots import new_root

from dataset.places import found, put, value, write_array
from fsspec_store import FsspecStore
from fsspec_store.dataset import Progress, Report, blocking, check
from fsspec_store.errors import BackendError
from fsspec_store.zarr import ZarrStore, open_store


def write(store: ZarrStore) -> None:
    """A group with the arrays ``a`` of 200 chunks and ``b`` of shards."""
    zarr.create_group(store)
    array: Any = zarr.create_array(store, name="a", shape=(400,), chunks=(2,), dtype="i4")
    array[...] = np.arange(1, 401)
    write_array(store, "b", shards=(8, 4), compressors="auto")


def damage(store: ZarrStore, key: str) -> None:
    put(store, key, b"\xff" + value(store, key)[1:])


def in_order(report: Report) -> dict[str, Any]:
    """The report, with the examples of a finding sorted: chunks are decoded in any order."""
    plain = report.to_dict()
    for finding in plain["findings"]:
        finding["examples"].sort(key=lambda example: str(example["key"]))
    return plain


async def test_is_that_of_one_machine(cluster: Any, minio_endpoint: S3Endpoint) -> None:
    url, options = f"s3://{new_root(minio_endpoint)}", minio_endpoint.storage_options()
    written = open_store(url, options)
    write(written)
    assert blocking.check(written, deep=True, client=cluster).findings == ()
    for key in ("a/c/3", "a/c/150", "b/c/0/1"):
        damage(written, key)
    written.sync.delete("a/c/77")
    calls: list[Progress] = []
    async with FsspecStore.from_url(url, options) as store:
        report = await check(
            store, deep=True, client=cluster.scheduler.address, on_progress=calls.append
        )
        assert in_order(report) == in_order(await check(store, deep=True))
    assert found(report) == {
        ("undecodable_chunk", "a"): 2,
        ("missing_chunk", "a"): 1,
        ("undecodable_chunk", "b"): 1,
    }
    assert [list(array.broken) for array in report.arrays] == [[3, 150], [1]]
    assert calls[-1].stage == "decode"
    assert calls[-1].decoded == calls[-1].chunks == 199 + 2
    written.close()


def killing(root: Path) -> KillingZarrStore:
    write(open_store(str(root)))
    return KillingZarrStore.from_url(str(root))


def test_a_killed_worker_is_replaced(cluster: Any, tmp_path: Path) -> None:
    store = killing(tmp_path / "data")
    damage(store, "a/c/120")
    report = blocking.check(store, deep=True, client=cluster)
    assert store.killed.exists()
    assert found(report) == {("undecodable_chunk", "a"): 1}
    assert list(report.arrays[0].broken) == [120]
    cluster.wait_for_workers(2, timeout=60)


@pytest.mark.slow
def test_chunks_that_kill_every_worker_are_broken(cluster: Any, tmp_path: Path) -> None:
    store = killing(tmp_path / "data")
    store.killed.mkdir()
    with allowed_failures(cluster, 0):
        report = blocking.check(store, deep=True, client=cluster)
    [finding] = [each for each in report.findings if each.path == "a"]
    assert finding.kind == "undecodable_chunk"
    assert "KilledWorker" in finding.examples[0].reason
    broken = set(report.arrays[0].broken)
    # Its batch, and at most those that waited on the same worker.
    assert 7 in broken
    assert 64 <= len(broken) < 200


def test_an_error_of_the_store_is_raised(cluster: Any, tmp_path: Path) -> None:
    write(open_store(str(tmp_path)))
    with pytest.raises(BackendError, match="'a/c/5' cannot be read"):
        blocking.check(FailingStore.from_url(str(tmp_path)), deep=True, client=cluster)


class FailingStore(ZarrStore):
    async def get(self, key: str, *args: Any, **options: Any) -> Any:
        if key == "a/c/5":
            raise BackendError(f"{key!r} cannot be read", key=key)
        return await super().get(key, *args, **options)


def test_needs_chunks_that_are_decoded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="client needs deep=True"):
        blocking.check(FsspecStore.from_url(str(tmp_path)), client="tcp://127.0.0.1:9")
