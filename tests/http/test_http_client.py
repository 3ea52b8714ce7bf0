"""The HTTP client and its transports, which return equal responses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from fsspec_store._core.byte_requests import RangeByteRequest
from fsspec_store._core.failures import ChangedWhileReadError
from fsspec_store._http.aiohttp_transport import AiohttpTransport
from fsspec_store._http.client import HTTPClient
from fsspec_store._http.messages import BodyTooLongError, LargeBody, Request
from fsspec_store._http.native_transport import NativeTransport
from fsspec_store._http.responses import StatusError
from fsspec_store._http.retry_policy import RetryPolicy
from fsspec_store._http.settings import Settings
from fsspec_store._http.stats import Stats

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


def transports(url: str) -> list[NativeTransport | AiohttpTransport]:
    return [NativeTransport(url, POLICY, 2), AiohttpTransport(aiohttp.ClientSession, url, POLICY)]


def client(url: str, *, is_native: bool = True) -> tuple[HTTPClient, Stats]:
    settings = Settings(POLICY)
    native = NativeTransport(url, POLICY, 2) if is_native else None
    transport = AiohttpTransport(aiohttp.ClientSession, url, POLICY)
    return HTTPClient(url, settings, transport, native), settings.stats


async def test_a_request_is_sent_exactly_as_given() -> None:
    heads = []

    def answer(head: str) -> bytes:
        heads.append(head)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    async with server(answer) as url:
        http, _ = client(url)
        found = await http.once("GET", f"{url}/a%2Fb?c=d", {"X-A": "é"}, expect={200})
        await http.aclose()
    assert found.body == b"ok"
    assert found.headers["content-LENGTH"] == "2"
    host = url.removeprefix("http://")
    assert heads == [f"GET /a%2Fb?c=d HTTP/1.1\r\nHost: {host}\r\nX-A: é\r\n\r\n"]


@pytest.mark.parametrize("value", ["a\r\nX-B: c", "a\nX-B: c", "a\rX-B: c"])
async def test_a_line_break_in_a_header_is_an_error(value: str) -> None:
    native = NativeTransport("http://127.0.0.1:9", POLICY, 2)
    with pytest.raises(ValueError, match="line break"):
        await native.send(Request("GET", "http://127.0.0.1:9/", {"X-A": value}, {200}))
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
            found = await http.send(lambda: http.fetch(url + "/a", {}))
            return found.body

        for _ in range(2):
            assert await read() == b"ok"
        await http.aclose()
    assert ["aiohttp" in head for head in heads] == [False, True, True]
    assert stats.retries == 1


def response(status: int, body: bytes, *lines: str, chunked: bool = False) -> bytes:
    framing = f"Content-Length: {len(body)}"
    if chunked:
        framing = "Transfer-Encoding: chunked"
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    head = "\r\n".join([f"HTTP/1.1 {status} Status", framing, *lines])
    return head.encode() + b"\r\n\r\n" + body


async def test_a_body_up_to_the_threshold_is_read() -> None:
    async with server(lambda _: response(200, b"abcd", "X-A: b")) as url:
        for transport in transports(url):
            found = await transport.send(Request("GET", url + "/", {}, {200}, unread_above=4))
            assert (found.status, found.headers["x-a"], found.body) == (200, "b", b"abcd")
            await transport.aclose()


async def test_a_longer_body_is_left_unread() -> None:
    async with server(lambda _: response(200, b"x" * 200_000)) as url:
        for transport in transports(url):
            found = await transport.send(Request("GET", url + "/", {}, {200}, unread_above=4))
            body = found.body
            assert isinstance(body, LargeBody)
            assert body.size == 200_000
            sink = memoryview(bytearray(body.size))
            await body.stream.read_into(sink)
            body.stream.close()
            assert sink == b"x" * 200_000
            await transport.aclose()


async def test_an_error_body_is_read_in_full() -> None:
    async with server(lambda _: response(404, b"abcd")) as url:
        for transport in transports(url):
            found = await transport.send(Request("GET", url + "/", {}, {404}, unread_above=1))
            assert found.body == b"abcd"
            await transport.aclose()


async def test_the_length_in_the_response_to_head_is_not_the_size_of_a_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    async with server(lambda _: head) as url:
        for transport in transports(url):
            found = await transport.send(Request("HEAD", url + "/", {}, {200}, unread_above=1))
            assert found.body == b""
            assert found.headers["Content-Length"] == "1000000"
            await transport.aclose()


async def test_a_body_of_unknown_length_is_bounded() -> None:
    async with server(lambda _: response(200, b"abcd", chunked=True)) as url:
        for transport in transports(url):
            bounded = Request("GET", url + "/", {}, {200}, unread_above=1, max_bytes=lambda _: 3)
            with pytest.raises(BodyTooLongError):
                await transport.send(bounded)
            found = await transport.send(Request("GET", url + "/", {}, {200}, unread_above=1))
            assert found.body == b"abcd"
            await transport.aclose()


async def test_a_part_is_read_into_memory_of_its_size() -> None:
    async with server(lambda _: response(206, b"abcd")) as url:
        for transport in transports(url):
            sink = memoryview(bytearray(4))
            found = await transport.send(Request("GET", url + "/", {}, {206}, into=sink))
            assert found.body is sink
            assert sink == b"abcd"
            await transport.aclose()


@pytest.mark.parametrize("is_native", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
async def test_a_part_is_read(chunked: bool, is_native: bool) -> None:
    part = response(206, b"abc", "Content-Range: bytes 0-2/9", chunked=chunked)
    async with server(lambda _: part) as url:
        http, _ = client(url, is_native=is_native)
        sink = memoryview(bytearray(3))
        await http.fetch_part(
            url + "/", {}, part=RangeByteRequest(0, 3), sink=sink, is_same=lambda _: True
        )
        assert sink == b"abc"
        await http.aclose()


@pytest.mark.parametrize("is_native", [True, False])
@pytest.mark.parametrize("size", [2, 4])
async def test_a_part_of_another_size_is_an_error(size: int, is_native: bool) -> None:
    body = response(206, b"x" * size, "Content-Range: bytes 0-2/9")
    async with server(lambda _: body) as url:
        http, _ = client(url, is_native=is_native)
        sink, part = memoryview(bytearray(3)), RangeByteRequest(0, 3)
        with pytest.raises(aiohttp.ClientPayloadError):
            await http.fetch_part(url + "/a", {}, part=part, sink=sink, is_same=lambda _: True)
        with pytest.raises(ChangedWhileReadError):
            await http.fetch_part(url + "/a", {}, part=part, sink=sink, is_same=lambda _: False)
        await http.aclose()


@pytest.mark.parametrize("is_native", [True, False])
async def test_an_unexpected_status_is_an_error_without_secrets(is_native: bool) -> None:
    async with server(lambda head: response(403, b"no access with " + b"token-1234")) as url:
        http, _ = client(url, is_native=is_native)
        headers = {"Authorization": "Bearer token-1234"}
        with pytest.raises(StatusError) as caught:
            await http.once("GET", url + "/", headers, expect={200})
        await http.aclose()
    assert caught.value.response.status == 403
    assert caught.value.response.body.startswith(b"no access with ")
    assert b"token-1234" not in caught.value.response.body


@pytest.mark.parametrize("is_native", [True, False])
async def test_a_response_that_is_no_value_is_bounded(is_native: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"
    async with server(lambda _: head) as url:
        http, _ = client(url, is_native=is_native)
        with pytest.raises(OSError, match="100000000 bytes in response to a GET"):
            await http.once("GET", url + "/", {}, expect={200})
        with pytest.raises(StatusError, match="status 200"):
            await http.once("GET", url + "/", {}, expect={204})
        await http.aclose()
