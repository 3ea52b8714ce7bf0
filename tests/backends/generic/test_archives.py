"""Archives: members are read like files of a folder, and nothing is written."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from conformance.ranges import sliced
from conformance.support import buf, content, listed, put, read
from servers import S3Endpoint

from fsspec_store import (
    FsspecStore,
    OffsetByteRequest,
    RangeByteRequest,
    StoreError,
    SuffixByteRequest,
)
from fsspec_store.errors import ByteRangeError, UnsupportedOperationError

VALUES = {
    "zarr.json": b"{}",
    "c/0/0": content(100_000),
    "c/0/1": b"",
    "c/10": content(1000),
    "c.x/0": b"0123456789",
    "with space/%20/ü[1]*?": b"unusual",
}
FOLDERS = ["c", "c/0", "empty", "empty/below"]


def zipped(path: Path, compression: int = zipfile.ZIP_STORED) -> str:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for folder in FOLDERS:
            archive.writestr(folder + "/", b"")
        for key, value in VALUES.items():
            archive.writestr(key, value)
    return f"zip://::file://{path}"


def deflated(path: Path) -> str:
    return zipped(path, zipfile.ZIP_DEFLATED)


def tarred(path: Path, mode: Any = "w") -> str:
    with tarfile.open(path, mode) as archive:
        for folder in FOLDERS:
            entry = tarfile.TarInfo(folder)
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
        for key, value in VALUES.items():
            entry = tarfile.TarInfo(key)
            entry.size = len(value)
            archive.addfile(entry, io.BytesIO(value))
    return f"tar://::file://{path}"


def gzipped(path: Path) -> str:
    return tarred(path.with_suffix(".tar.gz"), "w:gz")


@pytest.fixture(params=[zipped, deflated, tarred, gzipped])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    make: Callable[[Path], str] = request.param
    return make(tmp_path / "archive")


async def test_values_sizes_and_listings(url: str) -> None:
    store = FsspecStore.from_url(url)
    assert await listed(store.list()) == sorted(VALUES)
    for key, value in VALUES.items():
        assert await read(store, key) == value
        assert await store.exists(key)
        assert await store.getsize(key) == len(value)
    assert await store.getsize_prefix("") == sum(map(len, VALUES.values()))
    assert await store.getsize_prefix("c") == 101_000
    # A folder without a file is no prefix.
    assert await listed(store.list_dir("")) == ["c", "c.x", "with space", "zarr.json"]
    assert await listed(store.list_dir("c")) == ["0", "10"]
    assert await listed(store.list_dir("c/0/0")) == []
    assert await listed(store.list_dir("missing")) == []
    assert await listed(store.list_prefix("c")) == ["c.x/0", "c/0/0", "c/0/1", "c/10"]
    assert await listed(store.list_prefix("c/1")) == ["c/10"]
    assert await store.is_empty("empty")
    assert not await store.is_empty("c")


async def test_a_folder_or_a_missing_path_is_not_a_value(url: str) -> None:
    store = FsspecStore.from_url(url)
    for key in ("c", "c/0", "empty", "missing", "c/missing", "zarr.json/below"):
        assert await read(store, key) is None
        assert await read(store, key, RangeByteRequest(0, 1)) is None
        assert await read(store, key, SuffixByteRequest(1)) is None
        assert not await store.exists(key)


@pytest.mark.parametrize(
    "request_",
    [
        RangeByteRequest(0, 10),
        RangeByteRequest(70_000, 70_100),
        RangeByteRequest(99_990, 200_000),
        OffsetByteRequest(99_000),
        SuffixByteRequest(16),
        SuffixByteRequest(300_000),
    ],
    ids=str,
)
async def test_parts_of_a_value(url: str, request_: Any) -> None:
    store = FsspecStore.from_url(url)
    assert await read(store, "c/0/0", request_) == sliced(VALUES["c/0/0"], request_)


async def test_out_of_range(url: str) -> None:
    store = FsspecStore.from_url(url)
    for key, request in (
        ("c/10", RangeByteRequest(1000, 1001)),
        ("c/10", OffsetByteRequest(5000)),
        ("c/0/1", RangeByteRequest(0, 1)),
    ):
        with pytest.raises(ByteRangeError) as caught:
            await read(store, key, request)
        assert caught.value.size == len(VALUES[key])
    assert await read(store, "c/0/1", SuffixByteRequest(1)) == b""


async def test_many_readers_at_once_get_their_own_bytes(url: str) -> None:
    # An archive has one position in its file, and readers in many threads.
    store = FsspecStore.from_url(url)
    value = VALUES["c/0/0"]
    starts = range(0, 90_000, 900)
    parts = await asyncio.gather(
        *(read(store, "c/0/0", RangeByteRequest(start, start + 500)) for start in starts)
    )
    assert parts == [value[start : start + 500] for start in starts]


async def test_an_archive_is_not_written(url: str) -> None:
    store = FsspecStore.from_url(url)
    assert store.supports_listing
    assert not store.supports_writes
    assert not store.supports_deletes
    assert not store.supports_partial_writes
    assert not store.supports_atomic_create
    assert not store.supports_compare_and_swap
    for change in (
        lambda: put(store, "new"),
        lambda: store.set_if_not_exists("new", buf(b"x")),
        lambda: store.set_partial_values([("c/10", 0, b"x")]),
        lambda: store.delete("zarr.json"),
        lambda: store.delete_dir("c"),
    ):
        with pytest.raises(UnsupportedOperationError):
            await change()
    assert await listed(store.list()) == sorted(VALUES)


def test_a_forked_child_reads_beside_its_parent(url: str) -> None:
    store = FsspecStore.from_url(url)
    value = VALUES["c/0/0"]

    async def read_parts() -> bool:
        for start in range(0, 90_000, 300):
            if (
                await read(store, "c/0/0", RangeByteRequest(start, start + 9))
                != (value[start : start + 9])
            ):
                return False
        return True

    assert asyncio.run(read_parts())
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if asyncio.run(read_parts()) else 1
        finally:
            os._exit(code)
    assert asyncio.run(read_parts())
    assert os.waitpid(child, 0)[1] == 0


async def test_a_damaged_member_is_an_error_and_not_missing(tmp_path: Path) -> None:
    path = tmp_path / "damaged.zip"
    zipped(path)
    data = bytearray(path.read_bytes())
    place = data.index(VALUES["c/0/0"][:100])
    data[place + 50_000] ^= 1
    path.write_bytes(data)
    store = FsspecStore.from_url(f"zip://::file://{path}")
    with pytest.raises(StoreError, match="c/0/0"):
        await read(store, "c/0/0")
    assert await read(store, "c/10") == VALUES["c/10"]


async def test_a_zip_that_is_being_written_is_write_only(tmp_path: Path) -> None:
    path = tmp_path / "new.zip"
    fs = fsspec.filesystem("zip", fo=str(path), mode="w")
    store = FsspecStore(fs)
    assert store.supports_writes
    assert not store.supports_deletes
    await store._set_many((f"c/{number}", buf(content(number))) for number in range(100))
    assert len(await listed(store.list())) == 100
    with pytest.raises(StoreError):
        await read(store, "c/50")
    fs.close()
    again = FsspecStore.from_url(f"zip://::file://{path}")
    assert await read(again, "c/50") == content(50)
    assert await again.getsize_prefix("") == sum(range(100))


async def test_an_archive_on_s3(moto_endpoint: S3Endpoint, tmp_path: Path) -> None:
    zipped(tmp_path / "archive")
    bucket = moto_endpoint.make_bucket()
    moto_endpoint.client().put_object(
        Bucket=bucket, Key="a.zip", Body=(tmp_path / "archive").read_bytes()
    )
    store = FsspecStore.from_url(
        f"zip://::s3://{bucket}/a.zip", {"s3": moto_endpoint.storage_options()}
    )
    assert await listed(store.list()) == sorted(VALUES)
    assert await read(store, "c/0/0") == VALUES["c/0/0"]
    assert await read(store, "c/0/0", SuffixByteRequest(16)) == VALUES["c/0/0"][-16:]
