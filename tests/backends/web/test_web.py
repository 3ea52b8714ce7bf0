"""Web servers: the contract's reading rules on nginx, and unexpected behaviour of servers."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import fsspec
import pytest
from conformance import Limits, StoreConformance
from conformance.support import collect, listed, read
from fsspec.implementations.http import HTTPFileSystem
from servers import HTTPEndpoint
from servers.fault_proxy import Answer, Fault, FaultProxy, fault_proxy
from servers.fixtures import or_skip
from servers.rclone import rclone_web_server
from servers.scripted import Peer, scripted_server

from fsspec_store import Buffer, FsspecStore, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from fsspec_store._http.content_range import MAX_DISCARDED_BYTES
from fsspec_store.errors import (
    AccessDeniedError,
    BackendError,
    ByteRangeError,
    StorageOptionError,
    StoreURLError,
    UnsupportedOperationError,
)

DATA = b"0123456789"
PARTS = [
    (RangeByteRequest(2, 4), b"23"),
    (RangeByteRequest(5, 20), b"56789"),
    (OffsetByteRequest(0), DATA),
    (OffsetByteRequest(7), b"789"),
    (SuffixByteRequest(3), b"789"),
    (SuffixByteRequest(30), DATA),
]

_places = itertools.count()
#: The folder behind the beginning of a URL.
_folders: dict[str, Path] = {}


class ReadOverHTTP(FsspecStore):
    """Reads from a web server; what it writes goes to the folder that the server serves.

    The rules of reading have to write something first.
    """

    supports_writes = True
    supports_deletes = True
    supports_partial_writes = True

    @property
    def beside(self) -> FsspecStore:
        self._is_open = True
        served = next(url for url in _folders if self.path.startswith(url))
        folder = _folders[served] / self.path[len(served) :].strip("/")
        return FsspecStore.from_url(folder, read_only=self.read_only)

    async def set(self, key: str, value: Buffer, *, if_match: str | None = None) -> None:
        await self.beside.set(key, value, if_match=if_match)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        await self.beside.set_if_not_exists(key, value)

    async def set_partial_values(self, key_start_values: Any) -> None:
        await self.beside.set_partial_values(key_start_values)

    async def delete(self, key: str) -> None:
        await self.beside.delete(key)

    async def delete_dir(self, prefix: str) -> None:
        await self.beside.delete_dir(prefix)


@pytest.fixture
def folder(nginx_endpoint: HTTPEndpoint) -> Path:
    """A folder for one test, which nginx serves under the same name below each of its URLs."""
    folder = nginx_endpoint.folder / f"place-{next(_places)}"
    folder.mkdir()
    return folder


class TestHTTP(StoreConformance):
    service = "nginx"
    limits = Limits(
        writes="web servers are only read",
        key_beside_children="a name is a file or a folder, not both",
        long_names="a file's name has at most 255 bytes",
        prefix_gone_at_once="nginx lists folders that hold no file",
        hidden_names="nginx does not list names that begin with a dot",
        examples=25,
    )

    @pytest.fixture
    def make_store(self, nginx_endpoint: HTTPEndpoint, folder: Path) -> Iterator[Any]:
        _folders[nginx_endpoint.url] = nginx_endpoint.folder
        made = []

        def make(below: str = "", **options: Any) -> FsspecStore:
            url = f"{nginx_endpoint.url}/{folder.name}/{below}".rstrip("/")
            made.append(ReadOverHTTP.from_url(url, **options))
            return made[-1]

        yield make
        for store in made:
            store.close()


class Reply(NamedTuple):
    """A response of a scripted server; a list of bytes is sent in chunks, without a length."""

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes | list[bytes] = b""


Respond = Callable[[str, str, Mapping[str, str]], Reply]


@contextmanager
def http_server(respond: Respond) -> Iterator[str]:
    """A web server whose responses the test chooses by method, path and headers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def send(self) -> None:
            status, headers, body = respond(self.command, self.path, self.headers)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if isinstance(body, list):
                self.send_header("Transfer-Encoding", "chunked")
            elif "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if isinstance(body, list):
                sent = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in [*body, b""]]
                body = b"".join(sent)
            try:
                self.wfile.write(body)
            except ConnectionError:
                # The store has read enough and closed the connection.
                self.close_connection = True

        do_GET = do_HEAD = send

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as url:
        yield url


@contextmanager
def serving(handler: Any) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def web_server(tmp_path: Path) -> Iterator[str]:
    """Python's web server, which ignores Range and sends the whole file."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with serving(partial(Quiet, directory=tmp_path)) as url:
        yield url


@pytest.fixture
def proxy(nginx_endpoint: HTTPEndpoint) -> Iterator[FaultProxy]:
    """A proxy before nginx that counts requests, and sends the responses of a test's plan."""
    with fault_proxy(nginx_endpoint.root) as proxy:
        yield proxy


