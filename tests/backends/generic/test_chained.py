"""Chained URLs: values are read from the copies of a caching layer, everything else is not."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from conformance import Limits, StoreConformance
from conformance.support import buf, collect, content, listed, put, read
from forking import in_forked_child
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from servers import S3Endpoint
from servers.roots import new_root

from fsspec_store import FsspecStore, RangeByteRequest, SuffixByteRequest
from fsspec_store.errors import AccessDeniedError, BackendError

LAYERS = [
    "simplecache",
    "filecache",
    # fsspec leaves the file of each copy open.
    pytest.param(
        "blockcache",
        marks=[
            pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
            pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
        ],
    ),
]


class TestFilecacheOnS3(StoreConformance):
    """A layer that checks whether its copy is current."""

    limits = Limits(
        version_in_key="s3fs takes it for a version of another key",
        key_beside_children="s3fs takes a path for a file or a folder",
        atomic_create="a filesystem below a caching layer is used without conditions",
        compare_and_swap="a filesystem below a caching layer is used without conditions",
        examples=10,
        # fsspec's filesystems have no pages.
        many=60,
    )
    service = "filecache on S3"

    @pytest.fixture
    def endpoint(self, request: pytest.FixtureRequest) -> S3Endpoint:
        # MinIO takes segments of at most 255 bytes, and a third of moto's time.
        is_long = request.function.__name__ == "test_a_segment_of_300_bytes"
        name = "moto_endpoint" if is_long else "minio_endpoint"
        endpoint: S3Endpoint = request.getfixturevalue(name)
        return endpoint

    @pytest.fixture
    def make_store(self, endpoint: S3Endpoint, tmp_path: Path) -> Iterator[Any]:
        root = new_root(endpoint)
        options = {
            "s3": endpoint.storage_options(),
            "filecache": {"cache_storage": str(tmp_path / "copies"), "check_files": True},
        }
        made = []

        def make(below: str = "", **more: Any) -> FsspecStore:
            more.setdefault("allow_racy_create", True)
            url = f"filecache::s3://{root}/{below}".rstrip("/")
            made.append(FsspecStore.from_url(url, options, **more))
            return made[-1]

        yield make
        for store in made:
            store.close()


@pytest.fixture
def plain(moto_endpoint: S3Endpoint) -> Iterator[FsspecStore]:
    """A store without the layer, on the same root."""
    url = f"s3://{new_root(moto_endpoint)}"
    store = FsspecStore.from_url(url, moto_endpoint.storage_options())
    yield store
    store.close()


def over(plain: FsspecStore, layer: str, endpoint: S3Endpoint, **options: Any) -> FsspecStore:
    chain = {"s3": endpoint.storage_options(), layer: options}
    return FsspecStore.from_url(f"{layer}::{plain.url}", chain, allow_racy_create=True)


@pytest.mark.parametrize("layer", LAYERS)
async def test_values_are_read_from_copies_and_everything_else_from_the_service(
    layer: str, plain: FsspecStore, moto_endpoint: S3Endpoint, tmp_path: Path
) -> None:
    store = over(plain, layer, moto_endpoint, cache_storage=str(tmp_path))
    assert await read(store, "a") is None
    assert not await store.exists("a")
    assert await listed(store.list()) == []
    await put(plain, "a", "b/c", data=b"0123456789")
    assert await read(store, "a", RangeByteRequest(2, 4)) == b"23"
    assert await read(store, "a", SuffixByteRequest(3)) == b"789"
    assert await read(store, "a") == b"0123456789"
    assert await listed(store.list()) == ["a", "b/c"]
    assert await listed(store.list_dir("")) == ["a", "b"]
    # After another writer's change the copy is still used, as the user configured.
    await put(plain, "a", data=b"longer than before")
    assert await read(store, "a") == b"0123456789"
    assert await read(store, "a", SuffixByteRequest(3)) == b"789"
    assert await store.getsize("a") == len(b"longer than before")
    await plain.delete("b/c")
    assert not await store.exists("b/c")
    assert await listed(store.list()) == ["a"]


@pytest.mark.parametrize("layer", LAYERS)
async def test_a_stores_own_changes_are_seen_at_once(
    layer: str, plain: FsspecStore, moto_endpoint: S3Endpoint, tmp_path: Path
) -> None:
    store = over(plain, layer, moto_endpoint, cache_storage=str(tmp_path))
    for value in (b"first", b"second", b"", content(300_000)):
        await put(store, "a/b", data=value)
        assert await read(store, "a/b") == value
        assert await read(plain, "a/b") == value
        assert await read(store, "a/b", SuffixByteRequest(2)) == value[-2:]
    await store.delete("a/b")
    assert await read(store, "a/b") is None
    assert await read(plain, "a/b") is None
    await put(store, "c/d")
    await store.delete_dir("c")
    assert await read(store, "c/d") is None


@pytest.mark.parametrize("layer", LAYERS)
async def test_many_readers_of_keys_that_are_not_copied_yet(
    layer: str, plain: FsspecStore, moto_endpoint: S3Endpoint, tmp_path: Path
) -> None:
    store = over(plain, layer, moto_endpoint, cache_storage=str(tmp_path))
    value = content(200_000)
    await put(plain, *"abc", data=value)
    parts = await asyncio.gather(
        *(
            read(store, key, RangeByteRequest(start, start + 1000))
            for start in range(0, 200_000, 20_000)
            for key in "abc"
        )
    )
    assert parts == [
        value[start : start + 1000] for start in range(0, 200_000, 20_000) for _ in "abc"
    ]


class HalvingFileSystem(MemoryFileSystem):
    """Copies half of a value, and reports success."""

    halves = True

    def get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        data = self.cat_file(rpath)
        Path(lpath).write_bytes(data[: len(data) // 2] if self.halves else data)


@pytest.mark.parametrize("layer", ["simplecache", "filecache"])
async def test_a_copy_of_half_a_value_is_not_kept(layer: str, tmp_path: Path) -> None:
    fs = HalvingFileSystem(skip_instance_cache=True)
    cached = fsspec.filesystem(layer, fs=fs, cache_storage=str(tmp_path))
    store = FsspecStore(cached, f"/{uuid.uuid4()}")
    await put(store, "a", data=content(1000))
    for request in (None, RangeByteRequest(0, 10)):
        with pytest.raises(BackendError, match="no copy was made"):
            await read(store, "a", request)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    fs.halves = False
    assert await read(store, "a") == content(1000)


async def test_the_users_layer_and_its_filesystem_are_not_changed(
    plain: FsspecStore, moto_endpoint: S3Endpoint, tmp_path: Path
) -> None:
    await put(plain, "a")
    s3 = fsspec.filesystem("s3", **moto_endpoint.storage_options(), skip_instance_cache=True)
    layer = fsspec.filesystem("simplecache", fs=s3, cache_storage=str(tmp_path))
    store = FsspecStore(layer, plain.path)
    assert store.url == plain.url
    assert await read(store, "a") == b"a"
    assert await listed(store.list()) == ["a"]
    assert not s3.dircache
    # The layer's folder is used, which may contain copies of fsspec.
    assert len(list(tmp_path.iterdir())) == 1
    with layer.open(f"{plain.path}/a") as file:
        assert file.read() == b"a"


async def test_compressed_values_are_read_and_not_written(
    plain: FsspecStore, moto_endpoint: S3Endpoint, tmp_path: Path
) -> None:
    value = content(10_000)
    await put(plain, "a", data=gzip.compress(value))
    store = over(
        plain, "simplecache", moto_endpoint, cache_storage=str(tmp_path), compression="gzip"
    )
    assert await store.getsize("a") == len(value)
    assert await read(store, "a") == value
    assert await read(store, "a", SuffixByteRequest(5)) == value[-5:]
    assert await read(store, "missing") is None
    assert await store.getsize_prefix("") == len(value)
    assert not store.supports_writes
    assert not store.supports_deletes


async def test_access_denied_is_not_a_missing_key(minio_endpoint: S3Endpoint) -> None:
    bucket = minio_endpoint.make_bucket()
    options = {**minio_endpoint.storage_options(), "secret": "wrong"}
    store = FsspecStore.from_url(f"simplecache::s3://{bucket}/x", {"s3": options})
    for use in (
        lambda: read(store, "a"),
        lambda: read(store, "a", SuffixByteRequest(1)),
        lambda: store.exists("a"),
        lambda: listed(store.list()),
        lambda: put(store, "a"),
    ):
        with pytest.raises(AccessDeniedError):
            await use()


def test_a_forked_child_uses_the_layer(
    plain: FsspecStore, moto_endpoint: S3Endpoint, tmp_path: Path
) -> None:
    store = over(plain, "simplecache", moto_endpoint, cache_storage=str(tmp_path))
    asyncio.run(put(store, "a", "b"))
    assert asyncio.run(read(store, "a")) == b"a"
    assert in_forked_child(lambda: asyncio.run(read(store, "b")) == b"b")


async def test_a_folder_removed_while_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, options = f"simplecache::file://{tmp_path}/root", {"cache_storage": str(tmp_path / "c")}
    makedirs, calls = os.makedirs, 0

    def remove_above_once(path: str, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise FileNotFoundError(errno.ENOENT, "removed while it was made", path)
        makedirs(path, **options)

    store = FsspecStore.from_url(chain, options)
    monkeypatch.setattr(os, "makedirs", remove_above_once)
    await put(store, "a/b/c", data=b"v")
    assert calls > 1
    assert await read(store, "a/b/c") == b"v"


@pytest.mark.parametrize("layer", ["simplecache", "filecache"])
async def test_a_local_file_below_a_layer_is_replaced_atomically(
    layer: str, tmp_path: Path
) -> None:
    options = {layer: {"cache_storage": str(tmp_path / "copies")}}
    store = FsspecStore.from_url(f"{layer}::file://{tmp_path}/root", options)
    await put(store, "a/b", data=b"old")
    assert await read(store, "a/b") == b"old"
    file = tmp_path / "root" / "a" / "b"
    file.chmod(0o640)
    with file.open("rb") as opened:
        await store.set("a/b", buf(b"newer"))
        assert opened.read() == b"old"
    assert file.stat().st_mode & 0o777 == 0o640
    assert await read(store, "a/b") == file.read_bytes() == b"newer"
    # As a killed writer leaves it.
    temporary = ".fsspec-store-0123456789abcdef.tmp"
    file.with_name(temporary).write_bytes(b"half")
    assert await listed(store.list()) == ["a/b"]
    with pytest.raises(ValueError, match="cannot store the key"):
        await store.set(f"a/{temporary}", buf(b"x"))
    found = await collect(store.list_leftovers())
    assert [leftover.key for leftover in found] == [f"a/{temporary}"]
    assert await store.remove_leftovers(older_than=0) == found
    assert [path.name for path in file.parent.iterdir()] == ["b"]


async def test_folders_of_a_chain(tmp_path: Path) -> None:
    store = FsspecStore.from_url(f"dir://below::file://{tmp_path}")
    await put(store, "a/b", data=b"0123456789")
    assert (tmp_path / "below" / "a" / "b").read_bytes() == b"0123456789"
    assert await read(FsspecStore.from_url(f"dir::file://{tmp_path}/below"), "a/b")
    assert await read(store, "a/b", SuffixByteRequest(2)) == b"89"
    # What a folder leads to is the service's own backend's.
    assert store.supports_atomic_create
    memory = FsspecStore(DirFileSystem("/dirfs", fsspec.filesystem("memory")))
    await put(memory, "c")
    assert await read(memory, "c") == b"c"
    await memory.clear()


def test_the_url_of_a_layer_on_a_layer_opens_the_store_below(tmp_path: Path) -> None:
    for layers in ("simplecache::", "filecache::simplecache::", "simplecache::simplecache::"):
        store = FsspecStore.from_url(f"{layers}{tmp_path.as_uri()}")
        assert store.url == tmp_path.as_uri()
        store.close()
