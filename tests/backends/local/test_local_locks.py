"""Folders locked by another process: writers time out, and nothing else waits."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conformance.support import buf, put, read
from forking import in_forked_child

from fsspec_store import FsspecStore
from fsspec_store.errors import BackendError, VersionMismatchError

#: Generous: what is not waited for takes a moment.
BOUND = 10

CHANGES: dict[str, Callable[[FsspecStore, str], Awaitable[None]]] = {
    "set": lambda store, _: store.set("shut/a", buf(b"new")),
    "set(if_match=)": lambda store, version: store.set("shut/a", buf(b"new"), if_match=version),
    "set_partial_values": lambda store, _: store.set_partial_values([("shut/a", 0, b"n")]),
    "delete": lambda store, _: store.delete("shut/a"),
}
#: Of a whole folder, by its descriptor.
EMPTYING = {"delete_dir": lambda store, _: store.delete_dir("shut")}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder as another process does."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def wait_for_files(folder: Path, count: int) -> None:
    """Wait until this number of files have content, so that the writers wait for the lock."""
    end = time.monotonic() + 60
    while sum(file.stat().st_size > 0 for file in folder.iterdir()) < count:
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture
async def store(tmp_path: Path) -> FsspecStore:
    store = FsspecStore.from_url(tmp_path, timeout=0.2)
    await put(store, "shut/a", data=b"old")
    return store


@pytest.mark.parametrize(
    "change", [*CHANGES.values(), *EMPTYING.values()], ids=[*CHANGES, *EMPTYING]
)
async def test_the_error_of_a_lock_that_is_not_released_names_the_folder(
    store: FsspecStore, tmp_path: Path, change: Callable[[FsspecStore, str], Awaitable[None]]
) -> None:
    found = await store.get_version("shut/a")
    assert found is not None
    with locked(tmp_path / "shut"):
        with pytest.raises(BackendError, match=r"'shut.*' .* lock \(flock\) on the folder .*shut'"):
            await change(store, found.version)
        # Operations that need no lock.
        await store.set_if_not_exists("shut/b", buf(b"new"))
        assert await read(store, "shut/a") == b"old"
    assert sorted(os.listdir(tmp_path / "shut")) == ["a", "b"]


async def test_waiting_for_a_lock_can_be_cancelled_and_blocks_no_other_operation(
    tmp_path: Path,
) -> None:
    store = FsspecStore.from_url(tmp_path, timeout=600)
    await put(store, "shut/a", "open/a")
    with locked(tmp_path / "shut"):
        # More operations than threads.
        waiting = [asyncio.create_task(put(store, f"shut/{number}")) for number in range(64)]
        async with asyncio.timeout(BOUND):
            await put(store, "open/b")
            assert await read(store, "shut/a") == b"shut/a"
            for task in waiting:
                task.cancel()
            results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert os.listdir(tmp_path / "shut") == ["a"]


async def test_a_lock_that_is_released_is_waited_for(tmp_path: Path) -> None:
    store = FsspecStore.from_url(tmp_path, timeout=600)
    await put(store, "shut/a")
    with locked(tmp_path / "shut"):
        writing = asyncio.create_task(put(store, "shut/a", data=b"new"))
        # Its temporary file is written before the lock is tried.
        await asyncio.to_thread(wait_for_files, tmp_path / "shut", 2)
        assert not writing.done()
    await writing
    assert await read(store, "shut/a") == b"new"


def test_an_interruption_ends_the_wait_of_a_blocking_write(tmp_path: Path) -> None:
    store = FsspecStore.from_url(tmp_path, timeout=600)
    store.sync.set("shut/a", buf(b"old"))

    def interrupt() -> None:
        wait_for_files(tmp_path / "shut", 2)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with locked(tmp_path / "shut"):
            threading.Thread(target=interrupt, daemon=True).start()
            with pytest.raises(KeyboardInterrupt):
                store.sync.set("shut/a", buf(b"new"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert os.listdir(tmp_path / "shut") == ["a"]


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO])
async def test_an_operation_needs_its_lock_after_a_temporary_error(
    store: FsspecStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    opened = os.open

    def refused(path: str, flags: int, *args: Any, **options: Any) -> int:
        if path == str(tmp_path / "shut"):
            raise OSError(code, os.strerror(code), path)
        return opened(path, flags, *args, **options)

    found = await store.get_version("shut/a")
    assert found is not None
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        for change in CHANGES.values():
            with pytest.raises(BackendError, match=re.escape(os.strerror(code))):
                await change(store, found.version)
    assert await read(store, "shut/a") == b"old"
    assert os.listdir(tmp_path / "shut") == ["a"]
    # Partial writes still compare versions: no change of another writer is lost.
    assert store.supports_compare_and_swap
    await store.set("shut/a", buf(b"new"), if_match=found.version)


async def test_a_folder_that_is_removed_before_it_is_locked_is_no_file_system_without_locks(
    store: FsspecStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, removals = os.open, []

    def removed(path: str, flags: int, *args: Any, **options: Any) -> int:
        if path == str(tmp_path / "shut") and not removals:
            removals.append(path)
            shutil.rmtree(path)
        return opened(path, flags, *args, **options)

    found = await store.get_version("shut/a")
    assert found is not None
    monkeypatch.setattr(os, "open", removed)
    with pytest.raises(VersionMismatchError):
        await store.set("shut/a", buf(b"new"), if_match=found.version)
    assert store.supports_compare_and_swap


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_during_a_write_holds_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FsspecStore.from_url(tmp_path, timeout=BOUND)
    store.sync.set("a", buf(b"old"))
    found = store.sync.get_version("a")
    assert found is not None
    replace, writing, go_on = os.replace, threading.Event(), threading.Event()

    def slow(source: str, target: str) -> None:
        writing.set()
        assert go_on.wait(60)
        replace(source, target)

    def child() -> bool:
        # The child keeps the inherited descriptors until the parent ends.
        with os.fdopen(reads, "rb") as pipe:
            os.close(writes)
            return pipe.read() == b""

    reads, writes = os.pipe()
    monkeypatch.setattr(os, "replace", slow)
    thread = threading.Thread(target=store.sync.set, args=("a", buf(b"old")))
    thread.start()
    assert writing.wait(60)
    alive = threading.Thread(target=in_forked_child, args=(child,))
    forked = threading.Event()
    os.register_at_fork(after_in_parent=forked.set)
    alive.start()
    assert forked.wait(60)
    monkeypatch.undo()
    go_on.set()
    thread.join()
    # The exclusive lock is free, although the child was forked while a lock was held.
    store.sync.set("a", buf(b"new"), if_match=found.version)
    os.close(writes)
    alive.join()
    os.close(reads)