def basic_auth(user: str, password: str) -> Any:
    """The ``auth`` of fsspec's documentation, which newer releases of aiohttp deprecate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return aiohttp.BasicAuth(user, password)


def requests_of(proxy: FaultProxy) -> list[tuple[str, str | None]]:
    """Return method and range of the requests so far, and clear them."""
    seen = [(request.method, request.headers.get("range")) for request in proxy.seen]
    proxy.seen.clear()
    return seen


def by_method(responses: Mapping[str, Answer | Fault]) -> Any:
    """A plan by the request's method."""
    return lambda method, target, headers: responses.get(method)


# -- Requests --------------------------------------------------------------------------------------


async def test_each_operation_sends_one_request(proxy: FaultProxy, folder: Path) -> None:
    (folder / "a").write_bytes(DATA)
    async with FsspecStore.from_url(f"{proxy.url}/files/{folder.name}") as store:
        # Opening probes whether the server has index pages.
        assert requests_of(proxy) == [("GET", None)]
        for use, request in (
            (store.get("a"), ("GET", None)),
            (store.get("a", byte_range=RangeByteRequest(2, 4)), ("GET", "bytes=2-3")),
            (store.get("a", byte_range=OffsetByteRequest(7)), ("GET", "bytes=7-")),
            (store.get("a", byte_range=SuffixByteRequest(3)), ("GET", "bytes=-3")),
            (store.get("missing"), ("GET", None)),
            (store.get("missing", byte_range=SuffixByteRequest(3)), ("GET", "bytes=-3")),
            (store.exists("a"), ("HEAD", None)),
            (store.exists("missing"), ("HEAD", None)),
            (store.getsize("a"), ("HEAD", None)),
            (listed(store.list()), ("GET", None)),
            (store.is_empty(""), ("GET", None)),
        ):
            await use
            assert requests_of(proxy) == [request]
        assert store.stats.requests == 12


