"""Objects that a store can be made from: any filesystem, mappers, UPaths."""

from __future__ import annotations

import asyncio
import threading
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import pytest
from conformance.support import buf, collect, listed, put, read
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from servers import S3Endpoint
from upath import UPath

from fsspec_store import Buffer, FsspecStore, RangeByteRequest, SuffixByteRequest
from fsspec_store.errors import UnsupportedOperationError


async def test_made_and_opened_in_one_step(tmp_path: Path) -> None:
    store = await FsspecStore.open(fsspec.filesystem("file"), str(tmp_path), read_only=True)
    assert store._is_open
    assert store.read_only
    with pytest.raises(ValueError, match="already open"):
        await store._open()


async def test_from_upath(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    store = FsspecStore.from_upath(UPath(tmp_path), read_only=True)
    assert await read(store, "a") == b"1"
    assert store.read_only
    memory = FsspecStore.from_upath(UPath("memory://upath/x"))
    await put(memory, "b")
    assert UPath("memory://upath/x/b").read_bytes() == b"b"
    await memory.clear()


async def test_from_upath_and_mapper_on_s3(moto_endpoint: S3Endpoint) -> None:
    url = f"s3://{moto_endpoint.make_bucket()}/x"
    options = moto_endpoint.storage_options()
    one = FsspecStore.from_upath(UPath(url, **options))
    two = FsspecStore.from_mapper(fsspec.get_mapper(url, **options))
    three = FsspecStore.from_url(url, options)
    assert one == two == three
    await put(one, "a")
    assert await read(two, "a") == b"a"
    for store in (one, two, three):
        await store.aclose()


async def test_from_mapper() -> None:
    mapper = fsspec.get_mapper("memory://mapped")
    mapper["a/b"] = b"1"
    store = FsspecStore.from_mapper(mapper, out_of_range="empty")
    assert await read(store, "a/b") == b"1"
    await store.clear()
    assert len(mapper) == 0


@pytest.mark.parametrize("make", [FsspecStore.from_upath, FsspecStore.from_mapper, FsspecStore])
def test_other_types_are_refused(make: Any) -> None:
    for value in ("s3://bucket", None, 7, {}):
        with pytest.raises(TypeError, match=type(value).__name__):
            make(value)


async def test_wrappers_are_looked_through(tmp_path: Path) -> None:
    local = fsspec.filesystem("file")
    stores = [
        FsspecStore(local, str(tmp_path / "x")),
        FsspecStore(AsyncFileSystemWrapper(local, asynchronous=True), str(tmp_path / "x")),
        FsspecStore(DirFileSystem(str(tmp_path), local), "x"),
        FsspecStore(DirFileSystem("x", DirFileSystem(str(tmp_path), local))),
    ]
    await put(stores[0], "a")
    for store in stores:
        assert store.supports_atomic_create
        assert await read(store, "a") == b"a"
        assert store.fs.cat_file(f"{store.path}/a") == b"a"


async def test_the_path_may_be_a_url_of_the_same_protocol() -> None:
    fs = MemoryFileSystem()
    assert FsspecStore(fs, "memory://same/x") == FsspecStore(fs, "/same/x/")
    with pytest.raises(ValueError, match="gs://"):
        FsspecStore(fs, "gs://bucket/x")


async def test_a_private_memory_filesystem_is_separate() -> None:
    one, two = (MemoryFileSystem(global_store=False, skip_instance_cache=True) for _ in "12")
    if one.store is two.store:
        pytest.skip("this fsspec has one memory for all")
    await put(FsspecStore(one, "x"), "a")
    assert await read(FsspecStore(two, "x"), "a") is None
    assert FsspecStore(one, "x") != FsspecStore(two, "x")
    assert FsspecStore(one, "x") == FsspecStore(one, "x")


async def test_a_zip_archive_is_read_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zarr.json", b"{}")
        archive.writestr("c/0/0", b"0123456789")
        archive.writestr("c/0/1", b"")
    store = FsspecStore.from_url(f"zip::file://{path}")
    assert await listed(store.list()) == ["c/0/0", "c/0/1", "zarr.json"]
    assert await listed(store.list_dir("c")) == ["0"]
    assert await read(store, "c/0/0", RangeByteRequest(2, 4)) == b"23"
    assert await read(store, "c/0/0", SuffixByteRequest(3)) == b"789"
    assert await read(store, "c/0/1") == b""
    assert await read(store, "c/0") is None
    assert await store.getsize_prefix("c") == 10
    assert not store.supports_writes
    with pytest.raises(UnsupportedOperationError, match="writes"):
        await put(store, "new")
    with pytest.raises(UnsupportedOperationError, match="deletes"):
        await store.delete("zarr.json")


async def test_a_chained_url(moto_endpoint: S3Endpoint, tmp_path: Path) -> None:
    bucket = moto_endpoint.make_bucket()
    options = moto_endpoint.storage_options()
    async with FsspecStore.from_url(f"s3://{bucket}", options) as plain:
        await put(plain, "x/a", data=b"0123456789")
    chained = FsspecStore.from_url(
        f"simplecache::s3://{bucket}/x",
        {"s3": options, "simplecache": {"cache_storage": str(tmp_path)}},
        read_only=True,
    )
    assert await read(chained, "a", RangeByteRequest(2, 4)) == b"23"
    assert await read(chained, "missing") is None


class GatedFileSystem(MemoryFileSystem):
    """A blocking filesystem that returns when the test sets an event."""

    gate = threading.Event()

    def cat_file(self, path: str, start: Any = None, end: Any = None, **kwargs: Any) -> Any:
        assert self.gate.wait(30)
        return super().cat_file(path, start, end)


async def test_a_blocking_filesystem_never_blocks_the_loop() -> None:
    store = FsspecStore(GatedFileSystem(), "gated")
    await put(store, "a")
    # More waiting reads than the loop's default executor has threads.
    reads = [asyncio.create_task(read(store, "a")) for _ in range(10)]
    for _ in range(100):
        await asyncio.sleep(0)
    assert not any(task.done() for task in reads)
    GatedFileSystem.gate.set()
    assert await asyncio.gather(*reads) == [b"a"] * 10


class AsyncMemoryFileSystem(AsyncFileSystem):
    """An unknown asynchronous filesystem that records the loop of each call."""

    protocol = "asyncmemory"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = MemoryFileSystem()
        self.loops: set[Any] = set()

    def __getattribute__(self, name: str) -> Any:
        if name not in ("_cat_file", "_pipe_file", "_info", "_rm_file", "_ls"):
            return super().__getattribute__(name)
        method = getattr(self.inner, name[1:])

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.loops.add(asyncio.get_running_loop())
            return method(*args, **kwargs)

        return call


async def test_an_unknown_async_filesystem_runs_on_its_own_loop() -> None:
    fs = AsyncMemoryFileSystem()
    store = FsspecStore(fs, "/unknown-async")
    await put(store, "a/b", data=b"0123")
    assert await read(store, "a/b", RangeByteRequest(1, 3)) == b"12"
    assert await listed(store.list()) == ["a/b"]
    await store.clear()
    assert fs.loops == {fs.loop}
    fs.loops.clear()
    here = AsyncMemoryFileSystem(asynchronous=True)
    await put(FsspecStore(here, "/unknown-async"), "c")
    assert here.loops == {asyncio.get_running_loop()}


async def test_the_users_filesystem_is_not_changed(moto_endpoint: S3Endpoint) -> None:
    import s3fs

    bucket = moto_endpoint.make_bucket()
    options = {**moto_endpoint.storage_options(), "config_kwargs": {"retries": {"max_attempts": 1}}}
    for fs in (
        s3fs.S3FileSystem(**options),
        s3fs.S3FileSystem(**options, asynchronous=True),
    ):
        before = repr(fs.storage_options)
        store = FsspecStore(fs, bucket)
        assert store.fs is fs
        await put(store, "a")
        assert await listed(store.list()) == ["a"]
        await store.aclose()
        assert fs._s3 is None
        assert not fs.dircache
        assert repr(fs.storage_options) == before


async def test_large_values_are_uploaded_in_parts_and_created_once(
    moto_endpoint: S3Endpoint,
) -> None:
    bucket = moto_endpoint.make_bucket()
    async with FsspecStore.from_url(f"s3://{bucket}", moto_endpoint.storage_options()) as store:
        first = Buffer.from_bytes(bytes(range(256)) * (65 * 4096))
        await store.set_if_not_exists("large", first)
        await store.set_if_not_exists("large", buf(b"lost"))
        assert await store.get("large") == first
    uploads = moto_endpoint.client().list_multipart_uploads(Bucket=bucket)
    assert "Uploads" not in uploads


async def test_list_sizes(tmp_path: Path) -> None:
    store = FsspecStore.from_url(tmp_path)
    await put(store, "c/0", "c/1", "cc", data=b"0123")
    assert sorted(await collect(store.list_sizes())) == [("c/0", 4), ("c/1", 4), ("cc", 4)]
    assert sorted(await collect(store.list_sizes("c/"))) == [("c/0", 4), ("c/1", 4)]


async def test_max_concurrency_bounds_the_requests_of_one_call() -> None:
    running = most = 0

    class Counting(FsspecStore):
        async def _read(self, key: str, request: Any) -> memoryview | None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            return await super()._read(key, request)

    store = Counting.from_url("memory://bounded", max_concurrency=3)
    await put(store, *"abcdefgh", data=bytes(100))
    far = [RangeByteRequest(start, start + 1) for start in range(0, 100, 10)]
    wanted = [(key, part) for key in "abcdefgh" for part in far]
    # Suffixes are never merged.
    suffixes = [(key, SuffixByteRequest(part.end)) for key, part in wanted]
    values = await store.get_partial_values(None, wanted + suffixes)
    assert [len(value) for value in values] == [1] * 80 + [part.end for _, part in wanted]
    assert most == 3
    await store.clear()
