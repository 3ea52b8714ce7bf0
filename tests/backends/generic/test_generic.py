"""The contract on an unknown blocking filesystem, whose methods are called in threads."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from conformance import Limits, StoreConformance
from conformance.support import listed, put, read
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from fsspec_store import FsspecStore
from fsspec_store.errors import StoreURLError


class UnknownFileSystem(MemoryFileSystem):
    """An unknown class with the behaviour of fsspec's in-memory filesystem."""


class URLFileSystem(AbstractFileSystem):
    """Takes and lists URLs as paths, and includes the end of a range: as swiftspec."""

    protocol = "urls"
    lists_scheme = True

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def _inner(self, path: str) -> str:
        if not path.startswith("urls://"):
            raise ValueError(f"unknown URL scheme in {path!r}")
        return path.removeprefix("urls:/").rstrip("/")

    def _outer(self, info: dict[str, Any]) -> dict[str, Any]:
        path = info["name"].lstrip("/")
        return {**info, "name": f"urls://{path}" if self.lists_scheme else path}

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return self._outer(MemoryFileSystem().info(self._inner(path)))

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        infos = [self._outer(info) for info in MemoryFileSystem().ls(self._inner(path))]
        return infos if detail else [info["name"] for info in infos]

    def cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> bytes:
        last = None if end is None else end + 1
        data: bytes = MemoryFileSystem().cat_file(self._inner(path), start, last)
        return data

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        MemoryFileSystem().pipe_file(self._inner(path), value)

    def rm_file(self, path: str) -> None:
        MemoryFileSystem().rm_file(self._inner(path))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        MemoryFileSystem().makedirs(self._inner(path), exist_ok)

    def rmdir(self, path: str) -> None:
        MemoryFileSystem().rmdir(self._inner(path))


class PathListingFileSystem(URLFileSystem):
    """Takes URLs and lists paths."""

    lists_scheme = False


class URLListingFileSystem(MemoryFileSystem):
    """Takes paths and lists URLs."""

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        infos = super().ls(path, detail=True, **kwargs)
        infos = [{**info, "name": f"memory:/{info['name']}"} for info in infos]
        return infos if detail else [info["name"] for info in infos]


class TestGeneric(StoreConformance):
    limits = Limits(
        key_beside_children="fsspec's in-memory filesystem knows files and folders",
        atomic_create="fsspec promises no atomic create",
        compare_and_swap="fsspec knows no versions",
        # Of each of the three filesystems.
        examples=30,
    )

    @pytest.fixture(
        params=[
            pytest.param((UnknownFileSystem, "/"), id="paths"),
            pytest.param((URLFileSystem, "urls://"), id="URLs"),
            pytest.param((PathListingFileSystem, "urls://"), id="URLs, lists paths"),
        ]
    )
    def make_store(self, request: pytest.FixtureRequest) -> Iterator[Any]:
        kind, start = request.param
        root = f"{start}{uuid.uuid4()}"

        def make(below: str = "", **options: Any) -> FsspecStore:
            options.setdefault("allow_racy_create", True)
            return FsspecStore(kind(), f"{root}/{below}", **options)

        yield make
        MemoryFileSystem.store.clear()


async def test_a_filesystem_may_list_urls_and_take_paths() -> None:
    store = FsspecStore(URLListingFileSystem(), f"/{uuid.uuid4()}")
    await put(store, "a", "b/c", "b/d/e")
    assert await listed(store.list()) == ["a", "b/c", "b/d/e"]
    assert await listed(store.list_dir("b")) == ["c", "d"]
    await store.delete_dir("b")
    assert await listed(store.list()) == ["a"]


async def test_urls_of_a_filesystem_whose_paths_are_urls(tmp_path: Any) -> None:
    fsspec.register_implementation("urls", URLFileSystem, clobber=True)
    url = f"urls://host/{uuid.uuid4()}"
    store = FsspecStore.from_url(url)
    assert (store.url, store.path) == (url, url)
    await put(store, "a/b")
    assert await read(FsspecStore.from_mapper(fsspec.get_mapper(url)), "a/b") == b"a/b"
    layer = {"simplecache": {"cache_storage": str(tmp_path)}}
    copied = FsspecStore.from_url(f"simplecache::{url}", layer, read_only=True)
    assert await read(copied, "a/b") == b"a/b"
    assert await listed(copied.list()) == ["a/b"]
    with pytest.raises(StoreURLError, match="no folder"):
        FsspecStore.from_url("urls://")
    with pytest.raises(StoreURLError, match="not a path of urls"):
        FsspecStore(URLFileSystem(), "swift://host/account")