async def test_a_listing_reads_each_folder_once(proxy: FaultProxy, folder: Path) -> None:
    for name in ("a/0", "a/1", "b/c/0", "d"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(DATA)
    store = FsspecStore.from_url(f"{proxy.url}/files/{folder.name}")
    assert await listed(store.list()) == ["a/0", "a/1", "b/c/0", "d"]
    assert len(requests_of(proxy)) == 4
    assert await listed(store.list_prefix("b/c/")) == ["b/c/0"]
    assert len(requests_of(proxy)) == 1
    # Only folders with this name prefix are read.
    assert await listed(store.list_prefix("a")) == ["a/0", "a/1"]
    assert len(requests_of(proxy)) == 2
    assert sorted(await collect(store.list_sizes("a/"))) == [("a/0", None), ("a/1", None)]
    assert await store.getsize_prefix("a") == 2 * len(DATA)
    await store.aclose()


async def test_an_error_is_neither_missing_nor_empty(proxy: FaultProxy, folder: Path) -> None:
    (folder / "a").write_bytes(DATA)
    store = FsspecStore.from_url(f"{proxy.url}/files/{folder.name}", retries=0)
    for status, error in ((500, BackendError), (503, BackendError), (403, AccessDeniedError)):
        proxy.plan = by_method({"GET": Answer(status), "HEAD": Answer(status)})
        for use in (
            store.get("a"),
            store.get("a", byte_range=SuffixByteRequest(1)),
            store.exists("a"),
            store.getsize("a"),
            listed(store.list()),
            listed(store.list_dir("b")),
            store.is_empty("b"),
        ):
            with pytest.raises(error, match=str(status)):
                await use
    proxy.plan = by_method({"GET": Answer(410), "HEAD": Answer(410)})
    assert await store.get("a") is None
    assert not await store.exists("a")
    await store.aclose()


# -- Folders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["files", "unlisted", "rangeless"])
async def test_a_folder_is_no_key(nginx_endpoint: HTTPEndpoint, folder: Path, service: str) -> None:
    (folder / "b").mkdir()
    (folder / "b" / "index.html").write_text("<title>Welcome</title>")
    (folder / "per%20cent ü" / "c").mkdir(parents=True)
    async with FsspecStore.from_url(f"{nginx_endpoint.root}/{service}/{folder.name}") as store:
        for name in ("b", "per%20cent ü", "per%20cent ü/c"):
            assert await store.get(name) is None
            assert await store.get(name, byte_range=RangeByteRequest(0, 1)) is None
            assert not await store.exists(name)
        assert await read(store, "b/index.html") == b"<title>Welcome</title>"


# -- Ranges ----------------------------------------------------------------------------------------


async def test_a_web_server_that_ignores_ranges(web_server: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    store = FsspecStore.from_url(web_server)
    assert await read(store, "a") == DATA
    for request, part in PARTS:
        assert await read(store, "a", request) == part
    # The same length as the whole file, but not the whole file.
    with pytest.raises(ByteRangeError):
        await read(store, "a", RangeByteRequest(10, 20))
    assert await read(store, "missing") is None
    assert await read(store, "missing", RangeByteRequest(0, 1)) is None
    assert not await store.exists("missing")
    assert await store.getsize("a") == 10
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".zarray").write_bytes(b"x")
    assert await listed(store.list_dir("")) == ["a", "b"]
    assert await listed(store.list()) == ["a", "b/.zarray"]
    assert await store.get("b") is None
    await store.aclose()


async def test_nginx_that_ignores_ranges(nginx_endpoint: HTTPEndpoint, folder: Path) -> None:
    (folder / "a").write_bytes(DATA)
    (folder / "empty").write_bytes(b"")
    async with FsspecStore.from_url(f"{nginx_endpoint.rangeless_url}/{folder.name}") as store:
        for request, part in PARTS:
            assert await read(store, "a", request) == part
        for past in (RangeByteRequest(10, 11), OffsetByteRequest(10)):
            with pytest.raises(ByteRangeError) as caught:
                await store.get("a", byte_range=past)
            assert caught.value.size == 10
        assert await read(store, "empty", SuffixByteRequest(1)) == b""
        with pytest.raises(ByteRangeError):
            await store.get("empty", byte_range=OffsetByteRequest(0))


async def test_discarded_bytes_have_a_limit(nginx_endpoint: HTTPEndpoint, folder: Path) -> None:
    with (folder / "large").open("wb") as file:
        file.truncate(MAX_DISCARDED_BYTES)
        file.seek(0, 2)
        file.write(b"0123")
    async with FsspecStore.from_url(f"{nginx_endpoint.rangeless_url}/{folder.name}") as store:
        for request, part in (
            (RangeByteRequest(0, 3), bytes(3)),
            (SuffixByteRequest(4), b"0123"),
        ):
            assert await read(store, "large", request) == part
        for request in (
            RangeByteRequest(MAX_DISCARDED_BYTES + 1, MAX_DISCARDED_BYTES + 2),
            OffsetByteRequest(MAX_DISCARDED_BYTES + 1),
            SuffixByteRequest(3),
        ):
            message = f"ignores byte ranges: {MAX_DISCARDED_BYTES + 1} bytes"
            with pytest.raises(BackendError, match=message):
                await store.get("large", byte_range=request)


async def test_a_server_that_ignores_ranges_and_states_no_length() -> None:
    body = [DATA] * 3
    with http_server(lambda *_: Reply(body=body)) as url:
        store = FsspecStore.from_url(url)
        assert await read(store, "a") == DATA * 3
        assert await read(store, "a", RangeByteRequest(8, 12)) == b"8901"
        assert await read(store, "a", RangeByteRequest(25, 40)) == b"56789"
        assert await read(store, "a", OffsetByteRequest(28)) == b"89"
        assert await read(store, "a", SuffixByteRequest(12)) == b"89" + DATA
        with pytest.raises(ByteRangeError):
            await read(store, "a", OffsetByteRequest(30))
        # The size is counted.
        assert await store.getsize("a") == 30
        body[:] = [bytes(2**20)] * 65
        for use in (store.get("a", byte_range=SuffixByteRequest(1)), store.getsize("a")):
            with pytest.raises(BackendError, match=str(MAX_DISCARDED_BYTES)):
                await use
        await store.aclose()


async def test_a_server_that_supports_only_ranges_with_an_end() -> None:
    # As Azure does for requests without a version of its API.
    seen = []
    data = DATA

    def respond(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        nonlocal data
        requested = headers.get("Range", "")
        seen.append(requested)
        start, _, last = requested.removeprefix("bytes=").partition("-")
        if not (start and last):
            return Reply(headers={"Accept-Ranges": "bytes"}, body=data)
        if len(seen) == 8:
            # Another writer replaced it meanwhile.
            data = b"abcdefghijkl"
        span = f"bytes {start}-{last}/{len(data)}"
        return Reply(206, {"Content-Range": span}, data[int(start) : int(last) + 1])

    with http_server(respond) as url:
        store = FsspecStore.from_url(url)
        assert await read(store, "a", SuffixByteRequest(3)) == b"789"
        assert await read(store, "a", OffsetByteRequest(6)) == b"6789"
        assert seen == ["bytes=-3", "bytes=7-9", "bytes=6-", "bytes=6-9"]
        assert await read(store, "a", SuffixByteRequest(10)) == DATA
        with pytest.raises(ByteRangeError):
            await read(store, "a", OffsetByteRequest(10))
        assert await read(store, "a", SuffixByteRequest(3)) == b"jkl"
        assert seen[6:] == ["bytes=-3", "bytes=7-9", "bytes=9-11"]
        await store.aclose()


@pytest.mark.parametrize("total", ["bytes */10", None])
async def test_a_server_that_rejects_suffixes(proxy: FaultProxy, folder: Path, total: Any) -> None:
    (folder / "a").write_bytes(DATA)
    (folder / "empty").write_bytes(b"")
    store = FsspecStore.from_url(f"{proxy.url}/files/{folder.name}")
    headers = {} if total is None else {"Content-Range": total}

    def plan(method: str, target: str, sent: Mapping[str, str]) -> Answer | None:
        return Answer(416, headers) if sent.get("range", "").startswith("bytes=-") else None

    proxy.plan = plan
    assert await read(store, "a", SuffixByteRequest(3)) == b"789"
    # The size is requested if the 416 response does not state it.
    assert len(requests_of(proxy)) == (2 if total else 3)
    if total is None:
        assert await read(store, "empty", SuffixByteRequest(3)) == b""
        assert await read(store, "missing", SuffixByteRequest(3)) is None
    else:
        headers["Content-Range"] = "bytes */0"
        assert await read(store, "empty", SuffixByteRequest(3)) == b""
    await store.aclose()


async def test_the_error_of_a_range_past_the_end_has_the_size(
    nginx_endpoint: HTTPEndpoint, folder: Path
) -> None:
    (folder / "a").write_bytes(DATA)
    async with FsspecStore.from_url(f"{nginx_endpoint.url}/{folder.name}") as store:
        with pytest.raises(ByteRangeError) as caught:
            await store.get("a", byte_range=RangeByteRequest(10, 12))
        assert caught.value.size == 10


@pytest.mark.parametrize(
    "response",
    [
        Reply(200, {"Content-Range": "bytes 0-1/10"}, b"01"),
        Reply(206, {"Content-Type": "multipart/byteranges; boundary=b"}, b"--b\r\n--b--"),
        Reply(204),
    ],
    ids=str,
)
async def test_a_wrong_part_is_an_error(response: Reply) -> None:
    with http_server(lambda *_: response) as url:
        store = FsspecStore.from_url(url, retries=0)
        with pytest.raises(BackendError):
            await store.get("a", byte_range=RangeByteRequest(2, 4))
        await store.aclose()


# -- Compression -----------------------------------------------------------------------------------


async def test_compression_is_declined(nginx_endpoint: HTTPEndpoint, folder: Path) -> None:
    (folder / "a.txt").write_bytes(DATA * 1000)
    options = {"headers": {"accept-encoding": "gzip"}}
    async with FsspecStore.from_url(f"{nginx_endpoint.gzip_url}/{folder.name}", options) as store:
        assert await read(store, "a.txt") == DATA * 1000
        assert await read(store, "a.txt", RangeByteRequest(5, 15)) == b"5678901234"
        assert await store.getsize("a.txt") == 10_000


async def test_a_server_that_always_compresses() -> None:
    packed = gzip.compress(DATA * 10)
    ranges = False

    def respond(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        assert headers["Accept-Encoding"] == "identity"
        if ranges and "Range" in headers:
            span = {"Content-Encoding": "gzip", "Content-Range": f"bytes 0-3/{len(packed)}"}
            return Reply(206, span, packed[:4])
        return Reply(headers={"Content-Encoding": "gzip"}, body=packed)

    with http_server(respond) as url:
        store = FsspecStore.from_url(url)
        assert await read(store, "a") == DATA * 10
        assert await store.getsize("a") == 100
        for request, part in PARTS:
            whole = request in (OffsetByteRequest(0), SuffixByteRequest(30))
            if not whole and not isinstance(request, OffsetByteRequest):
                expected = (DATA * 10)[5:20] if part == b"56789" else part
                assert await read(store, "a", request) == expected
        ranges = True
        assert await store.getsize("a") == 100
        with pytest.raises(BackendError, match="gzip form"):
            await read(store, "a", RangeByteRequest(0, 4))
        # A retry would not help.
        assert store.stats.retries == 0
        await store.aclose()


# -- Sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 405, 501])
async def test_a_server_that_rejects_head(proxy: FaultProxy, folder: Path, status: int) -> None:
    (folder / "a").write_bytes(DATA)
    (folder / "empty").write_bytes(b"")
    (folder / "folder").mkdir()
    store = FsspecStore.from_url(f"{proxy.url}/files/{folder.name}")
    proxy.plan = by_method({"HEAD": Answer(status)})
    assert await store.getsize("a") == 10
    assert requests_of(proxy) == [("HEAD", None), ("GET", "bytes=0-0")]
    # The result is remembered.
    for key, size in (("a", 10), ("empty", 0)):
        assert await store.getsize(key) == size
        assert requests_of(proxy) == [("GET", "bytes=0-0")]
    assert not await store.exists("missing")
    assert not await store.exists("folder")
    await store.aclose()


async def test_access_denied_for_head_and_get(proxy: FaultProxy, folder: Path) -> None:
    (folder / "a").write_bytes(DATA)
    store = FsspecStore.from_url(f"{proxy.url}/files/{folder.name}")
    proxy.plan = by_method({"HEAD": Answer(403), "GET": Answer(403)})
    with pytest.raises(AccessDeniedError):
        await store.exists("a")
    proxy.plan = by_method({})
    requests_of(proxy)
    # This does not show whether HEAD is supported.
    assert await store.exists("a")
    assert requests_of(proxy) == [("HEAD", None)]
    await store.aclose()


@pytest.mark.parametrize("obeys", [True, False])
async def test_a_server_whose_head_states_no_length(obeys: bool) -> None:
    def respond(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        if path == "/missing":
            return Reply(404)
        if method == "HEAD":
            return Reply(body=[b""])
        if obeys and path == "/empty":
            return Reply(416)
        data = b"" if path == "/empty" else DATA
        if obeys and "Range" in headers:
            return Reply(206, {"Content-Range": f"bytes 0-0/{len(data)}"}, data[:1])
        return Reply(body=data)

    with http_server(respond) as url:
        store = FsspecStore.from_url(url)
        for _ in range(2):
            assert await store.getsize("a") == 10
            assert await store.getsize("empty") == 0
            assert not await store.exists("missing")
        await store.aclose()


# -- Credentials and hosts -------------------------------------------------------------------------


async def test_basic_auth(nginx_endpoint: HTTPEndpoint, folder: Path) -> None:
    (folder / "a").write_bytes(DATA)
    url = f"{nginx_endpoint.protected_url}/{folder.name}"
    user, password = nginx_endpoint.user, nginx_endpoint.password
    auth = basic_auth(user, password)
    with_user = url.replace("://", f"://{user}:{password}@")
    for place, options in (
        (url, nginx_endpoint.storage_options()),
        (url, {"client_kwargs": nginx_endpoint.storage_options()}),
        (url, {"auth": auth}),
        (url, {"client_kwargs": {"auth": auth}}),
        (with_user, {}),
    ):
        async with FsspecStore.from_url(place, options) as store:
            assert await read(store, "a") == DATA
            assert await store.getsize("a") == 10
            assert await listed(store.list()) == ["a"]
    for options in ({}, {"auth": basic_auth(user, "s3cr3t")}):
        async with FsspecStore.from_url(url, options) as store:
            # Access denied does not show what the server supports.
            assert store.supports_listing
            for use in (store.get("a"), store.exists("a"), listed(store.list())):
                with pytest.raises(AccessDeniedError, match="401") as caught:
                    await use
                assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


def test_credentials_in_both_url_and_options_are_refused() -> None:
    auth, header = basic_auth("u", "s3cr3t"), {"Authorization": "Bearer s3cr3t"}
    for options in ({"auth": auth}, {"headers": header}, {"client_kwargs": {"auth": auth}}):
        with pytest.raises(StoreURLError, match="contain credentials") as caught:
            FsspecStore.from_url("https://u:s3cr3t@host/x", options)
        assert "s3cr3t" not in str(caught.value)
    with pytest.raises(StorageOptionError, match="exclude each other"):
        FsspecStore.from_url("https://host/x", {"auth": auth, "headers": header})


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": "Basic dTpw"}},
        {"client_kwargs": {"headers": {"Authorization": "Basic dTpw"}}},
        {"auth": basic_auth("u", "p")},
        {"client_kwargs": {"auth": basic_auth("u", "p")}},
    ],
    ids=str,
)
async def test_a_redirect_to_another_host_sends_no_password(options: Any) -> None:
    received: dict[str, str | None] = {}

    def elsewhere(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        received["elsewhere"] = headers.get("Authorization")
        return Reply(body=DATA) if path == "/else/a" else Reply(404)

    with http_server(elsewhere) as there:

        def here(method: str, path: str, headers: Mapping[str, str]) -> Reply:
            received["here"] = headers.get("Authorization")
            return Reply(302, {"Location": f"{there}/else{path}"})

        with http_server(here) as url:
            store = FsspecStore.from_url(url, options)
            assert await read(store, "a") == DATA
            assert received == {"here": "Basic dTpw", "elsewhere": None}
            assert await store.getsize("a") == 10
            assert await store.get("b") is None
            await store.aclose()


async def test_endless_redirects(proxy: FaultProxy) -> None:
    store = FsspecStore.from_url(f"{proxy.url}/files?sig=s3cr3t")
    proxy.plan = by_method({"GET": Answer(302, {"Location": "/files/b?sig=s3cr3t"})})
    with pytest.raises(BackendError, match="TooManyRedirects") as caught:
        await store.get("a")
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))
    await store.aclose()


# -- URLs ------------------------------------------------------------------------------------------


async def test_the_roots_query_goes_with_every_request_and_is_never_shown(
    proxy: FaultProxy, folder: Path
) -> None:
    (folder / "c").mkdir()
    (folder / "c" / "what?").write_bytes(DATA)
    url = f"{proxy.url}/files/{folder.name}?sig=s3%2Bcr3t&x=a+b"
    store = FsspecStore.from_url(url)
    assert await read(store, "c/what?", RangeByteRequest(2, 4)) == b"23"
    assert await store.exists("c/what?")
    assert await listed(store.list()) == ["c/what?"]
    assert await listed(store.list_dir("c")) == ["what?"]
    # Keys go before the query, and the query is not changed.
    assert {request.target for request in proxy.seen} == {
        f"/files/{folder.name}{path}?sig=s3%2Bcr3t&x=a+b" for path in ("/c/what%3F", "/", "/c/")
    }
    proxy.plan = by_method({"GET": Answer(500, body=b"you sent s3%2Bcr3t")})
    quick = FsspecStore.from_url(url, retries=0)
    for use in (quick.get("a"), listed(quick.list())):
        with pytest.raises(BackendError) as caught:
            await use
        assert "cr3t" not in "".join(traceback.format_exception(caught.value))
    proxy.plan = by_method({"GET": Answer(200, {"Content-Type": "text/html"}, b"Hello")})
    with pytest.raises(UnsupportedOperationError, match="no index page for") as refused:
        await listed(quick.list())
    assert "cr3t" not in "".join(traceback.format_exception(refused.value))
    assert "cr3t" not in repr((store, str(store), store.url))
    await store.aclose()
    await quick.aclose()


async def test_the_secrets_of_a_server_that_is_not_there_are_not_shown() -> None:
    with http_server(lambda *_: Reply()) as url:
        pass
    place = url.replace("://", "://u:s3cr3t@") + "/x?sig=s3cr3t"
    async with FsspecStore.from_url(place, retries=0) as store:
        # Opening never fails, and without a result the default stays.
        assert store.supports_listing
        with pytest.raises(BackendError) as caught:
            await store.get("a")
        assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("encoded", [False, True])
async def test_the_root_may_be_quoted_and_keys_are_literal(
    nginx_endpoint: HTTPEndpoint, folder: Path, encoded: bool
) -> None:
    (folder / "a b").mkdir()
    (folder / "a b" / "c%20d").write_bytes(DATA)
    url = f"{nginx_endpoint.url}/{folder.name}"
    for root in (f"{url}/a%20b", f"{url}/a%20b/", *([] if encoded else [f"{url}/a b"])):
        async with FsspecStore.from_url(root, {"encoded": encoded}) as store:
            assert await read(store, "c%20d") == DATA
            assert await read(store, "c d") is None
            assert await listed(store.list()) == ["c%20d"]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://host/x#part", "%23"),
        ("http:///x", "not an http or https URL"),
        ("http://host:99999/x", "not a valid URL"),
    ],
)
def test_an_invalid_url_is_refused(url: str, problem: str) -> None:
    with pytest.raises(StoreURLError, match=problem):
        FsspecStore(fsspec.filesystem("http"), url)


