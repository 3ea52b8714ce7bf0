"""The contract on an FTP server."""

from __future__ import annotations

import asyncio
import gc
import threading
import uuid
import warnings
from collections.abc import Iterator
from ftplib import FTP
from pathlib import Path
from typing import Any, ClassVar

import pytest
from conformance import Limits, StoreConformance
from conformance.support import content, listed, put, read
from forking import in_forked_child
from fsspec.implementations.ftp import FTPFileSystem
from servers.fixtures import or_skip
from servers.ftp import FTPEndpoint, ftp_server

from fsspec_store import FsspecStore, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from fsspec_store.errors import AccessDeniedError, BackendError, InvalidKeyError


@pytest.fixture(scope="module")
def ftp_endpoint() -> Iterator[FTPEndpoint]:
    with or_skip(ftp_server()) as endpoint:
        yield endpoint


class TestFTP(StoreConformance):
    service = "FTP"
    limits = Limits(
        key_beside_children="a name is a file or a folder",
        long_names="a file's name has at most 255 bytes",
        atomic_create="fsspec's FTP filesystem promises no atomic create",
        compare_and_swap="FTP knows no versions",
        examples=10,
        # fsspec's filesystems have no pages.
        many=60,
    )

    @pytest.fixture
    def make_store(self, ftp_endpoint: FTPEndpoint) -> Iterator[Any]:
        root = f"/{uuid.uuid4()}"
        made = []

        def make(below: str = "", **options: Any) -> FsspecStore:
            options.setdefault("allow_racy_create", True)
            url = f"ftp://{root}/{below}".rstrip("/")
            made.append(FsspecStore.from_url(url, ftp_endpoint.storage_options(), **options))
            return made[-1]

        yield make
        for store in made:
            store.close()


@pytest.fixture
def root() -> str:
    return f"/{uuid.uuid4()}"


@pytest.fixture
def open_store(ftp_endpoint: FTPEndpoint, root: str) -> Iterator[Any]:
    made = []

    def open_store(user: str = "writer", cls: Any = FTPFileSystem) -> FsspecStore:
        fs = cls(**ftp_endpoint.storage_options(user))
        made.append(FsspecStore(fs, root))
        return made[-1]

    yield open_store
    for store in made:
        store.close()


async def test_a_broken_connection_is_replaced(open_store: Any, ftp_endpoint: FTPEndpoint) -> None:
    store = open_store()
    await put(store, "a/b", data=content(100_000))
    for _ in range(2):
        ftp_endpoint.drop_connections()
        assert await read(store, "a/b") == content(100_000)
        ftp_endpoint.drop_connections()
        assert (
            await read(store, "a/b", RangeByteRequest(70_000, 70_010))
            == (content(100_000)[70_000:70_010])
        )
        ftp_endpoint.drop_connections()
        await put(store, "a/b", data=content(100_000))


async def test_access_denied_is_not_a_missing_value(
    open_store: Any,
) -> None:
    writer, looker = open_store(), open_store("looker")
    await put(writer, "a/b")
    assert await looker.getsize("a/b") == 3
    assert await read(looker, "missing") is None
    for use in (
        lambda: read(looker, "a/b"),
        lambda: read(looker, "a/b", RangeByteRequest(0, 1)),
        lambda: read(looker, "a/b", SuffixByteRequest(1)),
        lambda: put(looker, "a/c"),
        lambda: put(looker, "c/d"),
        lambda: looker.delete("a/b"),
    ):
        with pytest.raises(AccessDeniedError):
            await use()
    assert await read(writer, "a/b") == b"a/b"


async def test_access_denied_for_a_listing_is_not_an_empty_folder(open_store: Any) -> None:
    writer, reader = open_store(), open_store("reader")
    await put(writer, "a/b")
    assert await read(reader, "a/b") == b"a/b"
    for use in (
        lambda: listed(reader.list()),
        lambda: listed(reader.list_dir("a")),
        lambda: reader.is_empty("a"),
        lambda: reader.exists("a/b"),
        lambda: read(reader, "a/missing"),
    ):
        with pytest.raises(AccessDeniedError):
            await use()


class ChangingFTPFileSystem(FTPFileSystem):
    """Another writer changes the value in place between two operations."""

    changes: ClassVar[list[tuple[Path, bytes]]] = []

    def info(self, path: str, **kwargs: Any) -> Any:
        info = super().info(path, **kwargs)
        if self.changes:
            file, data = self.changes.pop(0)
            file.write_bytes(data)
        return info


