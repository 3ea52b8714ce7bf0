"""The one way in: what says where the data are is read as fsspec reads it, or refused clearly."""

from __future__ import annotations

import asyncio
import os
import pathlib
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import fsspec
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
import zarr.storage
from fsspec.core import url_to_fs
from fsspec.implementations.dirfs import DirFileSystem
from servers import AzureEndpoint, HTTPEndpoint
from servers.scripted import Peer, scripted_server
from upath import UPath

from fsspec_store import Buffer, FsspecStore
from fsspec_store.errors import StorageOptionError, StoreURLError
from fsspec_store.zarr import open_store

from .places import Place

DATA = np.arange(200, dtype="i4").reshape(10, 20)

KEYS = {"key": "somebody", "secret": "hidden", "endpoint_url": "http://127.0.0.1:9"}
AZURE = {"account_name": "weather", "account_key": "aGlkZGVu"}
CLIENT = {"client_kwargs": {"region_name": "eu-north-1"}}
CONFIG = {"config_kwargs": {"s3": {"addressing_style": "path"}}}

#: URLs that name a place, with their options.
URLS: list[tuple[str, dict[str, Any]]] = [
    ("data/x.zarr", {}),
    ("./data/x.zarr/", {}),
    ("~/x.zarr", {}),
    ("/", {}),
    ("/data//x.zarr", {}),
    ("/data/a b#c?d%20e", {"auto_mkdir": True}),
    ("file:///data/x.zarr", {"auto_mkdir": False}),
    ("file:///data/a%20b#c?d", {}),
    ("file:///", {}),
    ("file://data/x.zarr", {}),
    ("file:/data/x.zarr", {}),
    ("local:///data/x.zarr", {}),
    # The options of another service, as whoever moves a program to his own disk has them.
    ("/data/x.zarr", {"anon": True}),
    ("memory://x.zarr", {}),
    ("memory:///x.zarr", {}),
    ("memory:///x.zarr/", {}),
    ("memory://a//b", {}),
    ("memory://", {}),
    ("s3://bucket", KEYS),
    ("s3://bucket/", KEYS),
    ("s3://bucket/x.zarr/", KEYS),
    ("s3://bucket//a//b", KEYS),
    ("s3://bucket/a b#c?d", KEYS),
    ("s3://bucket/%41+%2F", KEYS),
    ("s3a://bucket/x.zarr", {**KEYS, **CLIENT, **CONFIG}),
    ("s3://bucket/x.zarr", {"s3": KEYS}),
    ("s3://bucket/x.zarr", {**KEYS, "asynchronous": True}),
    ("s3://bucket/x.zarr", {**KEYS, "use_listings_cache": False, "default_cache_type": "none"}),
    ("s3://bucket/x.zarr", {"profile": "lab", "skip_instance_cache": True}),
    ("gs://bucket/x.zarr", {"token": "anon"}),
    ("gcs://bucket/x.zarr/", {"token": "anon"}),
    ("az://container/x.zarr", AZURE),
    ("abfs://container/x.zarr/", AZURE),
    ("az://container@weather.blob.core.windows.net/x.zarr", {"account_key": "aGlkZGVu"}),
    ("abfs://container@weather.dfs.core.windows.net/x.zarr", {"account_key": "aGlkZGVu"}),
    ("abfss://container@weather.dfs.core.windows.net", {"account_key": "aGlkZGVu"}),
    ("http://host/x.zarr", {}),
    ("http://host:8080/a//x.zarr/", {"headers": {"a": "b"}}),
    ("https://host/a%20b", {"client_kwargs": {"trust_env": True}}),
    ("https://host/x.zarr?signature=a/b+c==", {}),
    ("simplecache::s3://bucket/x.zarr", {"s3": KEYS, "simplecache": {"cache_storage": "cache"}}),
    ("filecache::memory://x.zarr/", {"filecache": {"cache_storage": "cache"}}),
    ("blockcache::s3://bucket/x.zarr", {"s3": KEYS, "blockcache": {"cache_storage": "cache"}}),
    ("dir://below::s3://bucket/base", {"s3": KEYS}),
    ("dir://below::memory://base", {}),
]