# -- Listings --------------------------------------------------------------------------------------


async def test_a_server_without_listings(nginx_endpoint: HTTPEndpoint, folder: Path) -> None:
    (folder / "a").write_bytes(DATA)
    url = f"{nginx_endpoint.unlisted_url}/{folder.name}"
    async with FsspecStore.from_url(url) as store:
        assert not store.supports_listing
        assert await read(store, "a") == DATA
        for use in (listed(store.list()), listed(store.list_dir("b")), store.is_empty("")):
            with pytest.raises(UnsupportedOperationError, match="listing"):
                await use
    # Not opened first: nginx returns 403, and 404 for a missing folder.
    store = FsspecStore.from_url(url)
    for use in (listed(store.list()), listed(store.list_dir("b"))):
        with pytest.raises(AccessDeniedError):
            await use
    await store.aclose()


PAGES = {
    "an ordinary page": Reply(headers={"Content-Type": "text/html"}, body=b"<a href='a'>Start</a>"),
    "nothing": Reply(404),
    "no page": Reply(headers={"Content-Type": "application/json"}, body=b"Index of /"),
    "elsewhere": Reply(302, {"Location": "/index.html"}),
    "405 for GET": Reply(405),
}


@pytest.mark.parametrize("name", PAGES)
async def test_other_pages_are_not_listings(name: str) -> None:
    index = b"<title>Index of /</title><a href='index.html'>index.html</a>"

    def respond(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        if path == "/index.html":
            return Reply(headers={"Content-Type": "text/html"}, body=index)
        return PAGES[name]

    with http_server(respond) as url:
        store = FsspecStore.from_url(url)
        assert store.supports_listing
        for use in (listed(store.list()), listed(store.list_dir("a/b")), store.is_empty("a")):
            with pytest.raises((UnsupportedOperationError, BackendError)):
                await use
        await store.aclose()
        async with FsspecStore.from_url(url) as opened:
            assert not opened.supports_listing


async def test_a_listing_that_fails_after_some_pages_is_an_error(
    proxy: FaultProxy, folder: Path
) -> None:
    for name in "abcdef":
        (folder / name).mkdir()
        (folder / name / "0").write_bytes(DATA)
    store = FsspecStore.from_url(f"{proxy.url}/files/{folder.name}", retries=0)
    page = Answer(200, {"Content-Type": "text/html"}, b"<title>Welcome</title>")
    for response, error in (
        (Answer(500), BackendError),
        (Answer(403), AccessDeniedError),
        (page, UnsupportedOperationError),
    ):
        proxy.plan = lambda method, target, headers, response=response: (
            response if target.endswith("/e/") else None
        )
        with pytest.raises(error):
            await listed(store.list())
    # The index.html of one folder does not affect the others.
    assert store.supports_listing
    assert await listed(store.list_dir("a")) == ["0"]
    # Removed between its parent's listing and its own.
    proxy.plan = lambda method, target, headers: Answer(404) if target.endswith("/e/") else None
    assert await listed(store.list()) == ["a/0", "b/0", "c/0", "d/0", "f/0"]
    await store.aclose()


async def test_a_long_page_in_another_charset() -> None:
    names = [f"chunk-{number}" for number in range(5000)]
    links = "".join(f"<a href='{name}'>{name}</a>\n" for name in [*names, "ünï"])
    page = f"<h1>Index of /</h1>{links}"
    for charset in ("utf-8", "latin-1", '"utf-16"', "no-such"):
        known = charset.strip('"').replace("no-such", "utf-8")
        response = Reply(
            headers={"Content-Type": f"text/html; charset={charset}"}, body=page.encode(known)
        )
        with http_server(lambda *_, response=response: response) as url:
            store = FsspecStore.from_url(url)
            assert await listed(store.list()) == sorted([*names, "ünï"])
            await store.aclose()


async def test_folders_that_link_to_each_other_end_a_listing(
    web_server: str, tmp_path: Path
) -> None:
    # The system follows 40 links in a path: without a limit there are 6**40 paths.
    names = "abcdefg"
    for name in names:
        (tmp_path / "each" / name).mkdir(parents=True)
        (tmp_path / "each" / name / name).write_bytes(DATA)
        for other in set(names) - {name}:
            (tmp_path / "each" / name / other).symlink_to(f"../{other}")
    (tmp_path / "up" / "a").mkdir(parents=True)
    (tmp_path / "up" / "a" / "b").symlink_to("..")
    store = FsspecStore.from_url(web_server)
    for folder in ("each", "up"):
        with pytest.raises(BackendError, match="has no end"):
            await listed(store.list_prefix(f"{folder}/"))
    assert store.stats.requests < 2000
    assert await listed(store.list_dir("up/a/b")) == ["a"]
    await store.aclose()


async def test_folders_with_equal_entries_are_not_a_cycle(web_server: str, tmp_path: Path) -> None:
    # Chunks of an array with many dimensions, and nested folders with one entry.
    keys = [f"c{'/0' * 10}", f"c{'/0' * 9}/1", f"c{'/1' * 10}", "/".join("a" * 40)]
    for key in keys:
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(DATA)
    async with FsspecStore.from_url(web_server) as store:
        assert await listed(store.list()) == sorted(keys)


async def test_rclones_pages(tmp_path: Path) -> None:
    keys = ["air/c/0", "air/zarr.json", "it's 50% a&b<c>#?", "zarr.json", "ü/file:name"]
    for key in keys:
        (tmp_path / "d.zarr" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d.zarr" / key).write_bytes(DATA)
    (tmp_path / "empty").mkdir()
    with or_skip(rclone_web_server(tmp_path)) as url:
        async with FsspecStore.from_url(f"{url}/d.zarr") as store:
            assert await listed(store.list()) == sorted(keys)
            assert await listed(store.list_dir("air")) == ["c", "zarr.json"]
            assert await store.is_empty("other")
        async with FsspecStore.from_url(f"{url}/empty") as store:
            assert await listed(store.list()) == []


# -- Closing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "aclose", "in a thread"])
@pytest.mark.parametrize(
    ("protocol", "length"),
    [("http", "Content-Length: 100\r\n"), ("http", ""), ("s3", "Content-Length: 100\r\n")],
    ids=["http", "http, until close", "s3fs"],
)
async def test_reading_from_a_closed_store_is_an_error(
    protocol: str, length: str, how: str
) -> None:
    sent = asyncio.Event()

    async def half_a_body(peer: Peer) -> None:
        await peer.request()
        await peer.send(f"HTTP/1.1 200 OK\r\n{length}\r\n".encode() + bytes(50))
        sent.set()
        await peer.closed()

    async with scripted_server(half_a_body) as server:
        url = f"http://{server.host}:{server.port}"
        if protocol == "s3":
            options = {"key": "k", "secret": "s", "endpoint_url": url}
            store = FsspecStore.from_url("s3://bucket", options, transport="library")
        else:
            store = FsspecStore.from_url(url)
        reading = asyncio.create_task(store.get("a"))
        await sent.wait()
        # The received body is read.
        for _ in range(10):
            await asyncio.sleep(0)
        if how == "aclose":
            await store.aclose()
        elif how == "close":
            store.close()
        else:
            await asyncio.to_thread(store.close)
        async with asyncio.timeout(20):
            with pytest.raises(RuntimeError, match="closed while this request was under way"):
                await reading
        await store.aclose()


# -- Options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"header": {"X": "s3cr3t"}}, "'header'.*did you mean 'headers'"),
        ({"client_kwargs": {"hedaers": {}}}, "client_kwargs 'hedaers'.*did you mean 'headers'"),
        ({"headers": {"range": "bytes=0-1"}}, "Range"),
        ({"client_kwargs": {"headers": {"If-Range": "x"}}}, "If-Range"),
        ({"client_kwargs": {"auto_decompress": False}}, "auto_decompress"),
        ({"client_kwargs": {"connector": object()}}, "get_client"),
        ({"auth": ("u", "s3cr3t")}, "BasicAuth, got tuple"),
    ],
)
def test_an_option_that_is_not_supported_is_refused(options: Any, problem: str) -> None:
    with pytest.raises(StorageOptionError, match=problem) as caught:
        FsspecStore.from_url("https://host/x", options)
    assert "s3cr3t" not in str(caught.value)


