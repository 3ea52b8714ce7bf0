"""Local files: atomic writes, links, folders in place of files."""

from __future__ import annotations

import asyncio
import errno
import itertools
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path

import pytest
from conformance.support import buf, collect, listed, put, read

from fsspec_store import FsspecStore, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from fsspec_store.errors import AccessDeniedError, BackendError, InvalidKeyError, KeyConflictError


@pytest.fixture
def store(tmp_path: Path) -> FsspecStore:
    return FsspecStore.from_url(tmp_path / "root")


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


async def test_a_folder_is_a_store_by_path_url_or_string(tmp_path: Path) -> None:
    await put(FsspecStore.from_url(tmp_path), "a/b")
    for url in (str(tmp_path), f"file://{tmp_path}", f"local://{tmp_path}", f"{tmp_path}/"):
        assert await read(FsspecStore.from_url(url), "a/b") == b"a/b"
    assert (tmp_path / "a" / "b").read_bytes() == b"a/b"


async def test_a_relative_path_is_below_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = FsspecStore.from_url("data")
    monkeypatch.chdir("/")
    await put(store, "a")
    assert (tmp_path / "data" / "a").exists()


async def test_a_missing_folder_is_an_empty_store(store: FsspecStore) -> None:
    assert await listed(store.list()) == []
    assert await store.is_empty("")
    await store.clear()
    assert not os.path.exists(store.path)


async def test_a_write_leaves_only_the_value(store: FsspecStore, tmp_path: Path) -> None:
    await put(store, "a/b", data=b"1")
    await put(store, "a/b", data=b"2")
    await store.set_if_not_exists("a/b", buf(b"3"))
    await store.set_if_not_exists("a/c", buf(b"4"))
    assert everything_below(tmp_path) == ["root", "root/a", "root/a/b", "root/a/c"]


async def test_a_value_larger_than_memory_is_a_clear_error(
    store: FsspecStore, tmp_path: Path
) -> None:
    await put(store, "a", data=b"begin")
    # A sparse file.
    os.truncate(tmp_path / "root/a", 2**43)
    for request in (None, OffsetByteRequest(3), SuffixByteRequest(2**43 - 1)):
        with pytest.raises(BackendError, match=r"'a' .* not enough memory"):
            await store.get("a", byte_range=request)
    with pytest.raises(BackendError, match=r"'a' .* not enough memory"):
        await store.get_version("a")
    assert await read(store, "a", RangeByteRequest(3, 7)) == b"in\0\0"


def test_a_large_value_is_read_whole(store: FsspecStore, tmp_path: Path) -> None:
    size = 260 * 2**20
    store.sync.set("a", buf(b"begin"))
    with open(tmp_path / "root/a", "r+b") as file:
        file.seek(size - 3)
        file.write(b"end")
    value = store.sync.get("a", byte_range=OffsetByteRequest(1))
    assert value is not None
    assert len(value) == size - 1
    assert (value[:6].to_bytes(), value[-5:].to_bytes()) == (b"egin\0\0", b"\0\0end")
    assert not value.as_numpy_array()[6:-5].any()