async def test_a_value_that_changes_while_it_is_read_is_read_again_or_refused(
    open_store: Any, ftp_endpoint: FTPEndpoint, root: str
) -> None:
    store = open_store(cls=ChangingFTPFileSystem)
    file = ftp_endpoint.folder / root[1:] / "a"
    for request, expected in (
        (SuffixByteRequest(4), b"wxyz"),
        (RangeByteRequest(2, 6), b"cdef"),
        (OffsetByteRequest(8), b"ijklmnopqrstuvwxyz"),
    ):
        await put(store, "a", data=b"0123456789")
        ChangingFTPFileSystem.changes = [(file, b"abcdefghijklmnopqrstuvwxyz")]
        assert await read(store, "a", request) == expected
        assert ChangingFTPFileSystem.changes == []
    ChangingFTPFileSystem.changes = [(file, bytes(100 + number)) for number in range(100)]
    with pytest.raises(BackendError, match="changed each time"):
        await read(store, "a", SuffixByteRequest(4))
    ChangingFTPFileSystem.changes = []


async def test_the_users_filesystem_is_not_changed(ftp_endpoint: FTPEndpoint, root: str) -> None:
    fs = FTPFileSystem(**ftp_endpoint.storage_options())
    store = FsspecStore(fs, root)
    await put(store, "a/b")
    assert await listed(store.list()) == ["a/b"]
    assert not fs.dircache
    store.close()
    assert fs.cat_file(f"{root}/a/b") == b"a/b"


class KeptFTPFileSystem(FTPFileSystem):
    """Is referenced by another object, as by a traceback, and can be delayed."""

    kept: ClassVar[list[FTPFileSystem]] = []
    arrived: ClassVar[threading.Event]
    gate: ClassVar[threading.Event]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept.append(self)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **kwargs: Any) -> Any:
        self.arrived.set()
        assert self.gate.wait(30)
        return super().cat_file(path, start, end, **kwargs)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[FTPFileSystem]:
    kept: list[FTPFileSystem] = []
    monkeypatch.setattr(KeptFTPFileSystem, "kept", kept)
    for name in ("arrived", "gate"):
        monkeypatch.setattr(KeptFTPFileSystem, name, threading.Event(), raising=False)
    return kept


async def test_a_closed_store_disconnects(open_store: Any, kept: list[FTPFileSystem]) -> None:
    store = open_store(cls=KeptFTPFileSystem)
    KeptFTPFileSystem.gate.set()
    await put(store, "a/b")
    assert await read(store, "a/b") == b"a/b"
    given, own = kept
    store.close()
    assert own.ftp.sock is None
    assert given.ftp.sock is not None
    assert await read(store, "a/b") == b"a/b"
    assert len(kept) == 3


async def test_a_connection_in_use_ends_after_its_use(
    open_store: Any, kept: list[FTPFileSystem]
) -> None:
    store = open_store(cls=KeptFTPFileSystem)
    await put(store, "a/b")
    reading = asyncio.create_task(read(store, "a/b"))
    await asyncio.to_thread(KeptFTPFileSystem.arrived.wait, 30)
    store.close()
    assert kept[1].ftp.sock is not None
    KeptFTPFileSystem.gate.set()
    assert await reading == b"a/b"
    assert kept[1].ftp.sock is None


class CircularFTPFileSystem(FTPFileSystem):
    """Is part of a reference cycle, as by a traceback."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.circle = self


@pytest.mark.parametrize("is_used", [False, True])
async def test_a_dropped_store_leaves_no_open_socket(
    ftp_endpoint: FTPEndpoint, root: str, monkeypatch: pytest.MonkeyPatch, is_used: bool
) -> None:
    connect = FTP.connect

    def connect_later(ftp: FTP, *args: Any, **kwargs: Any) -> str:
        # Now the filesystem is of an older generation of the garbage collector than its socket.
        gc.collect(0)
        return connect(ftp, *args, **kwargs)

    monkeypatch.setattr(FTP, "connect", connect_later)
    gc.collect()
    gc.disable()
    try:
        store = FsspecStore(CircularFTPFileSystem(**ftp_endpoint.storage_options()), root)
        if is_used:
            await put(store, "a")
        del store
        with warnings.catch_warnings(record=True) as complaints:
            warnings.simplefilter("always")
            gc.collect()
    finally:
        gc.enable()
    assert complaints == []


async def test_a_key_with_a_line_break_is_refused(open_store: Any) -> None:
    store = open_store()
    for key in ("a\nb", "a\r/b"):
        with pytest.raises(InvalidKeyError, match="line breaks"):
            await put(store, key)
    assert await listed(store.list()) == []


def test_a_forked_child_opens_another_connection(open_store: Any) -> None:
    store = open_store()
    asyncio.run(put(store, "a", data=content(50_000)))
    assert in_forked_child(lambda: asyncio.run(read(store, "a")) == content(50_000))
    assert asyncio.run(read(store, "a")) == content(50_000)