async def test_request_options_go_with_every_request(proxy: FaultProxy, folder: Path) -> None:
    (folder / "a").write_bytes(DATA)
    # The last three are options of fsspec or of the store.
    options = {
        "headers": {"X-One": "1"},
        "params": {"token": "t"},
        "client_kwargs": {"headers": {"X-Two": "2"}, "raise_for_status": True},
        "use_listings_cache": True,
        "block_size": 2**20,
        "timeout": 0.000001,
    }
    store = FsspecStore.from_url(f"{proxy.url}/files/{folder.name}", options)
    assert await read(store, "a", SuffixByteRequest(1)) == b"9"
    assert await read(store, "missing") is None
    assert await store.exists("a")
    assert await listed(store.list()) == ["a"]
    for request in proxy.seen:
        assert request.headers["x-one"] == "1"
        assert request.headers["x-two"] == "2"
        assert request.target.endswith("?token=t")
    assert len(proxy.seen) == 4
    await store.aclose()


def test_sessions_are_made_by_get_client_one_for_each_loop(
    nginx_endpoint: HTTPEndpoint, folder: Path
) -> None:
    (folder / "a").write_bytes(DATA)
    made = []

    async def get_client(**kwargs: Any) -> aiohttp.ClientSession:
        made.append(kwargs)
        kwargs.pop("mine")
        return aiohttp.ClientSession(**kwargs)

    options = {"get_client": get_client, "client_kwargs": {"mine": 1}}
    store = FsspecStore.from_url(f"{nginx_endpoint.url}/{folder.name}", options)
    for _ in range(2):
        assert asyncio.run(read(store, "a")) == DATA
    assert len(made) == 2
    store.close()


