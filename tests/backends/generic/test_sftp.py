"""The contract on an SFTP server, by fsspec's filesystem over paramiko."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from conformance import Limits, StoreConformance
from conformance.support import collect, content, listed, put, read
from forking import in_forked_child
from fsspec.implementations.sftp import SFTPFileSystem
from servers.fixtures import or_skip
from servers.sftp import SFTPEndpoint, sftp_server

from fsspec_store import FsspecStore, RangeByteRequest
from fsspec_store.errors import InvalidKeyError, KeyConflictError, StoreURLError


@pytest.fixture(scope="module")
def sftp_endpoint() -> Iterator[SFTPEndpoint]:
    with or_skip(sftp_server()) as endpoint:
        yield endpoint


class TestSFTP(StoreConformance):
    service = "SFTP"
    limits = Limits(
        key_beside_children="a name is a file or a folder",
        long_names="a file's name has at most 255 bytes",
        atomic_create="fsspec's SFTP filesystem promises no atomic create",
        compare_and_swap="SFTP knows no versions",
        examples=10,
        # fsspec's filesystems have no pages.
        many=60,
    )

    @pytest.fixture
    def make_store(self, sftp_endpoint: SFTPEndpoint) -> Iterator[Any]:
        root = sftp_endpoint.folder / str(uuid.uuid4())
        made = []

        def make(below: str = "", **options: Any) -> FsspecStore:
            options.setdefault("allow_racy_create", True)
            url = f"sftp://{root}/{below}".rstrip("/")
            made.append(FsspecStore.from_url(url, sftp_endpoint.storage_options(), **options))
            return made[-1]

        yield make
        for store in made:
            store.close()


@pytest.fixture
def store(sftp_endpoint: SFTPEndpoint) -> Iterator[FsspecStore]:
    url = f"sftp://{sftp_endpoint.folder}/{uuid.uuid4()}"
    store = FsspecStore.from_url(url, sftp_endpoint.storage_options())
    yield store
    store.close()


async def test_a_broken_connection_is_replaced(
    store: FsspecStore, sftp_endpoint: SFTPEndpoint
) -> None:
    await put(store, "a/b", data=content(100_000))
    for _ in range(2):
        sftp_endpoint.drop_connections()
        assert await read(store, "a/b") == content(100_000)
        sftp_endpoint.drop_connections()
        assert await listed(store.list()) == ["a/b"]
        sftp_endpoint.drop_connections()
        await put(store, "a/b", data=content(100_000))


async def test_the_mode_of_a_file_that_is_replaced_stays(store: FsspecStore) -> None:
    await put(store, "a", data=b"old")
    file = Path(store.path) / "a"
    file.chmod(0o600)
    await put(store, "a", data=b"new")
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_empty_folders_are_removed_up_to_the_root(store: FsspecStore) -> None:
    await put(store, "a/b/c", "a/d")
    await store.delete_dir("a/b")
    assert [path.name for path in Path(store.path).rglob("*")] == ["a", "d"]
    await store.delete("a/d")
    await store.delete_dir("a")
    assert list(Path(store.path).iterdir()) == []


async def test_all_stores_on_one_filesystem_share_another_connection(
    sftp_endpoint: SFTPEndpoint,
) -> None:
    options = sftp_endpoint.storage_options()
    fs = fsspec.filesystem("sftp", **options, skip_instance_cache=True)
    before = sftp_endpoint.logins
    root = f"{sftp_endpoint.folder}/{uuid.uuid4()}"
    stores = [FsspecStore(fs, f"{root}/{number}") for number in range(4)]
    # No connection is opened, and the event loop is not blocked, before the first operation.
    assert sftp_endpoint.logins == before
    await asyncio.gather(*(put(store, "a", "b") for store in stores))
    assert sftp_endpoint.logins == before + 1
    # The user's connection still works.
    fs.client.close()
    assert [await read(store, "b") for store in stores] == [b"b"] * 4
    for store in stores:
        store.close()
    assert await read(stores[0], "a") == b"a"
    assert sftp_endpoint.logins == before + 2


class KeptSFTPFileSystem(SFTPFileSystem):
    """Is referenced by another object, as by a traceback."""

    kept: ClassVar[list[SFTPFileSystem]] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept.append(self)


async def test_a_closed_store_disconnects(
    sftp_endpoint: SFTPEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KeptSFTPFileSystem, "kept", [])
    fs = KeptSFTPFileSystem(**sftp_endpoint.storage_options(), skip_instance_cache=True)
    store = FsspecStore(fs, f"{sftp_endpoint.folder}/{uuid.uuid4()}")
    await put(store, "a")
    own = fs.kept[1]
    assert own.client.get_transport() is not None
    store.close()
    assert own.client.get_transport() is None
    assert fs.client.get_transport() is not None
    assert await read(store, "a") == b"a"
    store.close()
    fs.client.close()


async def test_a_value_that_is_being_written_is_no_key(
    store: FsspecStore, sftp_endpoint: SFTPEndpoint
) -> None:
    await put(store, "a/b")
    name = ".fsspec-store-0123456789abcdef.tmp"
    (Path(store.path) / "a" / name).write_bytes(b"half")
    assert await listed(store.list()) == ["a/b"]
    assert await listed(store.list_dir("a")) == ["b"]
    with pytest.raises(InvalidKeyError, match="being written"):
        await read(store, f"a/{name}")
    # Completed writes leave none.
    assert sorted(path.name for path in (Path(store.path) / "a").iterdir()) == [name, "b"]
    assert [each.key for each in await collect(store.list_leftovers("a"))] == [f"a/{name}"]
    assert await store.remove_leftovers() == []
    await store.clear()
    os.utime(Path(store.path) / "a" / name, (0, 0))
    assert [each.key for each in await store.remove_leftovers()] == [f"a/{name}"]
    (Path(store.path) / "a" / name).write_bytes(b"half")
    os.utime(Path(store.path) / "a" / name, (0, 0))
    await store.clear()
    assert list(Path(store.path).iterdir()) == []


async def test_links_to_files_are_keys_and_links_to_folders_are_not_followed(
    store: FsspecStore,
) -> None:
    await put(store, "a/b", data=b"0123456789")
    root = Path(store.path)
    (root / "link").symlink_to(root / "a" / "b")
    (root / "a" / "back").symlink_to(root)
    (root / "nowhere").symlink_to(root / "missing")
    assert await listed(store.list()) == ["a/b", "link"]
    assert await read(store, "link", RangeByteRequest(2, 4)) == b"23"
    assert await store.getsize_prefix("") == 20
    assert await read(store, "nowhere") is None


async def test_a_key_below_a_key_is_a_conflict_and_loses_nothing(store: FsspecStore) -> None:
    await put(store, "a/b")
    for key in ("a", "a/b/c", "a/b/c/d"):
        with pytest.raises(KeyConflictError, match=key):
            await put(store, key, data=b"x")
    assert await read(store, "a/b") == b"a/b"
    assert await listed(store.list()) == ["a/b"]


def test_the_servers_root_is_refused(sftp_endpoint: SFTPEndpoint) -> None:
    # Its paths would be relative to the login folder.
    with pytest.raises(StoreURLError, match="name a folder"):
        FsspecStore.from_url("sftp:///", sftp_endpoint.storage_options())


def test_a_forked_child_opens_another_connection(
    store: FsspecStore, sftp_endpoint: SFTPEndpoint
) -> None:
    asyncio.run(put(store, "a", data=content(50_000)))
    before = sftp_endpoint.logins
    assert in_forked_child(lambda: asyncio.run(read(store, "a")) == content(50_000))
    assert sftp_endpoint.logins == before + 1
    assert asyncio.run(read(store, "a")) == content(50_000)
    assert sftp_endpoint.logins == before + 1


def test_nothing_is_printed_at_exit(sftp_endpoint: SFTPEndpoint) -> None:
    program = f"""
import asyncio
from fsspec_store import Buffer, FsspecStore

url = "sftp://{sftp_endpoint.folder}/{uuid.uuid4()}"
store = FsspecStore.from_url(url, {sftp_endpoint.storage_options()!r})
asyncio.run(store.set("a", Buffer.from_bytes(b"value")))
assert asyncio.run(store.get("a")).to_bytes() == b"value"
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-Walways::ResourceWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stderr, done.stdout, done.returncode) == ("", "done\n", 0)