async def test_files_have_the_default_mode(store: FsspecStore, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    await put(store, "set")
    await store.set_if_not_exists("created", buf(b""))
    for key in ("set", "created"):
        assert os.stat(tmp_path / "root" / key).st_mode == plain.stat().st_mode


async def test_a_killed_writer_leaves_the_old_value_or_the_new_one(
    store: FsspecStore, tmp_path: Path
) -> None:
    size = 8 * 2**20
    await put(store, "a", data=b"0" * size)
    program = textwrap.dedent(
        f"""
        import asyncio, sys
        from fsspec_store import Buffer, FsspecStore

        async def main():
            store = FsspecStore.from_url({str(tmp_path / "root")!r})
            values = [Buffer.from_bytes(digit * {size}) for digit in (b"1", b"2", b"3")]
            print("writing", flush=True)
            while True:
                for value in values:
                    await store.set("a", value)
                    await store.set_if_not_exists("b", value)
                    await store.delete("b")

        asyncio.run(main())
        """
    )
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"writing\n"
            seen = set()
            while len(seen) < 3:
                value = await read(store, "a")
                assert value is not None
                seen.add(value[:1])
                assert value == value[:1] * size
            writer.send_signal(signal.SIGKILL)
        for key in ("a", "b"):
            value = await read(store, key)
            assert value is None or value == value[:1] * size
        assert set(await listed(store.list())) <= {"a", "b"}


async def test_temporary_files_of_a_crash_are_not_keys_and_are_removed_with_the_folder(
    store: FsspecStore, tmp_path: Path
) -> None:
    await put(store, "a/b")
    old, young = (tmp_path / "root/a" / f".fsspec-store-{digit * 16}.tmp" for digit in "01")
    for path in (old, young):
        path.write_bytes(b"half a val")
    os.utime(old, (0, 0))
    assert await listed(store.list()) == ["a/b"]
    assert await listed(store.list_dir("a")) == ["b"]
    assert await store.getsize_prefix("") == 3
    with pytest.raises(InvalidKeyError, match="being written"):
        await store.get(f"a/{old.name}")
    await store.delete_dir("a")
    assert not old.exists()
    # It may be a write in progress.
    assert young.exists()
    old.write_bytes(b"half a val")
    os.utime(old, (0, 0))
    keys = [f"a/{old.name}", f"a/{young.name}"]
    assert sorted(each.key for each in await collect(store.list_leftovers())) == keys
    assert [each.key for each in await store.remove_leftovers("a")] == keys[:1]
    assert [each.key for each in await store.remove_leftovers(older_than=0)] == keys[1:]
    assert await collect(store.list_leftovers()) == []


async def test_a_file_of_a_year_that_python_lacks_has_no_time() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as root:
        store = FsspecStore.from_url(root)
        await put(store, "a")
        names = ["a", f".fsspec-store-{'0' * 16}.tmp"]
        (Path(root) / names[1]).write_bytes(b"half a val")
        for name in names:
            os.utime(f"{root}/{name}", (3e11, 3e11))
        if os.stat(f"{root}/a").st_mtime != 3e11:
            pytest.skip("cannot: the file system has no such times")
        async with store.open_reader("a") as reader:
            assert await reader.next_part() == b"a"
            assert reader.modified is None
        assert [each.modified for each in await collect(store.list_entries())] == [None]
        assert [each.modified for each in await collect(store.list_leftovers())] == [None]


async def test_leftovers_of_a_folder_that_may_not_be_read_are_an_error(
    store: FsspecStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(store, "a/b")
    scandir = os.scandir

    def refused(path: str) -> object:
        # As for users other than root.
        if os.path.basename(path) == "a":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(AccessDeniedError, match="cannot list leftovers of ''"):
        await collect(store.list_leftovers())


async def test_without_hard_links_one_creator_still_wins(
    store: FsspecStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links on this file system")

    monkeypatch.setattr(os, "link", no_links)
    await store.set_if_not_exists("a/b", buf(b"first"))
    await store.set_if_not_exists("a/b", buf(b"second"))
    assert await read(store, "a/b") == b"first"
    assert everything_below(tmp_path / "root") == ["a", "a/b"]


def _create(url: str, round_: int, number: int, together: object) -> None:
    import asyncio

    store = FsspecStore.from_url(url)
    together.wait()  # type: ignore[attr-defined]
    asyncio.run(store.set_if_not_exists(f"lock/{round_}", buf(b"%d" % number * 10_000)))


async def test_one_of_many_processes_creates(store: FsspecStore) -> None:
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(4)
    processes = [
        spawn.Process(target=_create, args=(store.url, 0, number, together)) for number in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    value = await read(store, "lock/0")
    assert value in [b"%d" % number * 10_000 for number in range(4)]
    assert await listed(store.list()) == ["lock/0"]


async def test_a_name_is_a_file_or_a_folder(store: FsspecStore) -> None:
    await put(store, "a/b")
    for key in ("a", "a/b/c"):
        with pytest.raises(KeyConflictError, match=repr(key)):
            await put(store, key)
        with pytest.raises(KeyConflictError, match=repr(key)):
            await store.set_if_not_exists(key, buf(b"x"))
    assert await listed(store.list()) == ["a/b"]
    assert await read(store, "a/b") == b"a/b"
    assert everything_below(Path(store.path)) == ["a", "a/b"]


async def test_only_files_are_keys(store: FsspecStore, tmp_path: Path) -> None:
    await put(store, "a")
    os.mkfifo(tmp_path / "root" / "pipe")
    os.makedirs(tmp_path / "root" / "empty" / "folder")
    os.symlink("nowhere", tmp_path / "root" / "dangling")
    assert await listed(store.list()) == ["a"]
    assert await listed(store.list_dir("")) == ["a"]
    for key in ("pipe", "empty", "dangling"):
        assert await store.get(key) is None
        assert not await store.exists(key)
    await store.set_if_not_exists("empty", buf(b"a key now"))
    assert await read(store, "empty") == b"a key now"


async def test_links_are_read_through_and_removed_alone(store: FsspecStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "x").write_bytes(b"kept")
    root = tmp_path / "root"
    root.mkdir()
    os.symlink(outside, root / "folder")
    os.symlink(outside / "deep" / "x", root / "file")
    os.symlink(root, root / "loop")
    assert await listed(store.list()) == ["file", "folder/deep/x"]
    assert await read(store, "folder/deep/x") == b"kept"
    assert await read(store, "file") == b"kept"
    await store.clear()
    assert await listed(store.list()) == []
    assert everything_below(root) == []
    assert (outside / "deep" / "x").read_bytes() == b"kept"


async def test_folders_that_link_to_each_other_are_listed_in_bounds(
    store: FsspecStore, tmp_path: Path
) -> None:
    names = "abcdefg"
    await put(store, *(f"{name}/x" for name in names))
    for here, there in itertools.permutations(names, 2):
        os.symlink(f"../{there}", tmp_path / "root" / here / there)
    keys = await listed(store.list())
    assert {f"{name}/x" for name in names} < set(keys)
    assert {f"{here}/{there}/x" for here, there in itertools.permutations(names, 2)} < set(keys)
    # Each folder once for each first link; there are 13,699 paths without a cycle.
    assert len(keys) == len(set(keys)) == 7 + 42 * 6
    assert set(await listed(store.list_dir("a"))) == {"x", *names[1:]}


async def test_writing_through_a_link_replaces_the_link(store: FsspecStore, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").write_bytes(b"kept")
    os.symlink(tmp_path / "outside", tmp_path / "root" / "file")
    await put(store, "file", data=b"new")
    assert (tmp_path / "outside").read_bytes() == b"kept"
    assert await read(store, "file") == b"new"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_permission_errors_are_raised(store: FsspecStore, tmp_path: Path) -> None:
    await put(store, "shut/a")
    os.chmod(tmp_path / "root" / "shut", 0)
    try:
        for use in (store.get("shut/a"), store.exists("shut/a"), listed(store.list())):
            with pytest.raises(PermissionError, match="shut"):
                await use
    finally:
        os.chmod(tmp_path / "root" / "shut", stat.S_IRWXU)


async def test_folders_500_deep(store: FsspecStore) -> None:
    key = "/".join(["d"] * 500)
    await put(store, key)
    assert await listed(store.list()) == [key]
    assert await listed(store.list_dir("")) == ["d"]
    await store.clear()
    assert everything_below(Path(store.path)) == []


async def test_a_link_to_a_folder_is_neither_deleted_nor_written_over_as_a_key(
    store: FsspecStore, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_bytes(b"kept")
    await put(store, "b")
    os.symlink(outside, tmp_path / "root" / "link")
    await store.delete("link")
    for write in (store.set, store.set_if_not_exists):
        with pytest.raises(KeyConflictError, match="'link'"):
            await write("link", buf(b"x"))
    assert await listed(store.list()) == ["b", "link/a"]
    linked = FsspecStore.from_url(tmp_path / "root" / "link")
    await store.delete_dir("link")
    assert await listed(store.list()) == ["b"]
    assert everything_below(outside) == ["a"]
    # The root may be a link, and is emptied like any other root.
    os.symlink(outside, tmp_path / "root" / "link")
    await linked.clear()
    assert everything_below(outside) == []
    assert (tmp_path / "root" / "link").is_symlink()


async def test_broken_links_are_not_keys(store: FsspecStore, tmp_path: Path) -> None:
    await put(store, "f")
    os.symlink("f/y", tmp_path / "root" / "through-a-file")
    os.symlink("itself", tmp_path / "root" / "itself")
    os.symlink("nowhere", tmp_path / "root" / "dangling")
    assert await listed(store.list()) == ["f"]
    assert await listed(store.list_dir("")) == ["f"]
    for key in ("through-a-file", "itself", "dangling"):
        assert await store.get(key) is None
        assert not await store.exists(key)
        with pytest.raises(KeyConflictError, match=key):
            await store.set_if_not_exists(key, buf(b"x"))
        await put(store, key)
        assert await read(store, key) == key.encode()


async def test_names_that_are_not_utf8_are_not_keys(store: FsspecStore) -> None:
    await put(store, "a", "folder/b", "ünï")
    for name in (b"caf\xe9", b"folder/caf\xe9", b"c\xe9/d"):
        place = os.fsencode(store.path) + b"/" + name
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            Path(os.fsdecode(place)).write_bytes(b"no key's")
        except OSError:
            pytest.skip("cannot: this file system takes no such name")
    assert await listed(store.list()) == ["a", "folder/b", "ünï"]
    assert await listed(store.list_dir("")) == ["a", "folder", "ünï"]
    assert await store.getsize_prefix("") == len("afolder/bünï".encode())


async def test_a_folder_named_like_a_temporary_file_is_a_folder(store: FsspecStore) -> None:
    key = ".fsspec-store-0123456789abcdef.tmp/x"
    await put(store, key)
    assert await listed(store.list()) == [key]
    assert not await store.is_empty("")


@pytest.mark.parametrize("prefix", ["x" * 300, "x/" * 2500 + "x"])
async def test_a_prefix_longer_than_any_path_is_empty(store: FsspecStore, prefix: str) -> None:
    await put(store, "a")
    assert await store.is_empty(prefix)
    assert await listed(store.list_dir(prefix)) == []
    assert await listed(store.list_prefix(prefix + "/")) == []
    await store.delete_dir(prefix)
    assert await listed(store.list()) == ["a"]


async def test_a_cancelled_operation_changes_nothing_later(
    store: FsspecStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, started, go_on = os.replace, threading.Event(), threading.Event()

    def slow(source: str, target: str) -> None:
        started.set()
        assert go_on.wait(30)
        replace(source, target)

    monkeypatch.setattr(os, "replace", slow)
    writing = asyncio.create_task(put(store, "a", data=b"cancelled"))
    await asyncio.to_thread(started.wait)
    writing.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    # It ends only with its thread, even if it is cancelled again.
    writing.cancel()
    await asyncio.sleep(0)
    assert not writing.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    monkeypatch.undo()
    await put(store, "a", data=b"newer")
    assert await read(store, "a") == b"newer"


async def test_a_listing_can_be_cancelled(
    store: FsspecStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(store, "a", "b")
    scandir, started, go_on = os.scandir, threading.Event(), threading.Event()

    def slow(folder: str) -> object:
        started.set()
        assert go_on.wait(30)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", slow)
    listing = asyncio.create_task(listed(store.list()))
    await asyncio.to_thread(started.wait)
    listing.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await listing