async def test_get_client_must_return_a_session_without_waiting() -> None:
    async def something_else(**_: Any) -> object:
        return object()

    async def waiting(**_: Any) -> object:
        await asyncio.sleep(1)
        return object()

    for make, problem in (
        (something_else, "ClientSession, got object"),
        (waiting, "must not await"),
    ):
        store = FsspecStore.from_url("http://127.0.0.1:9/x", {"get_client": make})
        with pytest.raises(StorageOptionError, match=problem):
            await store.get("a")


# -- The store and its filesystem ------------------------------------------------------------------


async def test_a_web_server_is_read_only(nginx_endpoint: HTTPEndpoint, folder: Path) -> None:
    store = FsspecStore.from_url(f"{nginx_endpoint.url}/{folder.name}")
    assert not store.supports_writes
    assert not store.supports_deletes
    assert not store.supports_partial_writes
    assert not store.supports_atomic_create
    assert not store.supports_compare_and_swap
    value = Buffer.from_bytes(b"x")
    with pytest.raises(UnsupportedOperationError, match="does not support writes"):
        store.open_writer("a")
    for use in (
        store.set("a", value),
        store.set_if_not_exists("a", value),
        store.set_partial_values([("a", 0, b"x")]),
        store.delete("a"),
        store.delete_dir("a"),
        store.clear(),
        store.get_version("a"),
    ):
        with pytest.raises(UnsupportedOperationError):
            await use
    assert list(folder.iterdir()) == []
    await store.aclose()


