"""Servers whose answers do not fit what was asked, or have no end: clear errors, within bounds.

The same for each service and transport: native, s3fs and aiohttp.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from conformance.support import listed, read
from servers.scripted import Peer, ScriptedServer, scripted_server

from fsspec_store import FsspecStore, RangeByteRequest, SuffixByteRequest
from fsspec_store._http.limiter import _limiters as limiters
from fsspec_store.errors import BackendError

MIB = 2**20
#: Of a large value: three parts.
SIZE = 17 * MIB
OLD, NEW = b"A", b"B"
TRANSPORTS = ["s3", "s3fs", "google", "google by aiohttp", "azure", "azure by aiohttp"]


def open_store(transport: str, url: str, **options: Any) -> FsspecStore:
    """A store whose values are large sooner than otherwise."""
    is_library = transport == "s3fs" or transport.endswith("by aiohttp")
    options = {
        "transport": "library" if is_library else "auto",
        "large_value_bytes": MIB,
        **options,
    }
    if transport.startswith("google"):
        storage = {"token": "anon", "project": "test", "endpoint_url": url}
        return FsspecStore.from_url("gs://bucket", storage, **options)
    if transport.startswith("azure"):
        account = "DefaultEndpointsProtocol=http;AccountName=dev;AccountKey=a2V5;"
        storage = {"connection_string": f"{account}BlobEndpoint={url}/dev;"}
        return FsspecStore.from_url("abfs://bucket", storage, **options)
    storage = {"key": "k", "secret": "s", "endpoint_url": url}
    return FsspecStore.from_url("s3://bucket", storage, **options)


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """Service and transport."""
    name: str = request.param
    return name


class Request:
    """What a client asked for."""

    def __init__(self, raw: bytes) -> None:
        line, *lines = raw.decode("latin-1").split("\r\n")
        self.method, self.target, _ = line.split(" ", 2)
        fields = (field.partition(":") for field in lines)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        #: Of the body.
        self.length = int(headers.get("content-length", 0))
        said = headers.get("x-ms-range") or headers.get("range", "")
        wanted = re.match(r"bytes=(\d+)-(\d+)", said)
        #: From the first byte that was asked for to the one after the last.
        self.range = None if wanted is None else (int(wanted[1]), int(wanted[2]) + 1)


def head(status: int, version: str | None = "1", **headers: object) -> bytes:
    """The head of an answer, with a version as each of the services states it."""
    lines = [f"HTTP/1.1 {status} X"]
    if version is not None:
        # Neither is looked at by the others.
        etag = version if '"' in version else f'"{version}"'
        lines += [f"ETag: {etag}"]
        if version.isdigit():
            lines += [f"X-Goog-Generation: {version}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


async def send(peer: Peer, letter: bytes, count: int) -> None:
    piece = letter * min(count, MIB)
    while count:
        count -= (size := min(count, MIB))
        peer.writer.write(piece[:size])
        await peer.writer.drain()


Answering = Callable[[Peer, Request], Awaitable[None]]


@asynccontextmanager
async def serving(
    transport: str, answer: Answering, **options: Any
) -> AsyncIterator[tuple[FsspecStore, ScriptedServer]]:
    """A store on a server that answers each request by ``answer``."""

    async def script(peer: Peer) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await peer.reader.readuntil(b"\r\n\r\n")
                if b"100-continue" in head.lower():
                    peer.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request = Request(head)
                await peer.reader.readexactly(request.length)
                await answer(peer, request)

    async with scripted_server(script) as server:
        url = f"http://{server.host}:{server.port}"
        store = open_store(transport, url, **{"timeout": 5, "retries": 0, **options})
        try:
            yield store, server
        finally:
            await store.aclose()


async def closed(server: ScriptedServer) -> None:
    """Returns when the client has closed all connections."""
    await asyncio.wait_for(server.done(), 10)


# -- Versions --------------------------------------------------------------------------------------

PARTS: dict[str, tuple[str, Callable[[int, int], bytes]]] = {
    "another version": (
        "1",
        lambda start, end: head(
            206, "2", Content_Length=end - start, Content_Range=f"bytes {start}-{end - 1}/{SIZE}"
        ),
    ),
    "another total": (
        "1",
        lambda start, end: head(
            206,
            "1",
            Content_Length=end - start,
            Content_Range=f"bytes {start}-{end - 1}/{SIZE + 1}",
        ),
    ),
    "no version": (
        "1",
        lambda start, end: head(
            206, None, Content_Length=end - start, Content_Range=f"bytes {start}-{end - 1}/{SIZE}"
        ),
    ),
    "shorter": (
        "1",
        lambda start, end: head(
            206, "2", Content_Length=1, Content_Range=f"bytes {start}-{start}/{start + 1}"
        ),
    ),
    "refused": ("1", lambda start, end: head(412, None, Content_Length=0)),
    "gone": ("1", lambda start, end: head(416, None, Content_Length=0)),
    "weak": ('W/"1"', lambda start, end: head(412, None, Content_Length=0)),
}


@pytest.mark.parametrize("kind", PARTS)
async def test_a_value_is_never_put_together_of_two_versions(transport: str, kind: str) -> None:
    version, part = PARTS[kind]

    async def answer(peer: Peer, request: Request) -> None:
        if request.range is None:
            peer.writer.write(head(200, version, Content_Length=SIZE))
            await send(peer, OLD, SIZE)
            return
        said = part(*request.range)
        peer.writer.write(said)
        length = re.search(rb"Content-Length: (\d+)", said)
        assert length is not None
        await send(peer, NEW, int(length[1]))

    async with serving(transport, answer) as (store, _):
        value = await read(store, "k")
        assert value is not None
        assert (len(value), value.count(OLD)) == (SIZE, SIZE)


async def test_the_end_of_a_value_is_of_one_version() -> None:
    """Azure is asked for the size first, and here takes no notice of the condition."""
    sizes = iter([100, 200, 200])

    async def answer(peer: Peer, request: Request) -> None:
        if request.method == "HEAD":
            peer.writer.write(head(200, Content_Length=next(sizes)))
            return
        assert request.range is not None
        start, end = request.range
        content_range = f"bytes {start}-{end - 1}/200"
        peer.writer.write(head(206, "2", Content_Length=end - start, Content_Range=content_range))
        peer.writer.write(bytes(range(start, end)))

    async with serving("azure", answer) as (store, _):
        assert await read(store, "k", SuffixByteRequest(3)) == bytes([197, 198, 199])


# -- Permits ---------------------------------------------------------------------------------------


async def test_a_large_body_counts_as_a_request_until_it_is_read(transport: str) -> None:
    bodies = most = 0

    async def answer(peer: Peer, request: Request) -> None:
        nonlocal bodies, most
        bodies += 1
        most = max(most, bodies)
        try:
            start, end = request.range or (0, SIZE)
            if request.range is None:
                peer.writer.write(head(200, Content_Length=SIZE))
            else:
                content_range = f"bytes {start}-{end - 1}/{SIZE}"
                peer.writer.write(
                    head(206, Content_Length=end - start, Content_Range=content_range)
                )
            await send(peer, OLD, end - start - 1)
        finally:
            bodies -= 1
        # The client knows no sooner that it has all.
        await send(peer, OLD, 1)

    # A port may have been another server's of this process, or begin like one.
    limiters.clear()
    async with serving(transport, answer, timeout=20) as (store, _):
        await store.get("k")
        (limiter,) = limiters.values()
        limiter.limit, limiter.most = 2.0, 2
        most = 0
        values = await asyncio.gather(*(store.get("k") for _ in range(10)))
        assert all(value is not None and len(value) == SIZE for value in values)
        # A body that was given up is one for the server until it has noticed.
        assert 1 <= most <= 4
        assert limiter.in_flight == 0


# -- Sizes -----------------------------------------------------------------------------------------

LENGTHS: dict[str, dict[str, object]] = {
    "an absurd length": {"Content_Length": 10**17},
    "more than the machine has": {"Content_Length": 10**14},
    "a length of many digits": {"Content_Length": "9" * 5000},
    "many zeros": {"Content_Length": "0" * 5000 + "5"},
    "two lengths": {"Content_Length": "5\r\nContent-Length: 6"},
    "a negative length": {"Content_Length": "-5"},
    "a length and chunks": {"Content_Length": 5, "Transfer_Encoding": "chunked"},
    "a range of many digits": {
        "Content_Length": SIZE,
        "Content_Range": f"bytes {'0' * 5000}-{SIZE - 1}/{SIZE}",
    },
    "a total of many digits": {
        "Content_Length": SIZE,
        "Content_Range": f"bytes 0-{SIZE - 1}/{'9' * 5000}",
    },
}


@pytest.mark.parametrize("kind", LENGTHS)
async def test_a_size_that_cannot_be_is_an_error_and_closes_the_connection(
    transport: str, kind: str
) -> None:
    async def answer(peer: Peer, request: Request) -> None:
        status = 206 if "Content_Range" in LENGTHS[kind] else 200
        peer.writer.write(head(status, **LENGTHS[kind]) + b"5\r\nvalue\r\n0\r\n\r\n")
        await peer.closed()

    async with serving(transport, answer) as (store, server):
        asked = RangeByteRequest(0, SIZE) if "Content_Range" in LENGTHS[kind] else None
        if kind == "a length and chunks" and (
            transport == "s3fs" or transport.endswith("by aiohttp")
        ):
            pytest.skip("aiohttp takes the chunks, as RFC 9112, section 6.3, says it may")
        with pytest.raises(BackendError, match="'k'"):
            await store.get("k", None, asked)
        await closed(server)


async def test_a_416_without_a_range_is_an_error(transport: str) -> None:
    async def answer(peer: Peer, request: Request) -> None:
        peer.writer.write(head(416, Content_Length=0, Content_Range="bytes */5"))

    async with serving(transport, answer) as (store, _):
        for use in (store.get, store.get_version):
            with pytest.raises(BackendError, match=r"(?i)416|range not satisfiable"):
                await use("k")


UNREADABLE = {
    "no size": (200, "<Contents><Key>k</Key><Size>many</Size></Contents>"),
    "two keys": (200, "<Contents><Key>a</Key><Key>b</Key><Size>1</Size></Contents>"),
    "a code in a code": (400, "<Error><Code><x>y</x></Code></Error>"),
    "two codes": (404, "<Error><Code>a</Code><Code>b</Code></Error>"),
    "an error with the status of a success": (200, "<Error><Code><x>y</x></Code></Error>"),
    "no error": (300, ""),
    "nested": (400, "<a>" * 5000 + "</a>" * 5000),
    "not listed": (404, "<EncodingType>url</EncodingType><Contents><Key>a</Key></Contents>"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("transport", ["s3", "s3fs"])
async def test_what_botocore_cannot_read_is_an_error_of_the_service(
    transport: str, kind: str
) -> None:
    status, text = UNREADABLE[kind]

    async def answer(peer: Peer, request: Request) -> None:
        page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{text}</ListBucketResult>"
        if not text or text.startswith("<Error>"):
            page = text
        peer.writer.write(head(status, Content_Length=len(page)) + page.encode())

    async with serving(transport, answer) as (store, _):
        with pytest.raises(BackendError, match="cannot list"):
            await listed(store.list())


@pytest.mark.parametrize("transport", ["s3", "s3fs"])
async def test_headers_need_not_be_in_utf_8(transport: str) -> None:
    async def answer(peer: Peer, request: Request) -> None:
        said = head(200, Content_Length=5, x_amz_meta_author="J\u00f6rg").decode()
        peer.writer.write(said.encode("latin-1") + b"value")

    async with serving(transport, answer) as (store, _):
        assert await read(store, "k") == b"value"


async def test_a_date_that_botocore_cannot_read() -> None:
    async def answer(peer: Peer, request: Request) -> None:
        peer.writer.write(head(200, Content_Length=0, Last_Modified="never"))

    async with serving("s3fs", answer) as (store, _):
        with pytest.raises(BackendError, match=r'botocore cannot parse.*"never"'):
            await store.exists("k")


# -- Bodies without an end -------------------------------------------------------------------------


async def forever(peer: Peer, piece: bytes) -> None:
    with suppress(ConnectionError):
        while True:
            peer.writer.write(piece)
            await peer.writer.drain()


#: A byte of a body, and thousands that belong to none.
EXTENDED = b"1;" + b"x" * 4096 + b"\r\na\r\n"


@pytest.mark.parametrize("status", [200, 206, 500])
async def test_extensions_of_chunks_have_a_bound(transport: str, status: int) -> None:
    async def answer(peer: Peer, request: Request) -> None:
        peer.writer.write(
            head(status, Transfer_Encoding="chunked", Content_Range=f"bytes 0-{SIZE - 1}/{SIZE}")
        )
        await forever(peer, EXTENDED * 16)

    # Longer than the test may take: it is the bytes that are bounded.
    async with serving(transport, answer, timeout=600) as (store, server):
        with pytest.raises(BackendError):
            await asyncio.wait_for(store.get("k", byte_range=RangeByteRequest(0, SIZE)), 20)
        await closed(server)


@pytest.mark.parametrize("use", ["get", "list"])
async def test_extensions_of_chunks_of_a_value_or_a_list_have_a_bound(
    transport: str, use: str
) -> None:
    sent = 0

    async def answer(peer: Peer, request: Request) -> None:
        nonlocal sent
        peer.writer.write(head(200, Transfer_Encoding="chunked"))
        with suppress(ConnectionError):
            while sent < 100:
                sent += 1
                # Each byte of the body has 4,000 beside it.
                peer.writer.write((b"1;" + b"x" * 4000 + b"\r\na\r\n") * 256)
                await peer.writer.drain()

    async with serving(transport, answer, timeout=20) as (store, server):
        with pytest.raises(BackendError, match=r"too many|Connection was closed"):
            await (store.get("k") if use == "get" else listed(store.list()))
        await closed(server)
    # In MiB; what the system holds of a connection is not this package's.
    assert sent <= 20


async def test_heads_of_earlier_responses_do_not_count() -> None:
    async def answer(peer: Peer, request: Request) -> None:
        peer.writer.write(head(204, X_Long="x" * 6000))

    async with serving("google by aiohttp", answer) as (store, server):
        for _ in range(200):
            await store.delete("k")
        assert len(server.peers) == 1


async def test_an_error_has_a_bound(transport: str) -> None:
    if transport == "s3fs":
        pytest.skip("errors are read by aiobotocore")
    sent = 0

    async def answer(peer: Peer, request: Request) -> None:
        nonlocal sent
        peer.writer.write(head(404, Transfer_Encoding="chunked"))
        with suppress(ConnectionError):
            while sent < 100:
                sent += 1
                peer.writer.write(CHUNK)
                await peer.writer.drain()

    async with serving(transport, answer, timeout=20) as (store, server):
        with pytest.raises(BackendError):
            await store.get("k")
        await closed(server)
    assert sent <= 20


CHUNK = b"100000\r\n" + bytes(MIB) + b"\r\n"


@pytest.mark.parametrize("status", [200, 206])
async def test_a_response_to_a_range_has_a_bound(transport: str, status: int) -> None:
    sent = 0

    async def answer(peer: Peer, request: Request) -> None:
        nonlocal sent
        ranges = {"Content_Range": "bytes 0-9/10"} if status == 206 else {}
        peer.writer.write(head(status, Transfer_Encoding="chunked", **ranges))
        with suppress(ConnectionError):
            while sent < 500:
                sent += 1
                peer.writer.write(CHUNK)
                await peer.writer.drain()

    async with serving(transport, answer, timeout=20) as (store, server):
        with pytest.raises(BackendError, match="more than"):
            await store.get("k", None, RangeByteRequest(0, 10))
        await closed(server)
    # In MiB; what the system holds of a connection is not this package's.
    assert sent <= (64 if status == 200 else 0) + 20


async def test_a_part_far_into_a_whole_value_is_not_read_in_vain(transport: str) -> None:
    size = 70 * MIB + 10

    async def answer(peer: Peer, request: Request) -> None:
        # As a server that ignores ranges.
        peer.writer.write(head(200, Content_Length=size))
        await send(peer, OLD, 60 * MIB)
        await send(peer, NEW, size - 60 * MIB)

    async with serving(transport, answer, timeout=20) as (store, _):
        with pytest.raises(BackendError, match="ignores byte ranges"):
            await store.get("k", None, RangeByteRequest(size - 10, size))
        place = RangeByteRequest(60 * MIB - 1, 60 * MIB + 1)
        assert await read(store, "k", place) == OLD + NEW


async def test_a_page_of_a_listing_has_a_bound(transport: str) -> None:
    async def answer(peer: Peer, request: Request) -> None:
        peer.writer.write(head(200, Transfer_Encoding="chunked"))
        await forever(peer, CHUNK)

    async with serving(transport, answer, timeout=20) as (store, server):
        with pytest.raises(BackendError, match="more than"):
            await listed(store.list())
        await closed(server)


@pytest.mark.parametrize("transport", ["s3", "s3fs"])
async def test_a_document_of_s3_has_a_bound_and_is_not_requested_again(transport: str) -> None:
    entry = "<Contents><Key>k</Key><Size>1</Size></Contents>"
    entries = entry * (9 * MIB // len(entry))
    page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    asked = 0

    async def answer(peer: Peer, request: Request) -> None:
        nonlocal asked
        asked += 1
        peer.writer.write(head(200, Content_Length=len(page)) + page.encode())

    async with serving(transport, answer, retries=2) as (store, _):
        with pytest.raises(BackendError, match="an XML document of more than 8388608 bytes"):
            await listed(store.list())
    assert asked == 1


@pytest.mark.parametrize("transport", ["s3", "s3fs"])
async def test_a_long_error_is_not_repeated(transport: str) -> None:
    said = f"<Error><Code>Odd</Code><Message>{'word ' * 20_000}</Message></Error>"

    async def answer(peer: Peer, request: Request) -> None:
        peer.writer.write(head(400, Content_Length=len(said)) + said.encode())

    async with serving(transport, answer) as (store, _):
        with pytest.raises(BackendError) as raised:
            await store.get("k")
    assert "word" not in str(raised.value)


# -- Responses byte by byte ------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["head", "interim", "body"])
async def test_a_response_below_the_minimum_rate_is_an_error(transport: str, where: str) -> None:
    start, piece = {
        "head": (b"HTTP/1.1 200 OK\r\nETag: ", b"a"),
        "interim": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        "body": (head(200, Content_Length=100_000), b"a"),
    }[where]

    async def answer(peer: Peer, request: Request) -> None:
        peer.writer.write(start)
        ended = asyncio.create_task(peer.closed())
        while not ended.done():
            peer.writer.write(piece)
            await asyncio.wait([ended], timeout=0.1)

    async with serving(transport, answer, timeout=0.5) as (store, server):
        # 100,000 bytes would take hours.
        under_way = asyncio.gather(store.get("k"), listed(store.list()), return_exceptions=True)
        for error in await asyncio.wait_for(under_way, 20):
            assert isinstance(error, BackendError)
        await closed(server)
