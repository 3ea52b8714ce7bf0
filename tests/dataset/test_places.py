"""Checks where filesystems list keys in their own order: memory, a folder, a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import zarr
from servers import S3Endpoint
from zarr.codecs import GzipCodec

from dataset.places import write_array
from fsspec_store import Buffer, FsspecStore
from fsspec_store.dataset import check
from fsspec_store.zarr import open_store


@pytest.fixture(params=["memory", "folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FsspecStore:
    """A group with three arrays."""
    place: tuple[str, dict[str, Any]] = (f"memory://{uuid4().hex}/data", {})
    if request.param == "folder":
        place = str(tmp_path / "data"), {}
    elif request.param == "bucket":
        endpoint: S3Endpoint = request.getfixturevalue("moto_endpoint")
        place = f"s3://{endpoint.make_bucket()}/data", endpoint.storage_options()
    with open_store(*place) as for_zarr:
        zarr.create_group(for_zarr)
        write_array(for_zarr, "plain")
        write_array(for_zarr, "model/gzipped", compressors=GzipCodec())
        write_array(for_zarr, "model/run/sharded", shards=(8, 4))
    return FsspecStore.from_url(*place)


async def test_a_complete_data_set(store: FsspecStore) -> None:
    report = await check(store, deep=True)
    assert report.findings == ()
    assert [(array.path, len(array.present)) for array in report.arrays] == [
        ("model/gzipped", 6),
        ("model/run/sharded", 2),
        ("plain", 6),
    ]
    # Chunks at the edge are as large as the others.
    assert report.arrays[2].bytes == 6 * 4 * 2 * 4
    # Four chunks in the first shard and two in the second, and an index each.
    assert report.arrays[1].bytes == 6 * 4 * 2 * 4 + 2 * (4 * 16 + 4)


@pytest.mark.parametrize("key", ["plain/c/1/2", "model/gzipped/c/0/0", "model/run/sharded/c/0/1"])
async def test_a_missing_chunk(store: FsspecStore, key: str) -> None:
    await store.delete(key)
    [finding] = (await check(store)).findings
    assert (finding.kind, [example.key for example in finding.examples]) == ("missing_chunk", [key])


async def test_a_damaged_index(store: FsspecStore) -> None:
    key = "model/run/sharded/c/0/1"
    value = await store.get(key)
    assert value is not None
    await store.set(key, Buffer.from_bytes(value.to_bytes()[:-1] + b"x"))
    [finding] = (await check(store, shards=True)).findings
    assert (finding.kind, finding.path) == ("shard_index", "model/run/sharded")


async def test_a_key_that_belongs_to_nothing(store: FsspecStore) -> None:
    await store.set("README.md", Buffer.from_bytes(b"about"))
    report = await check(store)
    assert report.ok
    assert [finding.kind for finding in report.warnings] == ["unknown_key"]