@pytest.mark.parametrize(("url", "options"), URLS, ids=[url for url, _ in URLS])
def test_a_url_is_read_as_fsspec_reads_it(
    url: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fs, path = url_to_fs(url, **options)
    if isinstance(fs, DirFileSystem):
        fs, path = fs.fs, fs._join(path)
    store = open_store(url, options)
    assert type(store.fs) is type(fs)
    assert store.fs.storage_options == fs.storage_options
    # No key of a store begins with "/".
    assert store.path == (path if "?" in path and "http" in url else path.rstrip("/"))
    assert "hidden" not in f"{store!r} {store}"
    # What is shown is a URL of the same place, for the same account; some of it is not shown.
    if "***" not in store.url and "@" not in url:
        _, place = url_to_fs(store.url, **options.get("s3", options))
        assert place.rstrip("/") == store.path


def test_options_of_pandas_xarray_and_dask_open_a_bucket(place: Place) -> None:
    zarr.create_array(store=place.open(), data=DATA, chunks=(5, 5))
    for more in (
        {"asynchronous": True},
        {"use_listings_cache": False, "listings_expiry_time": 1, "default_cache_type": "none"},
        {"skip_instance_cache": True},
        {"config_kwargs": {"s3": {"addressing_style": "path"}, "connect_timeout": 3}},
        {"default_block_size": 2**20, "max_concurrency": 2, "version_aware": False},
    ):
        with open_store(f"{place.url}/data.zarr", {**place.options, **more}) as store:
            np.testing.assert_array_equal(zarr.open_array(store=store, mode="r")[:], DATA)
            store.sync.set("beside", Buffer.from_bytes(b"x"))
            assert "beside" in list(store.sync.list_dir(""))


def test_one_url_and_one_set_of_options_serve_everybody(place: Place) -> None:
    url, options = f"{place.url}/data.zarr", place.options
    ds = xr.Dataset({"air": (("y", "x"), DATA)})
    ds.to_zarr(open_store(url, options), mode="w", consolidated=False)
    place.open("tables").sync.set("table.csv", Buffer.from_bytes(b"day,air\n1,2\n"))
    table = pd.read_csv(f"{place.url}/tables/table.csv", storage_options=options)
    assert table["air"].tolist() == [2]
    for opened in (
        xr.open_zarr(url, storage_options=options, consolidated=False),
        xr.open_zarr(open_store(url, storage_options=options), consolidated=False),
    ):
        with opened:
            xr.testing.assert_identical(opened.load(), ds)
    for array in (
        da.from_zarr(url, component="air", storage_options=options),
        da.from_zarr(open_store(url, storage_options=options), component="air"),
    ):
        np.testing.assert_array_equal(array.compute(scheduler="threads"), DATA)


def test_an_account_in_the_url_is_the_account(azurite_endpoint: AzureEndpoint) -> None:
    container = azurite_endpoint.make_container()
    options = azurite_endpoint.storage_options()
    account = options.get("account_name", "devstoreaccount1")
    with open_store(f"abfs://{container}/x.zarr", options) as store:
        zarr.create_array(store=store, data=DATA, chunks=(5, 5))
    for host in ("dfs.core.windows.net", "blob.core.windows.net"):
        url = f"abfs://{container}@{account}.{host}/x.zarr"
        with open_store(url, options, read_only=True) as store:
            np.testing.assert_array_equal(zarr.open_array(store=store, mode="r")[:], DATA)


def test_a_query_is_sent_with_every_request(nginx_endpoint: HTTPEndpoint) -> None:
    folder = nginx_endpoint.folder / "queried.zarr"
    zarr.create_array(store=open_store(folder), data=DATA, chunks=(5, 5))
    url = f"{nginx_endpoint.unlisted_url}/queried.zarr?signature=hidden"
    with open_store(url, read_only=True) as store:
        np.testing.assert_array_equal(zarr.open_array(store=store, mode="r")[:], DATA)
        assert "hidden" not in f"{store!r} {store} {store.url}"


# -- Things that say a place -----------------------------------------------------------------------


def chained_upath(place: Place, folder: Path) -> Any:
    options = {"s3": place.options, "simplecache": {"cache_storage": str(folder)}}
    return UPath(f"simplecache::{place.url}/data.zarr", **options)


def mapper_of_a_folder(place: Place, _: Path) -> Any:
    fs = fsspec.filesystem("s3", **place.options)
    return DirFileSystem(place.path, fs).get_mapper("data.zarr")


def mapper_of_an_asynchronous_filesystem(place: Place, _: Path) -> Any:
    fs = fsspec.filesystem("s3", asynchronous=True, **place.options)
    return fs.get_mapper(f"{place.path}/data.zarr")


def mapper_that_was_checked(place: Place, _: Path) -> Any:
    return fsspec.get_mapper(f"{place.url}/data.zarr", check=False, create=False, **place.options)


@pytest.mark.parametrize(
    "hold",
    [
        chained_upath,
        mapper_of_a_folder,
        mapper_of_an_asynchronous_filesystem,
        mapper_that_was_checked,
    ],
    ids=lambda way: way.__name__,
)
def test_what_wraps_a_filesystem_is_the_same_place(
    place: Place, tmp_path: Path, hold: Callable[[Place, Path], Any]
) -> None:
    zarr.create_array(store=place.open(), data=DATA, chunks=(5, 5))
    with open_store(hold(place, tmp_path), read_only=True) as store:
        assert store.url == place.open().url
        np.testing.assert_array_equal(zarr.open_array(store=store, mode="r")[:], DATA)


def test_folders_by_every_kind_of_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    zarr.create_array(store=open_store("below/data.zarr"), data=DATA, chunks=(5, 5))
    for path in (
        Path("below/data.zarr"),
        pathlib.PurePosixPath(tmp_path / "below" / "data.zarr"),
        UPath("below/data.zarr"),
        UPath(f"file://{tmp_path}") / "below" / "data.zarr",
        f"file://{tmp_path}/below/data.zarr/",
        "~/below/data.zarr",
    ):
        with open_store(path, read_only=True) as store:
            assert store.url == f"file://{tmp_path}/below/data.zarr"
            np.testing.assert_array_equal(zarr.open_array(store=store, mode="r")[:], DATA)


class Bytes:
    """A path object that is bytes, as `os.scandir` of bytes gives."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __fspath__(self) -> bytes:
        return os.fsencode(self.path)


#: Names of folders that are something else in a URL, a pattern or a shell.
NAMES = [
    "run::a.zarr",
    "run::s3:",
    "simplecache::memory:",
    "file:x",
    "data:x/y",
    "s3:/bucket/x",
    "arn:aws:s3:::bucket/x",
    "~",
    "~root/x",
    "a*b[c]?d#e%20f",
    " a b ",
    "a\n",
    "C:\\x",
    "\udcff",
    "$HOME",
    "-",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_object_is_a_literal_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    place = tmp_path / name
    zarr.create_array(store=open_store(Path(name)), data=DATA, chunks=(5, 5))
    assert (place / "zarr.json").is_file()
    first = FsspecStore.from_url(Path(name))
    for store in (
        first,
        FsspecStore.from_url(place),
        FsspecStore.from_url(pathlib.PurePosixPath(name)),
        FsspecStore.from_url(UPath(Path(name))),
        FsspecStore.from_upath(UPath(place)),
        FsspecStore.from_url(Bytes(name)),  # type: ignore[arg-type]
        FsspecStore(first.fs, str(place)),
        FsspecStore(first.fs, first.path),
        pickle.loads(pickle.dumps(first)),
        first.with_read_only(True).with_read_only(False),
        # A URL begins and ends without white space.
        *([FsspecStore.from_url(first.url)] if name.strip() == name else []),
    ):
        assert store == first
        assert store.path == str(place)
        assert store.url == f"file://{place}"
        assert store.sync.exists("zarr.json")
    reader = zarr.open_array(store=open_store(Path(name), {"auto_mkdir": False}), mode="r")
    np.testing.assert_array_equal(reader[:], DATA)
    assert {path.name for path in tmp_path.iterdir()} == {Path(name).parts[0]}


def test_a_folder_stays_the_same_when_the_working_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fs = fsspec.filesystem("file")
    stores = [FsspecStore.from_url("x"), FsspecStore.from_url(Path("x")), FsspecStore(fs, "x")]
    stores.append(FsspecStore(fs, "/"))
    # A home that no user has.
    stores += [FsspecStore.from_url("~no_such_user/x"), FsspecStore(fs, "~no_such_user/x")]
    monkeypatch.chdir("/")
    for store in stores:
        assert os.path.isabs(store.path or "/")
        assert store.with_read_only(True).path == store.path
        assert pickle.loads(pickle.dumps(store)) == store
        assert open_store(store).path == store.path


def test_two_names_with_colons_are_two_places(tmp_path: Path) -> None:
    for folder in (tmp_path, str(tmp_path), f"file://{tmp_path}"):
        stores = []
        for name in ("run::a.zarr", "run::b.zarr", "run"):
            where = folder / name if isinstance(folder, Path) else f"{folder}/{name}"
            stores.append(FsspecStore.from_url(where))
            stores[-1].sync.set("k", Buffer.from_bytes(name.encode()))
        assert [store.sync.get("k").to_bytes() for store in stores] == [  # type: ignore[union-attr]
            b"run::a.zarr",
            b"run::b.zarr",
            b"run",
        ]
        assert len({*stores}) == 3


@pytest.mark.parametrize("path", [Path("a\0b"), Path("\ud800")])
def test_a_path_that_no_system_has(path: Path) -> None:
    with pytest.raises(StoreURLError, match="path"):
        open_store(path)


@pytest.mark.parametrize("url", ["\ud800", "/a\ud800/b", "file:///\ud800"])
def test_a_text_that_no_system_has_for_a_path(url: str) -> None:
    with pytest.raises(StoreURLError, match="cannot be encoded as a file name"):
        open_store(url)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="cannot: this machine has no IPv6")
async def test_a_web_server_by_its_ipv6_address(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nvalue")

    async with scripted_server(script, host="::1") as server:
        url = f"http://[::1]:{server.port}/x::y"
        for chain in ("", "simplecache::"):
            options = {"cache_storage": str(tmp_path)} if chain else {}
            async with FsspecStore.from_url(chain + url, options) as store:
                value = await store.get("a")
                assert value is not None
                assert value.to_bytes() == b"value"
                assert store.url == url


@pytest.mark.parametrize("transport", ["auto", "library"])
async def test_an_access_point_by_its_arn(transport: str) -> None:
    asked: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            asked.append((await peer.request()).split()[1])
            await peer.send(b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 5\r\n\r\nvalue')

    async with scripted_server(script) as server:
        options = {
            "key": "k",
            "secret": "s",
            "use_ssl": False,
            "client_kwargs": {"region_name": "eu-west-1"},
            "config_kwargs": {"proxies": {"http": f"http://{server.host}:{server.port}"}},
        }
        url = "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/name/x.zarr"
        async with FsspecStore.from_url(url, options, transport=transport) as store:
            assert await store.get("c/0") is not None
    host = b"name-123456789012.s3-accesspoint.eu-west-1.amazonaws.com"
    assert asked == [b"http://" + host + b"/x.zarr/c/0"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("bucket/x", "s3://bucket/x"),
        ("b/x", "s3://b/x"),
        ("arn:aws:s3:::b/x", "s3://b/x"),
        (Path("s3://b/x"), "s3://b/x"),
        (Path("https://host/x"), "https://host/x"),
        ("arn:aws:s3::123456789012:accesspoint/x.mrap/y", "s3://arn:aws:s3::123456789012:access"),
    ],
)
def test_the_error_of_a_missing_folder_suggests_a_bucket_or_url(
    given: Any, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(given)
    what = "its URL" if meant.startswith("https") else "a bucket"
    said = f"no such folder; {what} is {meant}"
    with pytest.raises(FileNotFoundError) as caught:
        zarr.open_group(store, mode="r")
    assert said in str(caught.value)
    with pytest.raises(FileNotFoundError) as caught:
        store.sync.getsize("zarr.json")
    assert said in str(caught.value)
    zarr.open_group(store, mode="w")
    assert "no such folder" not in repr(store)
    assert "no such folder" in repr(open_store(tmp_path / "nothing"))


def test_the_error_of_a_file_in_a_folders_place_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.zarr").write_bytes(b"an archive")
    store = open_store("data.zarr")
    assert repr(store).endswith("(a file and not a folder)")
    with pytest.raises(FileNotFoundError, match="a file and not a folder"):
        store.sync.getsize("zarr.json")


def test_the_root_of_a_disk_is_no_other_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"found")
    store = open_store("/", read_only=True)
    assert repr(store) == "ZarrStore('file:///', read_only=True)"
    assert store.url == "file:///"
    assert store.sync.get(f"{tmp_path}/a".lstrip("/")).to_bytes() == b"found"
    assert store == open_store("file:///", read_only=True)


# -- Things that do not ----------------------------------------------------------------------------


def memory_store() -> Any:
    return open_store("memory://refused.zarr")


NO_PLACES: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "a number": lambda: 3,
    "bytes": lambda: b"s3://bucket/x",
    "a list of URLs": lambda: ["memory://x"],
    "a dictionary": dict,
    "a filesystem": lambda: fsspec.filesystem("memory"),
    "a filesystem of a folder": lambda: DirFileSystem("/x", fsspec.filesystem("memory")),
    "a file to open": lambda: fsspec.open("memory://refused/zarr.json"),
    "a store": memory_store,
    "a store that is read": lambda: memory_store().with_read_only(True),
    "zarr's memory": zarr.storage.MemoryStore,
    "a store of zarr's": lambda: zarr.storage.FsspecStore(
        fsspec.filesystem("s3", asynchronous=True, **KEYS), path="bucket/x", read_only=True
    ),
    "a place in a store": lambda: asyncio.run(zarr.storage.StorePath.open(memory_store(), "", "a")),
    "a group": lambda: zarr.open_group(store=memory_store(), mode="a"),
}


@pytest.mark.parametrize("name", NO_PLACES)
def test_an_argument_without_a_location_is_rejected(name: str) -> None:
    thing = NO_PLACES[name]()
    with pytest.raises(
        TypeError, match=rf"a URL must be a str or a path, got {type(thing).__name__}"
    ):
        open_store(thing)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a filesystem", r"FsspecStore\(fs, path\)"),
        ("a store that is read", "use that store"),
        ("a store of zarr's", "use that store"),
        ("a place in a store", "use that store"),
        ("a group", "use that store"),
    ],
)
def test_the_error_of_a_wrong_argument_has_advice(name: str, advice: str) -> None:
    with pytest.raises(TypeError, match=advice):
        open_store(NO_PLACES[name]())


def test_a_store_without_zarr_is_opened_with_its_options() -> None:
    options = {"timeout": 7, "retries": 1, "missing_on_forbidden": True, "max_concurrency": 3}
    core = FsspecStore.from_url("memory://core.zarr", {"anon": True}, **options)
    store = open_store(core)
    assert store == open_store("memory://core.zarr", {"anon": True}, **options)
    zarr.create_array(store=store, data=DATA, chunks=(5, 5))
    assert core.sync.exists("zarr.json")
    assert open_store(core, retries=2) == open_store(
        "memory://core.zarr", {"anon": True}, **{**options, "retries": 2}
    )
    assert open_store(core.with_read_only(True)).read_only
    assert open_store(core, read_only=True).read_only
    with pytest.raises(TypeError, match="storage_options given with a FsspecStore"):
        open_store(core, {"anon": True})


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("readonly", "did you mean read_only"),
        ("read_onyl", "did you mean read_only"),
        ("ReadOnly", "did you mean read_only"),
        ("time_out", "did you mean timeout"),
        ("retry", "did you mean retries"),
        ("storage_option", "did you mean storage_options"),
    ],
)
def test_a_misspelt_option_of_the_store(option: str, advice: str) -> None:
    for opened in (open_store, FsspecStore.from_url):
        with pytest.raises(StorageOptionError, match=advice):
            opened("memory://x", **{option: True})  # type: ignore[operator]


@pytest.mark.parametrize(
    ("option", "advice"), [("anon", r"storage_options=\{'anon': \.\.\.\}"), ("mode", "read_only")]
)
def test_the_error_of_a_misplaced_option_names_its_place(option: str, advice: str) -> None:
    with pytest.raises(StorageOptionError, match=advice) as caught:
        open_store("s3://bucket/x.zarr", **{option: "hidden"})
    assert "hidden" not in str(caught.value)
