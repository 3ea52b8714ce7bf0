"""Web servers that send too much, too little, or not what their headers state."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conformance.support import content, listed, read
from servers.scripted import Peer, scripted_server

from fsspec_store import FsspecStore, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from fsspec_store.errors import BackendError, ByteRangeError

DATA = b"0123456789" * 100
MIB = 2**20

Respond = Callable[[str, Peer], Awaitable[None]]


@asynccontextmanager
async def server(respond: Respond, *, is_kept: bool = False) -> AsyncIterator[str]:
    """A server with scripted responses; the connection is closed when the script fails.

    The store closes its connections, unless ``is_kept``.
    """

    async def script(peer: Peer) -> None:
        try:
            while True:
                await respond((await peer.request()).decode("latin-1"), peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass

    async with scripted_server(script) as running:
        yield f"http://{running.host}:{running.port}"
        if is_kept:
            return
        # A body that was not read to its end closes the connection.
        async with asyncio.timeout(20):
            await running.done()


def asked_range(request: str) -> tuple[int, int] | None:
    """The range of a request for some of `DATA`."""
    for line in request.split("\r\n"):
        name, _, value = line.partition(": ")
        if name.lower() == "range":
            first, _, last = value.removeprefix("bytes=").partition("-")
            if not first:
                return len(DATA) - int(last), len(DATA)
            return int(first), min(int(last) + 1 if last else len(DATA), len(DATA))
    return None


def head(status: int, *lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status} X", *lines, "")).encode()


# -- Content codings -------------------------------------------------------------------------------


def deflate_without_header(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


CODINGS: dict[str, tuple[list[str], Callable[[bytes], bytes]]] = {
    "gzip": (["gzip"], gzip.compress),
    "another name of it": (["X-GZip"], gzip.compress),
    "several members": (["gzip"], lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:])),
    "padded": (["gzip"], lambda data: gzip.compress(data) + bytes(100)),
    "deflate": (["deflate"], zlib.compress),
    "deflate without its header": (["deflate"], deflate_without_header),
    "beside what is none": (["gzip, aws-chunked"], gzip.compress),
    "in two headers": (["identity", "gzip"], gzip.compress),
    "two": (["deflate, gzip"], lambda data: gzip.compress(zlib.compress(data))),
}


@pytest.mark.parametrize("name", CODINGS)
async def test_encoded_bodies_are_decoded(name: str) -> None:
    values, encode = CODINGS[name]
    data = content(2 * MIB)
    body = encode(data)

    async def respond(request: str, peer: Peer) -> None:
        codings = [f"Content-Encoding: {value}" for value in values]
        await peer.send(head(200, f"Content-Length: {len(body)}", *codings))
        if request.startswith("GET"):
            await peer.send(body)

    async with server(respond) as url, FsspecStore.from_url(url) as store:
        assert await read(store, "a") == data
        assert await read(store, "a", RangeByteRequest(MIB, MIB + 3)) == data[MIB : MIB + 3]
        assert await store.getsize("a") == len(data)


@pytest.mark.parametrize("value", ["UTF-8", "aws-chunked", "none", "", "identity,identity", "br2"])
async def test_invalid_content_codings_are_ignored(value: str) -> None:
    async def respond(request: str, peer: Peer) -> None:
        part = asked_range(request)
        start, end = part or (0, len(DATA))
        lines = [f"Content-Length: {end - start}", f"Content-Encoding: {value}"]
        if part:
            lines.append(f"Content-Range: bytes {start}-{end - 1}/{len(DATA)}")
        await peer.send(head(206 if part else 200, *lines))
        if request.startswith("GET"):
            await peer.send(DATA[start:end])

    async with server(respond) as url, FsspecStore.from_url(url) as store:
        assert await read(store, "a") == DATA
        for request in (RangeByteRequest(5, 9), OffsetByteRequest(990), SuffixByteRequest(3)):
            assert len(await read(store, "a", request) or b"") in (4, 10, 3)
        assert await store.getsize("a") == len(DATA)
        assert store.stats.retries == 0


@pytest.mark.parametrize(
    ("coding", "body", "problem"),
    [
        ("gzip", gzip.compress(DATA)[:-9], "incomplete"),
        ("gzip", DATA, "corrupt"),
        ("deflate", zlib.compress(DATA)[:-5], "incomplete"),
        ("compress", DATA, "cannot decode the response"),
        ("gzip", gzip.compress(bytes(MIB)) * 300, "more than 268435456 bytes"),
    ],
    ids=["cut off", "no gzip", "cut off deflate", "unknown", "a bomb"],
)
async def test_bodies_that_cannot_be_decoded_are_errors(
    coding: str, body: bytes, problem: str
) -> None:
    async def respond(request: str, peer: Peer) -> None:
        lines = f"Content-Length: {len(body)}", f"Content-Encoding: {coding}"
        await peer.send(head(200, *lines), body)

    async with server(respond) as url, FsspecStore.from_url(url, retries=0) as store:
        with pytest.raises(BackendError, match=problem):
            await store.get("a")


# -- Lengths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what", ["a value", "a range", "a suffix", "an index page", "a value to be copied"]
)
async def test_an_endless_body_is_read_up_to_a_limit(what: str, tmp_path: Path) -> None:
    sent = 0
    piece = bytes(2**20)

    async def respond(request: str, peer: Peer) -> None:
        nonlocal sent
        lines = ["Transfer-Encoding: chunked", "Content-Type: text/html"]
        part = asked_range(request)
        if part:
            lines.append(f"Content-Range: bytes {part[0]}-{part[1] - 1}/{len(DATA)}")
        await peer.send(head(206 if part else 200, *lines))
        sent = 0
        while True:
            peer.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await peer.writer.drain()
            sent += len(piece)

    async with server(respond) as url:
        store = FsspecStore.from_url(url, retries=0)
        cache = {"simplecache": {"cache_storage": str(tmp_path)}}
        copying = FsspecStore.from_url(f"simplecache::{url}/folder", cache)
        uses: dict[str, tuple[Callable[[], Awaitable[Any]], int]] = {
            "a value": (lambda: store.get("a"), 256),
            "a range": (lambda: store.get("a", byte_range=RangeByteRequest(0, 10)), 1),
            "a suffix": (lambda: store.get("a", byte_range=SuffixByteRequest(10)), 1),
            "an index page": (lambda: listed(store.list()), 64),
            # fsspec ends the request in another thread.
            "a value to be copied": (lambda: copying.get("a"), 320),
        }
        use, most = uses[what]
        with pytest.raises(BackendError, match="BodyTooLongError"):
            await use()
        # Without what the operating system buffers.
        assert sent <= (most + 16) * MIB
        await store.aclose()


# -- Services below another filesystem -------------------------------------------------------------


def below(url: str, service: str, folder: Path) -> FsspecStore:
    """A store of a caching layer on this URL; fsspec keeps its connections."""
    options: dict[str, Any] = {"simplecache": {"cache_storage": str(folder)}}
    if service == "s3":
        options["s3"] = {
            "key": "k",
            "secret": "s",
            "endpoint_url": url,
            "config_kwargs": {"read_timeout": 1},
        }
        return FsspecStore.from_url("simplecache::s3://bucket/folder", options)
    times = aiohttp.ClientTimeout(total=None, sock_read=1)
    options["http"] = {"client_kwargs": {"timeout": times}}
    return FsspecStore.from_url(f"simplecache::{url}/folder", options)


OBJECT = ['ETag: "e"', "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT"]


@pytest.mark.parametrize("service", ["s3", "http"])
@pytest.mark.parametrize("line", ["Transfer-Encoding: chunked", f"Content-Length: {2**50}"])
async def test_no_more_than_a_values_size_is_copied(
    service: str, line: str, tmp_path: Path
) -> None:
    sent = 0

    async def respond(request: str, peer: Peer) -> None:
        nonlocal sent
        if request.startswith("HEAD"):
            await peer.send(head(200, "Content-Length: 1000", *OBJECT))
            return
        await peer.send(head(200, line, *OBJECT))
        piece = bytes(2**16)
        while True:
            peer.writer.write(b"10000\r\n%s\r\n" % piece if "chunked" in line else piece)
            await peer.writer.drain()
            sent += len(piece)

    async with server(respond, is_kept=True) as url, below(url, service, tmp_path) as store:
        with pytest.raises(BackendError, match="more than 1000 bytes"):
            await store.get("a")
        assert sent <= 32 * MIB
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("service", ["s3", "http"])
async def test_a_value_larger_than_the_disk_is_not_copied(service: str, tmp_path: Path) -> None:
    async def respond(request: str, peer: Peer) -> None:
        await peer.send(head(200, f"Content-Length: {10**18}", *OBJECT))

    async with server(respond, is_kept=True) as url, below(url, service, tmp_path) as store:
        with pytest.raises(BackendError, match=f"No space left on device for {10**18} bytes"):
            await store.get("a")


@pytest.mark.parametrize("service", ["s3", "http"])
async def test_a_value_below_a_layer_has_a_minimum_rate(service: str, tmp_path: Path) -> None:
    async def respond(request: str, peer: Peer) -> None:
        await peer.send(head(200, "Content-Length: 1000000", *OBJECT))
        while not request.startswith("HEAD"):
            peer.writer.write(b"x")
            await peer.writer.drain()
            await asyncio.sleep(0.05)

    async with server(respond, is_kept=True) as url, below(url, service, tmp_path) as store:
        with pytest.raises(BackendError, match="the response was too slow"):
            async with asyncio.timeout(30):
                await store.get("a")


async def test_an_endless_archive_is_read_up_to_a_limit() -> None:
    sent = 0

    async def respond(request: str, peer: Peer) -> None:
        nonlocal sent
        if request.startswith("HEAD"):
            await peer.send(head(200, "Content-Length: 1000", *OBJECT))
            return
        await peer.send(head(206, "Transfer-Encoding: chunked", *OBJECT))
        piece = bytes(MIB)
        while True:
            peer.writer.write(b"100000\r\n%s\r\n" % piece)
            await peer.writer.drain()
            sent += len(piece)

    async with server(respond, is_kept=True) as url:
        options = {"s3": {"key": "k", "secret": "s", "endpoint_url": url}}
        with pytest.raises(BackendError):
            await asyncio.to_thread(FsspecStore.from_url, "zip://::s3://bucket/a.zip", options)
        # More than the limit: buffers of the operating system and of a busy client.
        assert sent <= 2 * 256 * MIB


# -- Sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 1000000000000000000", 'ETag: "e"', "Accept-Ranges: bytes"],
        ["Content-Length: " + "9" * 5000],
        ["Content-Length: 10", "Content-Range: bytes 0-9/" + "9" * 5000],
        ["Content-Length: 10", f"Content-Range: bytes 0-{'9' * 5000}/*"],
        ["Content-Length: 1000000000000000000", "Content-Range: bytes 0-999999999999999999/*"],
    ],
    ids=["a length", "digits", "digits of a total", "digits of a range", "a range"],
)
@pytest.mark.parametrize("byte_range", [None, RangeByteRequest(0, 10)], ids=["whole", "part"])
async def test_absurd_sizes_are_errors(lines: list[str], byte_range: Any) -> None:
    async def respond(request: str, peer: Peer) -> None:
        status = 206 if any("Range:" in line for line in lines) else 200
        await peer.send(head(status, *lines), DATA[:5])

    async with server(respond) as url:
        store = FsspecStore.from_url(url, retries=0, timeout=0.3)
        with pytest.raises(BackendError):
            await store.get("a", byte_range=byte_range)
        await store.aclose()


# -- Large values ----------------------------------------------------------------------------------


# Made by the worker that needs it alone.
@cache
def large_value() -> bytes:
    return content(33 * MIB)


@pytest.mark.parametrize("what", ["another total", "another ETag", "412", "416", "a weak ETag"])
async def test_values_whose_parts_do_not_fit_are_read_in_one_stream(what: str) -> None:
    parts = 0

    async def respond(request: str, peer: Peer) -> None:
        nonlocal parts
        etag = f'ETag: {"W/" if what == "a weak ETag" else ""}"v1"'
        if "Range: bytes=" not in request:
            length = f"Content-Length: {len(large_value())}"
            await peer.send(head(200, length, etag, "Accept-Ranges: bytes"), large_value())
            return
        parts += 1
        if what.isdigit():
            await peer.send(head(int(what), "Content-Length: 0"))
            return
        first, _, last = request.partition("Range: bytes=")[2].partition("\r\n")[0].partition("-")
        size = int(last) + 1 - int(first)
        total = len(large_value()) + (what == "another total")
        lines = f"Content-Length: {size}", f"Content-Range: bytes {first}-{last}/{total}"
        changed = 'ETag: "v2"' if what == "another ETag" else etag
        await peer.send(head(206, *lines, changed), bytes(size))

    async with server(respond) as url:
        store = FsspecStore.from_url(url)
        value = await store.get("a")
        assert value is not None
        assert value.to_bytes() == large_value()
        assert (parts > 0) == (what != "a weak ETag")
        await store.aclose()


async def test_an_object_that_became_too_short_is_a_byte_range_error() -> None:
    async def respond(request: str, peer: Peer) -> None:
        await peer.send(head(416, "Content-Length: 0", "Content-Range: bytes */4"))

    async with server(respond) as url:
        store = FsspecStore.from_url(url)
        with pytest.raises(ByteRangeError) as caught:
            await store.get("a", byte_range=RangeByteRequest(4, 40))
        assert caught.value.size == 4
        await store.aclose()