async def test_the_users_filesystem_is_not_changed(
    nginx_endpoint: HTTPEndpoint, folder: Path
) -> None:
    (folder / "a").write_bytes(DATA)
    fs = HTTPFileSystem(headers={"X": "1"}, asynchronous=True, use_listings_cache=True)
    before = repr((fs.kwargs, fs.client_kwargs))
    store = FsspecStore(fs, f"{nginx_endpoint.url}/{folder.name}")
    assert store.fs is fs
    assert await read(store, "a") == DATA
    assert await listed(store.list()) == ["a"]
    await store.aclose()
    assert fs._session is None
    assert not fs.dircache
    assert repr((fs.kwargs, fs.client_kwargs)) == before


PROGRAM = """
import asyncio, os, pickle, sys
from fsspec_store import FsspecStore

async def use(store):
    assert (await store.get("a")).to_bytes() == b"0123456789"
    assert [key async for key in store.list()] == ["a"]

kept = FsspecStore.from_url(sys.argv[1])
asyncio.run(use(kept))
asyncio.run(use(kept))
asyncio.run(use(pickle.loads(pickle.dumps(kept))))

async def fork():
    await use(kept)
    child = os.fork()
    return child == 0 or os.waitpid(child, 0)[1] == 0 and await use(kept)

loop = asyncio.new_event_loop()
if loop.run_until_complete(fork()):
    asyncio.run(use(kept))
    os._exit(0)
loop.run_until_complete(use(kept))
print("done")
"""


def test_nothing_is_printed(nginx_endpoint: HTTPEndpoint, folder: Path) -> None:
    (folder / "a").write_bytes(DATA)
    url = f"{nginx_endpoint.url}/{folder.name}"
    done = subprocess.run(
        [sys.executable, "-Wignore:This process:DeprecationWarning", "-c", PROGRAM, url],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stderr, done.stdout, done.returncode) == ("", "done\n", 0)
