"""A file that replaces another has its owner, its permissions and its extended attributes."""

from __future__ import annotations

import os
import shutil
import stat
import struct
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.support import buf, put, read

from fsspec_store import FsspecStore

ACL = "system.posix_acl_access"
DEFAULT_ACL = "system.posix_acl_default"

Replace = Callable[[FsspecStore, str], Awaitable[None]]


async def replace_version(store: FsspecStore, key: str) -> None:
    found = await store.get_version(key)
    assert found is not None
    await store.set(key, buf(b"new"), if_match=found.version)


REPLACES: dict[str, Replace] = {
    "set": lambda store, key: store.set(key, buf(b"new")),
    "set(if_match=)": replace_version,
    "set_partial_values": lambda store, key: store.set_partial_values([(key, 0, b"new")]),
}


@pytest.fixture(params=REPLACES.values(), ids=REPLACES)
def replace(request: pytest.FixtureRequest) -> Replace:
    found: Replace = request.param
    return found


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.fixture
def store(tmp_path: Path) -> FsspecStore:
    return FsspecStore.from_url(tmp_path)


def acl(user: int, mask: int) -> bytes:
    """An access list that grants a user the permissions of the mask.

    A version, then tag, permissions and id of each entry (linux/posix_acl_xattr.h).
    """
    nobody = 0xFFFFFFFF
    entries = [(1, 6, nobody), (2, 4, user), (4, 0, nobody), (16, mask, nobody), (32, 0, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def attribute(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except (AttributeError, OSError):
        pytest.skip(f"cannot: this file system has no {name}")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444, 0o755])
async def test_the_mode_stays(
    store: FsspecStore, tmp_path: Path, replace: Replace, mode: int
) -> None:
    await put(store, "a", data=b"old")
    os.chmod(tmp_path / "a", mode)
    await replace(store, "a")
    assert await read(store, "a") == b"new"
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == mode


async def test_a_write_clears_set_user_id(
    store: FsspecStore, tmp_path: Path, replace: Replace
) -> None:
    await put(store, "a", data=b"old")
    os.chmod(tmp_path / "a", 0o6755)
    await replace(store, "a")
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o755


async def test_the_mode_is_that_of_the_target_of_a_link(
    store: FsspecStore, tmp_path: Path, replace: Replace
) -> None:
    (tmp_path / "outside").write_bytes(b"old")
    os.chmod(tmp_path / "outside", 0o600)
    os.symlink("outside", tmp_path / "a")
    await replace(store, "a")
    assert stat.S_IMODE(os.lstat(tmp_path / "a").st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="cannot: only root gives files away")
async def test_the_owner_stays(store: FsspecStore, tmp_path: Path, replace: Replace) -> None:
    await put(store, "a", data=b"old")
    os.chown(tmp_path / "a", 12345, 54321)
    await replace(store, "a")
    status = os.stat(tmp_path / "a")
    assert (status.st_uid, status.st_gid) == (12345, 54321)


async def test_permissions_of_a_group_that_cannot_be_set_are_dropped(
    store: FsspecStore, tmp_path: Path, replace: Replace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "not the owner")

    await put(store, "a", data=b"old")
    os.chmod(tmp_path / "a", 0o664)
    if os.geteuid() != 0:
        pytest.skip("cannot: only root gives files away")
    os.chown(tmp_path / "a", -1, 54321)
    monkeypatch.setattr(os, "fchown", refuse)
    await replace(store, "a")
    # The group gets the permissions of others.
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o644


async def test_attributes_and_access_lists_stay(
    store: FsspecStore, tmp_path: Path, replace: Replace
) -> None:
    await put(store, "a", data=b"old")
    attribute(tmp_path / "a", "user.origin", b"a sensor")
    attribute(tmp_path / "a", ACL, acl(12345, mask=4))
    await replace(store, "a")
    assert os.getxattr(tmp_path / "a", "user.origin") == b"a sensor"
    assert os.getxattr(tmp_path / "a", ACL) == acl(12345, mask=4)


async def test_the_folders_default_acl_grants_no_further_access(
    store: FsspecStore, tmp_path: Path, replace: Replace
) -> None:
    await put(store, "a", data=b"old")
    os.chmod(tmp_path / "a", 0o640)
    attribute(tmp_path, DEFAULT_ACL, acl(12345, mask=6))
    await replace(store, "a")
    assert ACL not in os.listxattr(tmp_path / "a")
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o640


async def test_only_the_owner_can_open_the_new_file_before_it_has_its_mode(
    store: FsspecStore, tmp_path: Path, replace: Replace, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(store, "a", data=b"old")
    os.chmod(tmp_path / "a", 0o604)
    fchmod, before = os.fchmod, []

    def noted(descriptor: int, mode: int) -> None:
        before.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fchmod(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", noted)
    await replace(store, "a")
    assert before == [0o600]


async def test_a_folder_that_another_program_removes_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FsspecStore.from_url(tmp_path / "root")
    link, replace = os.link, os.replace
    removed: list[str] = []

    def after_removal(move: Callable[..., None]) -> Callable[..., None]:
        def moved(source: str, target: str) -> None:
            # Removed with the temporary file, once for each key.
            if target not in removed:
                removed.append(target)
                shutil.rmtree(os.path.dirname(target))
            move(source, target)

        return moved

    monkeypatch.setattr(os, "link", after_removal(link))
    monkeypatch.setattr(os, "replace", after_removal(replace))
    await put(store, "a/set", data=b"v")
    await store.set_if_not_exists("b/create", buf(b"v"))
    assert [await read(store, key) for key in ("a/set", "b/create")] == [b"v", b"v"]
    assert len(removed) == 2


async def test_a_file_removed_while_another_is_created_is_no_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FsspecStore.from_url(tmp_path)
    await put(store, "a", data=b"old")
    link = os.link

    def remove_what_is_in_the_way(source: str, target: str) -> None:
        try:
            link(source, target)
        except FileExistsError:
            os.unlink(target)
            raise

    monkeypatch.setattr(os, "link", remove_what_is_in_the_way)
    await store.set_if_not_exists("a", buf(b"new"))
    assert await read(store, "a") == b"new"


async def test_a_file_created_by_another_after_a_removal_is_no_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FsspecStore.from_url(tmp_path)
    await put(store, "a", data=b"old")
    lstat, removed = os.lstat, []

    def create_again(path: str, **options: Any) -> os.stat_result:
        # Between the check for a value and the check of the path's type.
        if removed and not os.path.exists(path):
            (tmp_path / "a").write_bytes(b"another's")
        return lstat(path, **options)

    link = os.link

    def remove_what_is_in_the_way(source: str, target: str) -> None:
        try:
            link(source, target)
        except FileExistsError:
            if not removed:
                removed.append(target)
                os.unlink(target)
            raise

    monkeypatch.setattr(os, "link", remove_what_is_in_the_way)
    monkeypatch.setattr(os, "lstat", create_again)
    await store.set_if_not_exists("a", buf(b"new"))
    assert await read(store, "a") == b"another's"
