"""One cache folder, shared by stores, threads and processes: complete copies or none."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import signal
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pytest
from conformance.support import content, put, read
from fsspec.implementations.memory import MemoryFileSystem
from servers.scripted import Peer, scripted_server

from fsspec_store import FsspecStore, RangeByteRequest, SuffixByteRequest
from fsspec_store.errors import BackendError

LAYERS = ["simplecache", "filecache", "blockcache"]
WHOLE = ["simplecache", "filecache"]
MEBIBYTE = 1 << 20

READER = """
import hashlib, json, sys
from fsspec_store import FsspecStore

url, options = json.loads(sys.argv[1])
value = FsspecStore.from_url(url, options, read_only=True).sync.get("a")
print(hashlib.sha256(value.to_bytes()).hexdigest())
"""


@dataclass
class Gate:
    """A file of a web server: the first readers get half of it until the gate is opened."""

    data: bytes
    held: int
    url: str = ""
    reads: int = 0
    requests: int = 0
    halves: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, peer: Peer) -> None:
        while True:
            try:
                request = (await peer.request()).lower()
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            self.requests += 1
            part = re.search(rb"range: bytes=(\d+)-(\d+)", request)
            body = self.data
            status = b"200 OK"
            if part:
                body = body[int(part[1]) : int(part[2]) + 1]
                status = b"206 Partial Content\r\nContent-Range: bytes %b-%b/%d" % (
                    *part.groups(),
                    len(self.data),
                )
            head = b'HTTP/1.1 %b\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n' % (status, len(body))
            if request.startswith(b"head"):
                await peer.send(head)
                continue
            self.reads += 1
            half = len(body) // 2
            await peer.send(head + body[:half])
            if self.reads <= self.held:
                self.halves.release()
                await self.opened.wait()
            await peer.send(body[half:])


@asynccontextmanager
async def gate(data: bytes, held: int) -> AsyncIterator[Gate]:
    made = Gate(data, held)
    async with scripted_server(made.serve) as server:
        made.url = f"http://{server.host}:{server.port}"
        yield made


def place(gate: Gate, layer: str, folder: Path) -> tuple[str, dict[str, Any]]:
    return f"{layer}::{gate.url}/x", {layer: {"cache_storage": str(folder)}}


async def start_reader(url: str, options: dict[str, Any]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", READER, json.dumps([url, options]), stdout=asyncio.subprocess.PIPE
    )


def temporaries(folder: Path) -> list[Path]:
    return list(folder.rglob("*.tmp*"))


@pytest.mark.parametrize("layer", LAYERS)
async def test_a_killed_process_leaves_nothing_that_is_read(layer: str, tmp_path: Path) -> None:
    data = content(6 * MEBIBYTE)
    async with gate(data, held=1) as served:
        where = place(served, layer, tmp_path)
        reader = await start_reader(*where)
        await served.halves.acquire()
        reader.send_signal(signal.SIGKILL)
        await reader.communicate()
        store = FsspecStore.from_url(*where, read_only=True)
        assert (
            await read(store, "a", RangeByteRequest(5 * MEBIBYTE, 5 * MEBIBYTE + 9))
            == data[5 * MEBIBYTE : 5 * MEBIBYTE + 9]
        )
        assert await read(store, "a") == data
        assert await read(FsspecStore.from_url(*where, read_only=True), "a") == data
        if layer != "blockcache":
            # Its temporary file is removed with the first copy that is made an hour later.
            assert temporaries(tmp_path)
        for path in temporaries(tmp_path):
            os.utime(path, (0, 0))
        assert await read(store, "b") == data
        assert not temporaries(tmp_path)
        served.opened.set()


@pytest.mark.parametrize("layer", LAYERS)
async def test_a_copy_that_another_process_makes_is_neither_read_nor_waited_for(
    layer: str, tmp_path: Path
) -> None:
    data = content(3 * MEBIBYTE)
    async with gate(data, held=1) as served:
        where = place(served, layer, tmp_path)
        early = await start_reader(*where)
        await served.halves.acquire()
        store = FsspecStore.from_url(*where, read_only=True)
        assert await read(store, "a") == data
        assert served.reads == 2
        served.opened.set()
        digest = hashlib.sha256(data).hexdigest().encode() + b"\n"
        assert (await early.communicate())[0] == digest
        # One of the two copies is left, and later readers send no request.
        assert sum(path.is_file() for path in tmp_path.rglob("*")) == 1
        before = served.requests
        late = await start_reader(*where)
        assert (await late.communicate())[0] == digest
        assert await read(store, "a") == data
        assert served.requests == before


@pytest.mark.parametrize("layer", LAYERS)
async def test_stores_of_a_process_copy_a_value_once(layer: str, tmp_path: Path) -> None:
    data = content(MEBIBYTE)
    async with gate(data, held=1) as served:
        url, options = place(served, layer, tmp_path)
        stores = [FsspecStore.from_url(url, options, read_only=True) for _ in range(3)]
        reads = [asyncio.create_task(read(store, "a")) for store in stores for _ in range(3)]
        await served.halves.acquire()
        served.opened.set()
        assert await asyncio.gather(*reads) == [data] * 9
        assert served.reads == 1


# -- What fsspec left, in another process or another year ------------------------------------------


@pytest.fixture
def root() -> Iterator[str]:
    root = f"/{uuid.uuid4()}"
    yield root
    fs = MemoryFileSystem()
    if fs.exists(root):
        fs.rm(root, recursive=True)


def cached(
    layer: str, root: str, folder: Path | list[str], fs: Any = None, **options: Any
) -> FsspecStore:
    storage = [str(path) for path in folder] if isinstance(folder, list) else str(folder)
    layered = fsspec.filesystem(
        layer,
        fs=fs or MemoryFileSystem(),
        cache_storage=storage,
        skip_instance_cache=True,
        **options,
    )
    return FsspecStore(layered, root, allow_racy_create=True)


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def make_hole(path: Path) -> None:
    # An incomplete copy whose parts arrive unordered, without its first part.
    data, size = path.read_bytes()[-4096:], path.stat().st_size
    os.truncate(path, 0)
    with path.open("r+b") as file:
        file.seek(size - len(data))
        file.write(data)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


@pytest.mark.parametrize("spoil", [halve, make_hole, lengthen])
@pytest.mark.parametrize("layer", WHOLE)
async def test_partial_copies_of_fsspec_are_copied_again(
    layer: str, spoil: Callable[[Path], None], root: str, tmp_path: Path
) -> None:
    value = content(300_000)
    MemoryFileSystem().pipe_file(f"{root}/a", value)
    other = fsspec.filesystem(layer, fs=MemoryFileSystem(), cache_storage=str(tmp_path))
    with other.open(f"{root}/a") as copied:
        assert copied.read() == value
    file = tmp_path / other._mapper(f"{root}/a")
    spoil(file)
    store = cached(layer, root, tmp_path)
    assert await read(store, "a", SuffixByteRequest(10)) == value[-10:]
    assert await read(store, "a") == value


@pytest.mark.parametrize("layer", WHOLE)
async def test_complete_copies_of_fsspec_are_used_until_they_are_overwritten(
    layer: str, root: str, tmp_path: Path
) -> None:
    value = content(1000)
    MemoryFileSystem().pipe_file(f"{root}/a", value)
    other = fsspec.filesystem(layer, fs=MemoryFileSystem(), cache_storage=str(tmp_path))
    with other.open(f"{root}/a") as copied:
        assert copied.read() == value
    file = tmp_path / other._mapper(f"{root}/a")
    # Identified by its unique bytes.
    mark = b"copied".ljust(1000)
    file.write_bytes(mark)
    store = cached(layer, root, tmp_path)
    assert await read(store, "a") == mark
    MemoryFileSystem().rm_file(f"{root}/a")
    # One request was sent.
    assert await read(store, "a") == mark
    MemoryFileSystem().pipe_file(f"{root}/a", value)
    file.write_bytes(value[:500])
    assert await read(store, "a") == value


@pytest.mark.parametrize("layer", LAYERS)
async def test_a_copy_that_a_power_cut_shortened_is_made_again(
    layer: str, root: str, tmp_path: Path
) -> None:
    store = cached(layer, root, tmp_path)
    await put(store, "a", data=content(1000))
    await read(store, "a")
    copies = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "cache"]
    assert copies
    for path in copies:
        os.truncate(path, 10)
    assert await read(store, "a") == content(1000)


# -- Values that are not the same, though their names are ------------------------------------------


@pytest.mark.parametrize("layer", LAYERS)
async def test_equal_paths_of_different_services(layer: str, tmp_path: Path) -> None:
    for number in "12":
        with zipfile.ZipFile(tmp_path / f"{number}.zip", "w") as archive:
            archive.writestr("x/a", number)
    options = {layer: {"cache_storage": str(tmp_path / "copies")}}
    for number in "1212":
        url = f"{layer}::zip://x::file://{tmp_path}/{number}.zip"
        assert await read(FsspecStore.from_url(url, options), "a") == number.encode()


@pytest.mark.parametrize("layer", LAYERS)
async def test_names_that_are_the_same_in_every_folder(
    layer: str, root: str, tmp_path: Path
) -> None:
    store = cached(layer, root, tmp_path, same_names=True)
    await put(store, "c/0/0", "c/1/0")
    for _ in range(2):
        assert await read(store, "c/0/0") == b"c/0/0"
        assert await read(store, "c/1/0") == b"c/1/0"


# -- Changes ---------------------------------------------------------------------------------------


class SlowFileSystem(MemoryFileSystem):
    """Starts to copy, and continues when the test sets an event."""

    opens_late = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.begun, self.may_continue = threading.Event(), threading.Event()

    def get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        data = self.cat_file(rpath)
        file = None if self.opens_late else open(lpath, "wb")  # noqa: SIM115
        self.begun.set()
        assert self.may_continue.wait(30)
        Path(lpath).parent.mkdir(exist_ok=True, parents=True)
        with file or open(lpath, "wb") as target:
            target.write(data)


class SlowAndLateFileSystem(SlowFileSystem):
    """Opens the file it copies to when the copy is nearly over."""

    opens_late = True


@pytest.mark.parametrize("slow", [SlowFileSystem, SlowAndLateFileSystem])
@pytest.mark.parametrize("layer", WHOLE)
async def test_a_copy_that_began_before_a_change_is_not_kept(
    layer: str, slow: type[SlowFileSystem], root: str, tmp_path: Path
) -> None:
    fs = slow(skip_instance_cache=True)
    # A filesystem without versions: only the cache folder shows the change.
    fs.info = lambda path, **_: {"name": path, "type": "file", "size": 3}  # type: ignore[method-assign]
    reader, writer = cached(layer, root, tmp_path, fs), cached(layer, root, tmp_path)
    await put(writer, "a", data=b"old")
    reading = asyncio.create_task(read(reader, "a"))
    assert await asyncio.to_thread(fs.begun.wait, 30)
    await put(writer, "a", data=b"new")
    fs.may_continue.set()
    assert await reading in (b"old", b"new")
    assert await read(reader, "a") == b"new"
    assert await read(writer, "a") == b"new"
    assert not temporaries(tmp_path)


async def test_a_copy_that_takes_hours_is_kept(root: str, tmp_path: Path) -> None:
    fs = SlowFileSystem(skip_instance_cache=True)
    store, other = cached("simplecache", root, tmp_path, fs), cached("simplecache", root, tmp_path)
    await put(other, "a", "b")
    reading = asyncio.create_task(read(store, "a"))
    assert await asyncio.to_thread(fs.begun.wait, 30)
    for path in tmp_path.rglob("*.begun"):
        os.utime(path, (0, 0))
    assert await read(other, "b") == b"b"
    fs.may_continue.set()
    assert await reading == b"a"
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 2


class LosingFileSystem(MemoryFileSystem):
    """Changes values, and loses the response."""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        super().pipe_file(path, value)
        raise ConnectionResetError

    def rm_file(self, path: str) -> None:
        super().rm_file(path)
        raise ConnectionResetError


@pytest.mark.parametrize("layer", LAYERS)
async def test_a_change_that_failed_may_have_happened(
    layer: str, root: str, tmp_path: Path
) -> None:
    MemoryFileSystem().pipe_file(f"{root}/a", b"old")
    store = cached(layer, root, tmp_path, LosingFileSystem(skip_instance_cache=True))
    assert await read(store, "a") == b"old"
    with pytest.raises(BackendError):
        await put(store, "a", data=b"new")
    assert await read(store, "a") == b"new"
    await store.delete("a")
    assert await read(store, "a") is None


class OverwrittenFileSystem(MemoryFileSystem):
    """A value that is overwritten in the middle of the first copy."""

    overwritten = False

    def get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        data = self.cat_file(rpath)
        if not self.overwritten:
            self.overwritten = True
            self.pipe_file(rpath, bytes(len(data)))
            data = data[: len(data) // 2] + bytes(len(data) - len(data) // 2)
        Path(lpath).write_bytes(data)


@pytest.mark.parametrize("layer", WHOLE)
async def test_a_copy_is_of_one_version(layer: str, root: str, tmp_path: Path) -> None:
    MemoryFileSystem().pipe_file(f"{root}/a", content(1000))
    store = cached(layer, root, tmp_path, OverwrittenFileSystem(skip_instance_cache=True))
    assert await read(store, "a") == bytes(1000)


async def test_blocks_are_of_one_version_and_only_what_is_read(root: str, tmp_path: Path) -> None:
    old, new = bytes(9 * MEBIBYTE), content(9 * MEBIBYTE)
    MemoryFileSystem().pipe_file(f"{root}/a", old)
    store = cached("blockcache", root, tmp_path)
    assert await read(store, "a", SuffixByteRequest(10)) == old[-10:]
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == MEBIBYTE
    MemoryFileSystem().pipe_file(f"{root}/a", new)
    # The block that was copied, however old.
    assert await read(store, "a", SuffixByteRequest(20)) == old[-20:]
    # The other blocks of its version are no longer available.
    assert await read(store, "a") == new
    assert await read(store, "a", SuffixByteRequest(20)) == new[-20:]
    MemoryFileSystem().pipe_file(f"{root}/b", old)
    assert await read(store, "b", RangeByteRequest(0, 1)) == old[:1]
    MemoryFileSystem().pipe_file(f"{root}/b", b"shorter")
    assert await read(store, "b") == b"shorter"
    middle = RangeByteRequest(3 * MEBIBYTE, 8 * MEBIBYTE + 1)
    assert (
        await read(cached("blockcache", root, tmp_path), "a", middle)
        == new[middle.start : middle.end]
    )


@pytest.mark.parametrize("layer", LAYERS)
async def test_folders_that_may_only_be_read(layer: str, root: str, tmp_path: Path) -> None:
    first = cached(layer, root, tmp_path / "read")
    await put(first, "a", "b")
    assert await read(first, "a") == b"a"
    store = cached(layer, root, [str(tmp_path / "read"), str(tmp_path / "written")])
    MemoryFileSystem().pipe_file(f"{root}/a", b"changed")
    assert await read(store, "a") == b"a"
    # A change by a store takes effect, although the copy there cannot be removed.
    await put(store, "a", data=b"by a store")
    assert await read(store, "a") == b"by a store"
    again = cached(layer, root, [str(tmp_path / "read"), str(tmp_path / "written")])
    assert await read(again, "a") == b"by a store"


@pytest.mark.parametrize("layer", ["filecache", "blockcache"])
async def test_copies_expire(layer: str, root: str, tmp_path: Path) -> None:
    store = cached(layer, root, tmp_path, expiry_time=1e-6)
    for value in (b"one", b"two"):
        MemoryFileSystem().pipe_file(f"{root}/a", value)
        assert await read(store, "a") == value
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 1


@pytest.mark.parametrize("layer", ["filecache", "blockcache"])
async def test_copies_made_while_the_clock_was_ahead_expire(
    layer: str, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = cached(layer, root, tmp_path, expiry_time=1000)
    MemoryFileSystem().pipe_file(f"{root}/a", b"one")
    with monkeypatch.context() as patch:
        ahead = time.time_ns() + 10**18
        patch.setattr(time, "time_ns", lambda: ahead)
        patch.setattr(time, "time", lambda: ahead / 1e9)
        assert await read(store, "a") == b"one"
    MemoryFileSystem().pipe_file(f"{root}/a", b"two")
    assert await read(store, "a") == b"two"
    MemoryFileSystem().pipe_file(f"{root}/a", b"new")
    # That copy is kept until it expires.
    assert await read(store, "a") == b"two"
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 1


@pytest.mark.parametrize("made", ["null", '"now"', "1e18"])
async def test_fsspecs_copies_of_unknown_age_are_not_used(
    made: str, root: str, tmp_path: Path
) -> None:
    MemoryFileSystem().pipe_file(f"{root}/a", b"value")
    uid = json.dumps(MemoryFileSystem().ukey(f"{root}/a"))
    details = f'"blocks": true, "time": {made}, "fn": "x", "uid": {uid}'
    (tmp_path / "cache").write_text(f'{{"{root}/a": {{{details}}}}}')
    (tmp_path / "x").write_bytes(b"older")
    assert await read(cached("filecache", root, tmp_path, expiry_time=1000), "a") == b"value"


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("unknown", ["size", "created"])
async def test_values_whose_size_or_version_is_not_known(
    layer: str, unknown: str, root: str, tmp_path: Path
) -> None:
    class Silent(MemoryFileSystem):
        def info(self, path: str, **kwargs: Any) -> Any:
            return {**super().info(path, **kwargs), unknown: None}

    MemoryFileSystem().pipe_file(f"{root}/a", b"0123")
    store = cached(layer, root, tmp_path, Silent(skip_instance_cache=True))
    assert await read(store, "a", RangeByteRequest(1, 3)) == b"12"
    MemoryFileSystem().pipe_file(f"{root}/a", b"4567")
    # Blocks of two versions could not be distinguished, so there is no copy.
    assert await read(store, "a") == (b"4567" if layer == "blockcache" else b"0123")


@pytest.mark.parametrize("layer", LAYERS)
async def test_users_who_may_write_to_the_folder_may_write_to_its_folders(
    layer: str, root: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o770)
    store = cached(layer, root, tmp_path)
    await put(store, "a")
    await read(store, "a")
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_dir()}
    assert modes == {0o770}


@contextmanager
def without_privileges() -> Iterator[None]:
    """Run without root's privileges: root may write whatever the mode is."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("layer", LAYERS)
async def test_a_folder_that_cannot_be_written_is_named(layer: str, root: str) -> None:
    # Not below pytest's folder, which other users cannot read.
    with tempfile.TemporaryDirectory() as folder:
        store = cached(layer, root, Path(folder))
        await put(store, "a")
        Path(folder).chmod(0o555)
        with without_privileges(), pytest.raises(BackendError, match="set cache_storage"):
            await read(store, "a")
