"""Removal of folders below a store's root, without the targets of links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conformance.support import listed, put
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from fsspec_store import FsspecStore


@pytest.fixture
def store(tmp_path: Path) -> FsspecStore:
    return FsspecStore.from_url(tmp_path / "root")


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


async def test_a_link_that_takes_a_folders_place_is_not_followed(
    store: FsspecStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    await put(store, *(f"d/{name}" for name in ("f", "1/f", "2/f", "3/f", "3/deep/f")))
    for name in ("1", "2", "3"):
        await put(FsspecStore.from_url(outside), f"{name}/f", f"{name}/deep/f")
    precious = below(outside)
    unlink = os.unlink
    swapped = False

    def swap(path: str, *, dir_fd: int | None = None) -> None:
        nonlocal swapped
        unlink(path, dir_fd=dir_fd)
        if not swapped:
            swapped = True
            # The files of a folder are removed before any subfolder is entered.
            for name in ("1", "2", "3"):
                os.rename(root / "d" / name, tmp_path / f"moved-{name}")
                os.symlink(outside / name, root / "d" / name)

    monkeypatch.setattr(os, "unlink", swap)
    await store.delete_dir("d")
    assert swapped
    assert below(outside) == precious
    assert below(root) == []


async def test_a_folder_that_is_moved_meanwhile_causes_no_other_removal(
    store: FsspecStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Deeper than the open descriptors: the folder above is reopened, and is another one.
    deep = "/".join(["d"] * 60)
    await put(store, f"a/{deep}/f")
    other = tmp_path / "other"
    (other / "empty").mkdir(parents=True)
    unlink = os.unlink

    def move(path: str, *, dir_fd: int | None = None) -> None:
        unlink(path, dir_fd=dir_fd)
        os.rename(tmp_path / "root/a" / "/".join(["d"] * 10), other / "moved")

    monkeypatch.setattr(os, "unlink", move)
    with pytest.raises(OSError, match="was moved while its files were removed"):
        await store.delete_dir("a")
    assert (other / "empty").is_dir()


async def test_folders_deeper_than_any_path_are_emptied(store: FsspecStore, tmp_path: Path) -> None:
    await put(store, "d/f")
    here = os.open(tmp_path / "root/d", os.O_RDONLY)
    for _ in range(2100):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("f", os.O_CREAT, dir_fd=here))
    os.close(here)
    await store.clear()
    assert os.listdir(tmp_path / "root") == []


async def test_empty_folders_are_removed_up_to_the_root(store: FsspecStore, tmp_path: Path) -> None:
    root = tmp_path / "root"
    await put(store, "a/b/c/x", "a/b/c/y/z")
    await store.delete_dir("a/b/c")
    assert os.listdir(root) == []
    await put(store, "a/b/x", "a/c")
    await store.delete_dir("a/b")
    assert below(root) == ["a", "a/c"]
    # A sibling with the same name prefix, and a file of that name.
    await put(store, "a/cc/x")
    await store.delete_dir("a/c")
    assert await listed(store.list()) == ["a/c", "a/cc/x"]
    await store.delete_dir("missing/folder")
    await store.clear()
    assert os.listdir(root) == []


async def test_empty_folders_are_removed_with_fsspecs_filesystem(tmp_path: Path) -> None:
    store = FsspecStore(DirFileSystem(str(tmp_path / "root"), LocalFileSystem(auto_mkdir=True)), "")
    await put(store, "a/b/c", "a/d")
    await store.delete_dir("a/b")
    assert below(tmp_path / "root") == ["a", "a/d"]
    await store.delete("a/d")
    await store.delete_dir("a")
    assert below(tmp_path) == ["root"]
    copies = {"cache_storage": str(tmp_path / "copies")}
    cached = FsspecStore.from_url(f"simplecache::file://{tmp_path}/root", copies)
    await put(cached, "a/b/c")
    await cached.delete_dir("a/b")
    assert below(tmp_path / "root") == []


async def test_a_store_below_another_stays_in_its_root(tmp_path: Path) -> None:
    inner = FsspecStore.from_url(tmp_path / "root/inner")
    await put(inner, "a/b")
    await inner.delete_dir("a")
    assert below(tmp_path) == ["root", "root/inner"]


async def test_the_target_of_a_root_link_is_emptied_and_the_link_stays(
    store: FsspecStore, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    await put(store, "a")
    await put(FsspecStore.from_url(outside), "b/c/x")
    os.symlink(outside, tmp_path / "root/link")
    await store.delete_dir("link/b/c")
    assert below(outside) == []
    assert (tmp_path / "root/link").is_symlink()
    await store.delete_dir("link")
    assert below(tmp_path / "root") == ["a"]
    assert outside.is_dir()


@pytest.mark.parametrize("error", [FileExistsError, FileNotFoundError])
async def test_a_folder_removed_while_it_is_made_is_made_again(
    store: FsspecStore, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    makedirs = os.makedirs
    failures = [error("what makedirs raises when another process removes a folder meanwhile")]

    def disturbed(path: str, **options: bool) -> None:
        if failures:
            raise failures.pop()
        makedirs(path, **options)

    monkeypatch.setattr(os, "makedirs", disturbed)
    await put(store, "a/b/c")
    assert failures == []
    assert await listed(store.list()) == ["a/b/c"]
