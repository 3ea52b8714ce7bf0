"""Requests that the native transport sends, and those that aiohttp sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from fsspec_store._core.byte_requests import RangeByteRequest
from fsspec_store._http.client import HTTPClient
from fsspec_store._http.native_client import NativeClient
from fsspec_store._http.responses import ChangedWhileReadError
from fsspec_store._http.retrier import Stats
from fsspec_store._http.retry_policy import RetryPolicy
from fsspec_store._http.settings import Settings

POLICY = RetryPolicy(timeout=5, retries=1)


@asynccontextmanager
async def server(answer: Callable[[str], bytes]) -> AsyncIterator[str]:
    """Responds to each request with exactly these bytes."""
    conversations: list[tuple[asyncio.Task[None] | None, asyncio.StreamWriter]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.append((asyncio.current_task(), writer))
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(answer(head.decode("latin-1")))
        writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with running:
        host, port = running.sockets[0].getsockname()[:2]
        try:
            yield f"http://{host}:{port}"
        finally:
            for task, writer in conversations:
                writer.transport.abort()
                if task is not None:
                    await task


def client(url: str) -> tuple[HTTPClient, Stats]:
    settings = Settings(POLICY)
    native = NativeClient(url, POLICY)
    made = HTTPClient(url, aiohttp.ClientSession, url, settings, native=native)
    return made, settings.stats


async def test_a_request_is_sent_exactly_as_given() -> None:
    heads = []

    def answer(head: str) -> bytes:
        heads.append(head)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    async with server(answer) as url:
        http, _ = client(url)
        found = await http.once("GET", f"{url}/a%2Fb?c=d", expect={200}, headers={"X-A": "é"})
        await http.aclose()
    assert found.body == b"ok"
    assert found.headers["content-LENGTH"] == "2"
    host = url.removeprefix("http://")
    assert heads == [f"GET /a%2Fb?c=d HTTP/1.1\r\nHost: {host}\r\nX-A: é\r\n\r\n"]


@pytest.mark.parametrize("value", ["a\r\nX-B: c", "a\nX-B: c", "a\rX-B: c"])
async def test_a_line_break_in_a_header_is_an_error(value: str) -> None:
    native = NativeClient("http://127.0.0.1:9", POLICY)
    with pytest.raises(ValueError, match="line break"):
        await native.request("GET", "http://127.0.0.1:9/", {"X-A": value}, whole_up_to=1)
    await native.aclose()


async def test_aiohttp_sends_requests_after_a_protocol_error() -> None:
    heads = []

    def answer(head: str) -> bytes:
        heads.append(head)
        # RFC 9112 forbids folded lines, and aiohttp accepts them.
        return b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok"

    async with server(answer) as url:
        http, stats = client(url)

        async def read() -> bytes | memoryview | object:
            found = await http.send(lambda: http.fetch(url + "/a", expect={200}, headers={}))
            return found.body

        for _ in range(2):
            assert await read() == b"ok"
        await http.aclose()
    assert ["aiohttp" in head for head in heads] == [False, True, True]
    assert stats.retries == 1


@pytest.mark.parametrize("size", [2, 4])
async def test_a_part_of_another_size_is_an_error(size: int) -> None:
    body = b"x" * size

    def answer(head: str) -> bytes:
        lines = f"HTTP/1.1 206 OK\r\nContent-Range: bytes 0-2/9\r\nContent-Length: {size}\r\n\r\n"
        return lines.encode() + body

    async with server(answer) as url:
        http, _ = client(url)
        sink, part = memoryview(bytearray(3)), RangeByteRequest(0, 3)
        with pytest.raises(aiohttp.ClientPayloadError):
            await http.fetch_part(url + "/a", part, sink, headers={}, is_same=lambda _: True)
        with pytest.raises(ChangedWhileReadError):
            await http.fetch_part(url + "/a", part, sink, headers={}, is_same=lambda _: False)
        await http.aclose()
