"""Copies of local files: links, attributes, and file systems that cannot copy by themselves."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.support import buf, content, listed, put, read

from fsspec_store import FsspecStore
from fsspec_store.errors import (
    BackendError,
    KeyConflictError,
    KeyNotFoundError,
    VersionMismatchError,
)

DATA = content(3 * 2**20 + 17)


@pytest.fixture
def store(tmp_path: Path) -> FsspecStore:
    return FsspecStore.from_url(tmp_path / "root")


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


async def test_a_link_is_copied_as_the_file_that_it_names(
    store: FsspecStore, tmp_path: Path
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.write_bytes(b"outside")
    (root / "link").symlink_to(outside)
    (root / "target").symlink_to(outside)
    await store.copy_from(store, "link", "copy")
    assert (root / "copy").read_bytes() == b"outside"
    assert not (root / "copy").is_symlink()
    # A link in the place of the target is replaced, as by `set`.
    await put(store, "a")
    await store.copy_from(store, "a", "target")
    assert not (root / "target").is_symlink()
    assert outside.read_bytes() == b"outside"
    # A file is copied over the link to it.
    await store.copy_from(store, "copy", "link")
    assert not (root / "link").is_symlink()


async def test_what_is_no_file_is_not_copied(store: FsspecStore, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    before = files(root)
    for key in ("folder", "dangling", "loop", "pipe", "missing", "dangling/a"):
        with pytest.raises(KeyNotFoundError):
            await store.copy_from(store, key, "new/b")
    assert files(root) == before


async def test_a_copy_has_the_mode_of_the_file_that_it_replaces(
    store: FsspecStore, tmp_path: Path
) -> None:
    await put(store, "a", "b")
    (tmp_path / "root" / "a").chmod(0o640)
    (tmp_path / "root" / "b").chmod(0o600)
    await store.copy_from(store, "a", "b")
    assert stat.S_IMODE((tmp_path / "root" / "b").stat().st_mode) == 0o600
    assert await read(store, "b") == b"a"


async def test_a_folder_without_files_is_replaced(store: FsspecStore, tmp_path: Path) -> None:
    await put(store, "a", "full/b")
    (tmp_path / "root" / "empty" / "below").mkdir(parents=True)
    await store.copy_from(store, "a", "empty")
    assert await read(store, "empty") == b"a"
    with pytest.raises(KeyConflictError):
        await store.copy_from(store, "a", "full")
    assert await listed(store.list()) == ["a", "empty", "full/b"]


@pytest.mark.parametrize("failing", [errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, None])
async def test_without_the_kernels_copy_the_bytes_are_read_and_written(
    store: FsspecStore, monkeypatch: pytest.MonkeyPatch, failing: int | None
) -> None:
    calls = []

    def copy(*arguments: Any) -> int:
        calls.append(arguments)
        if failing is None:
            # Some file systems copy nothing.
            return 0
        raise OSError(failing, "not supported")

    monkeypatch.setattr(os, "copy_file_range", copy, raising=False)
    await store.set("a", buf(DATA))
    version = (await store.get_version("a")).version  # type: ignore[union-attr]
    await store.copy_from(store, "a", "b", version=version)
    assert await read(store, "b") == DATA
    assert len(calls) == 1


async def test_the_kernel_may_copy_less_than_requested(
    store: FsspecStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(os, "copy_file_range"):
        pytest.skip("Linux alone has copy_file_range")
    copy = os.copy_file_range
    sizes: list[int] = []

    def copy_less(source: int, target: int, count: int) -> int:
        sizes.append(copy(source, target, min(count, 2**20)))
        return sizes[-1]

    monkeypatch.setattr(os, "copy_file_range", copy_less)
    await store.set("a", buf(DATA))
    await store.copy_from(store, "a", "b")
    assert await read(store, "b") == DATA
    assert sum(sizes) in (0, len(DATA))


async def test_a_copy_that_fails_leaves_nothing(
    store: FsspecStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "copy_file_range", full, raising=False)
    await put(store, "a", "b")
    with pytest.raises(BackendError, match="no space left"):
        await store.copy_from(store, "a", "b")
    assert await read(store, "b") == b"b"
    assert files(tmp_path / "root") == ["a", "b"]


@pytest.mark.parametrize("change", ["shorter", "longer", "overwritten"])
async def test_a_file_that_changes_during_the_copy_is_not_stored(
    store: FsspecStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    await store.set("a", buf(DATA))
    source = tmp_path / "root" / "a"
    os.utime(source, (1, 1))

    def copy(*_: object) -> int:
        """Copy nothing, so that the bytes are read and written."""
        if change == "shorter":
            os.truncate(source, 1000)
        with source.open("r+b" if change == "overwritten" else "ab") as file:
            file.write(b"" if change == "shorter" else b"X")
        return 0

    monkeypatch.setattr(os, "copy_file_range", copy, raising=False)
    with pytest.raises(VersionMismatchError, match=r"'a' .* was changed while it was copied"):
        await store.copy_from(store, "a", "b")
    assert files(tmp_path / "root") == ["a"]


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another file system."""
    if not os.path.isdir("/dev/shm"):
        pytest.skip("no file system in memory")
    folder = tempfile.mkdtemp(dir="/dev/shm")
    yield Path(folder)
    shutil.rmtree(folder)


async def test_a_file_is_copied_between_file_systems(store: FsspecStore, elsewhere: Path) -> None:
    other = FsspecStore.from_url(elsewhere / "root")
    await other.set("a", buf(DATA))
    await store.copy_from(other, "a", "b")
    assert await read(store, "b") == DATA
    await other.copy_from(store, "b", "c/d")
    assert await read(other, "c/d") == DATA
