from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.certificates import Certificate, make_certificate
from servers.scripted import (
    Peer,
    Script,
    ScriptedServer,
    narrow,
    nothing_left,
    scripted_server,
)

from fsspec_store._http.http1.channels import Channel, PlainChannel, TLSChannel
from fsspec_store._http.http1.connection import Connection
from fsspec_store._http.http1.head_parser import ProtocolError
from fsspec_store._http.messages import BodyTooLongError, Expected, Response

#: Longer than any test takes.
PATIENT = 20.0
IMPATIENT = 0.2
WHOLE = 2**25
REQUEST = b"GET /x HTTP/1.1\r\nhost: test\r\n\r\n"
NEXT_REQUEST = b"GET /y HTTP/1.1\r\nhost: test\r\n\r\n"


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    async with nothing_left():
        yield


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def connected(
    script: Script,
    *,
    patience: float = PATIENT,
    tls: Certificate | None = None,
    is_narrow: bool = False,
) -> AsyncIterator[tuple[Connection, ScriptedServer]]:
    """A connection to a server that follows the script."""
    loop = asyncio.get_running_loop()
    context = None if tls is None else tls.server_context()
    async with scripted_server(script, tls=context, is_narrow=is_narrow) as server:
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, (server.host, server.port))
        channel: Channel = PlainChannel(sock)
        if tls is not None:
            channel = TLSChannel(sock, tls.client_context(), server.host)
            await channel.handshake()
        if is_narrow:
            narrow(sock)
        connection = Connection(loop, channel, patience, threads=2)
        try:
            yield connection, server
        finally:
            connection.abort()
            await asyncio.sleep(0)


def answers(*answers: list[bytes] | bytes) -> Script:
    """Responds to each request with these bytes or pieces, and waits until the client closes."""

    async def script(peer: Peer) -> None:
        for answer in answers:
            await peer.request()
            await peer.send(*([answer] if isinstance(answer, bytes) else answer))
        await peer.closed()

    return script


def response(body: bytes = b"", status: int = 200, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} x", *headers, f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def ask(connection: Connection, head: bytes = REQUEST, **options: Any) -> Response:
    body = options.pop("body", None)
    return await connection.request(head, body, Expected(**{"unread_above": WHOLE, **options}))


def body_of(answer: Response) -> bytes:
    assert answer.body is not None
    return bytes(answer.body)


async def rounds() -> None:
    """Returns when the loop has processed all earlier events."""
    for _ in range(5):
        await asyncio.sleep(0)


def pattern(size: int) -> bytes:
    """Bytes without two equal neighbouring pages."""
    return np.arange(size // 4 + 1, dtype=">u4").tobytes()[:size]


# -- Responses ---------------------------------------------------------------------------------


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\na: b\r\n\r\n"


@st.composite
def responses(draw: st.DrawFn) -> tuple[bytes, dict[str, Any], int, bytes]:
    """Bytes of a response, options of the request, expected status and body."""
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * draw(st.integers(0, 2))
    kind = draw(st.sampled_from(["length", "chunked", "head", "no content", "into"]))
    body = draw(st.binary(max_size=500) | st.binary(min_size=500, max_size=500).map(pattern_like))
    if kind == "chunked":
        return interim + chunked(body, draw(st.integers(1, 9000))), {}, 200, body
    if kind == "head":
        return interim + response(body)[: -len(body) or None], {"no_body": True}, 200, b""
    if kind == "no content":
        return interim + b"HTTP/1.1 204 No Content\r\n\r\n", {}, 204, b""
    if kind == "into":
        into = memoryview(bytearray(draw(st.sampled_from([len(body), 7]))))
        return interim + response(body, 206), {"into": into}, 206, body
    status = draw(st.sampled_from([200, 206, 404, 503]))
    return interim + response(body, status), {}, status, body


def pattern_like(seed: bytes) -> bytes:
    # Longer than one read of the socket.
    return seed * 300


@settings(max_examples=150)
@given(st.lists(st.tuples(responses(), st.lists(st.integers(0, 2**20), max_size=8)), max_size=4))
async def test_any_sequence_of_responses_in_any_pieces(
    samples: list[tuple[tuple[bytes, dict[str, Any], int, bytes], list[int]]],
) -> None:
    sent = []
    for (data, *_), places in samples:
        cuts = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
        sent.append([data[a:b] for a, b in pairwise(cuts)])
    async with connected(answers(*sent)) as (connection, _):
        for (_, options, status, body), _ in samples:
            answer = await ask(connection, **options)
            assert (answer.status, body_of(answer)) == (status, body)
            assert connection.is_open


async def test_a_response_byte_by_byte() -> None:
    body = pattern(300)
    for data in (response(body), chunked(body, 70)):
        pieces = [data[place : place + 1] for place in range(len(data))]
        async with connected(answers(pieces, data)) as (connection, _):
            assert body_of(await ask(connection)) == body
            assert body_of(await ask(connection)) == body


@pytest.mark.parametrize("size", [0, 1, 65_000, 2**16, 200_000])
async def test_a_body_until_the_connection_closes(size: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.0 200 OK\r\na: b\r\n\r\n", pattern(size))

    async with connected(script) as (connection, _):
        answer = await ask(connection)
        assert body_of(answer) == pattern(size)
        assert answer.headers == {"a": "b"}
        assert not connection.is_open


async def test_the_maximum_size_of_a_head() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\na: " + b"x" * (2**16 - 43) + b"\r\n\r\n"
    assert len(head) == 2**16
    pieces = [head[start : start + 5000] for start in range(0, len(head), 5000)]
    async with connected(answers([*pieces, b"ok"])) as (connection, _):
        assert body_of(await ask(connection)) == b"ok"
    async with connected(answers(head.replace(b"a: ", b"a: x"))) as (connection, _):
        with pytest.raises(ProtocolError, match="more than 65536 bytes"):
            await ask(connection)
        assert not connection.is_open


@pytest.mark.parametrize("kind", ["length", "chunks", "until close", "into", "in pieces"])
@pytest.mark.parametrize("size", [0, 5, 70_000, 3_000_000])
async def test_on_chunk_receives_each_piece_of_the_body(kind: str, size: int) -> None:
    body = pattern(size)
    head = b"HTTP/1.1 200 OK\r\nx: y\r\n"
    sent = {
        "length": [response(body)],
        "chunks": [chunked(body, 999)],
        "until close": [head + b"\r\n" + body],
        "into": [response(body, 206)],
        "in pieces": [response(body)[:40], response(body)[40:]],
    }[kind]
    asked: list[int] = []
    seen: list[bytes] = []

    def on_chunk(status: int, headers: Mapping[str, str]) -> Callable[[memoryview], None]:
        assert headers
        asked.append(status)
        return lambda piece: seen.append(bytes(piece))

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*sent)
        if kind != "until close":
            await peer.request()
            await peer.send(response(b"next"))

    async with connected(script) as (connection, _):
        into = memoryview(bytearray(size)) if kind == "into" else None
        answer = await ask(connection, on_chunk=on_chunk, into=into)
        assert body_of(answer) == body
        assert b"".join(seen) == body
        assert asked == [206 if kind == "into" else 200]
        if kind != "until close":
            # The next response is not passed to it.
            assert body_of(await ask(connection)) == b"next"
            assert b"".join(seen) == body


async def test_on_chunk_is_optional_and_not_called_for_streams() -> None:
    async with connected(answers(response(b"one"), response(pattern(100_000)))) as (connection, _):
        assert body_of(await ask(connection, on_chunk=lambda status, headers: None)) == b"one"
        answer = await ask(
            connection, unread_above=1000, on_chunk=lambda *_: pytest.fail("was called")
        )
        assert (answer.body, connection.unread) == (None, 100_000)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-server\r\n",
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nok\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\nwhatever comes now",
        # Larger than the maximum of an error body.
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 33554433\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\ncontent-length: 1048577\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\n\r\n" + b"x" * (2**20 + 1),
        b"HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n200000\r\n" + b"x" * (2**20 + 1),
    ],
)
async def test_an_invalid_response_fails_at_once(data: bytes) -> None:
    async with connected(answers(data)) as (connection, server):
        with pytest.raises(ProtocolError):
            await ask(connection)
        assert not connection.is_open
        await server.done()


async def test_a_body_larger_than_memory_is_an_error() -> None:
    data = b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999999999\r\n\r\n"
    async with connected(answers(data)) as (connection, server):
        with pytest.raises(MemoryError):
            await ask(connection, unread_above=10**18)
        await server.done()


async def test_connection_close_is_respected() -> None:
    async with connected(answers(response(b"ok", 200, "connection: close"))) as (connection, _):
        assert body_of(await ask(connection)) == b"ok"
        assert not connection.is_open


@pytest.mark.parametrize("kind", ["length", "chunked", "until close", "refusal"])
async def test_an_idle_connection_holds_no_body(kind: str) -> None:
    body = pattern(2**20)
    sent = {
        "length": response(body),
        "chunked": chunked(body, 2**17),
        "until close": b"HTTP/1.1 200 OK\r\n\r\n" + body,
        "refusal": response(body, 404),
    }[kind]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(sent)
        if kind != "until close":
            await peer.closed()

    async with connected(script) as (connection, _):
        answer = await ask(connection)
        assert body_of(answer) == body
        assert answer.body is not None
        # Arrays have weak references; bytearrays cannot be resized while a view exists.
        memory = answer.body.obj
        gone = weakref.ref(memory) if isinstance(memory, np.ndarray) else memory.clear
        del answer, memory
        gc.collect()
        assert gone() is None


# -- Memory of the caller ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3000, 300_000])
async def test_into_of_the_right_size_is_filled_in_place(size: int) -> None:
    memory = bytearray(size)
    async with connected(answers(response(pattern(size), 206))) as (connection, _):
        answer = await ask(connection, into=memoryview(memory), unread_above=0)
        assert answer.body is not None
        assert answer.body.obj is memory
        assert memory == pattern(size)


@pytest.mark.parametrize(("size", "status"), [(99, 206), (101, 206), (100, 200), (100, 404)])
async def test_into_is_unchanged_for_another_size_or_status(size: int, status: int) -> None:
    memory = bytearray(100)
    async with connected(answers(response(pattern(size), status))) as (connection, _):
        answer = await ask(connection, into=memoryview(memory))
        assert body_of(answer) == pattern(size)
        assert memory == bytes(100)


async def test_into_is_released_when_the_request_is_cancelled() -> None:
    memory = bytearray(300_000)
    half_sent = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        data = response(b"x" * len(memory), 206)
        await peer.send(data[:200_000])
        half_sent.set()
        await peer.send(data[200_000:])
        await peer.closed()

    async with connected(script) as (connection, server):
        asking = asyncio.create_task(ask(connection, into=memoryview(memory)))
        await half_sent.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        memory[:] = bytes(len(memory))
        await server.done()
        assert not any(memory)


# -- Surplus bytes -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [201, 404])
async def test_only_the_body_of_a_value_is_a_stream(status: int) -> None:
    data = response(bytes(200_000), status)
    # The body arrives after its head.
    async with connected(answers([data[:100], data[100:]])) as (connection, _):
        answer = await ask(connection, unread_above=1)
        assert body_of(answer) == bytes(200_000)


SURPLUS = response(b"another's answer")


@pytest.mark.parametrize("size", [0, 1, 20_000, 2**16 - 44, 2**16, 300_000])
@pytest.mark.parametrize("kind", ["length", "chunked", "into", "stream", "HEAD"])
async def test_surplus_after_a_response_is_never_the_next_response(kind: str, size: int) -> None:
    body = pattern(size)
    options: dict[str, Any] = {}
    data = response(body)
    if kind == "chunked":
        data = chunked(body, 2**20)
    elif kind == "into":
        data, options = response(body, 206), {"into": memoryview(bytearray(size))}
    elif kind == "stream":
        options = {"unread_above": 0}
    elif kind == "HEAD":
        options = {"no_body": True}
    # In one write, the surplus in its own, and one byte of it with the response.
    for pieces in ([data + SURPLUS], [data, SURPLUS], [data + SURPLUS[:1], SURPLUS[1:]]):

        async def script(peer: Peer, pieces: list[bytes] = pieces) -> None:
            await peer.request()
            for piece in pieces:
                peer.writer.write(piece)
            await peer.closed()

        async with connected(script) as (connection, _):
            answer = await ask(connection, **options)
            if answer.body is None:
                memory = memoryview(bytearray(size))
                half = size // 2
                await connection.read_into(memory[:half])
                await connection.read_into(memory[half:])
                assert memory == body
            else:
                assert body_of(answer) == (b"" if kind == "HEAD" else body)
            # Without a round of the loop in between.
            assert not connection.is_open


async def test_surplus_after_a_head_that_fills_the_buffer_is_found() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n"
    filler = 2**16 - 60_000 - len(head) - len(b"a: \r\n\r\n")
    data = head + b"a: " + b"x" * filler + b"\r\n\r\n" + pattern(60_000)
    assert len(data) == 2**16

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(data + SURPLUS)
        await peer.closed()

    async with connected(script) as (connection, _):
        assert body_of(await ask(connection)) == pattern(60_000)
        assert not connection.is_open


async def test_unexpected_bytes_close_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(response(b"ok"))
        await may_go_on.wait()
        await peer.send(SURPLUS)
        await peer.closed()

    may_go_on = asyncio.Event()
    async with connected(script) as (connection, server):
        assert body_of(await ask(connection)) == b"ok"
        assert connection.is_open
        may_go_on.set()
        await server.done()
        assert not connection.is_open
        with pytest.raises(ConnectionError):
            await ask(connection)


async def test_an_end_of_file_closes_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(response(b"ok"))

    async with connected(script) as (connection, server):
        assert body_of(await ask(connection)) == b"ok"
        await server.done()
        await rounds()
        assert not connection.is_open
        with pytest.raises(ConnectionError):
            await ask(connection)


# -- Servers that break off --------------------------------------------------------------------

ENDS: dict[str, Callable[[Peer], object]] = {
    "closes": lambda peer: None,
    "says no more": Peer.finish,
    "breaks off": Peer.reset,
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    ("sent", "where"),
    [
        (b"", "before"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "before"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "before"),
        (response(b"whole")[:-1], "within"),
        (response(pattern(300_000))[:-1], "within"),
        (chunked(b"whole", 2)[:-1], "within"),
    ],
)
async def test_a_response_that_breaks_off_is_an_error(sent: bytes, where: str, end: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(sent)
        ENDS[end](peer)
        if end == "says no more":
            await peer.closed()

    async with connected(script) as (connection, server):
        with pytest.raises(ConnectionResetError, match=f"broke {where} the response"):
            await ask(connection)
        assert not connection.is_open
        await server.done()


async def test_a_body_until_close_that_is_broken_off_is_an_error() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        peer.reset()

    async with connected(script) as (connection, _):
        with pytest.raises(ConnectionResetError, match="within") as caught:
            await ask(connection)
        assert isinstance(caught.value.__cause__, ConnectionResetError)


#: Sent by the event loop and by a thread.
SIZES_OF_UPLOADS = [200_000, 3_000_000]


def is_sending(connection: Connection) -> bool:
    transport = connection.transport
    assert transport is not None
    return transport.get_write_buffer_size() > 0 or transport.transferring is not None


@pytest.mark.parametrize("size", SIZES_OF_UPLOADS)
async def test_an_end_of_file_ends_an_upload_that_the_server_does_not_read(size: int) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await is_stuck.wait()
        peer.finish()
        await done.wait()

    is_stuck, done = asyncio.Event(), asyncio.Event()
    async with connected(script, is_narrow=True) as (connection, _):
        sending = asyncio.create_task(put(connection, pattern(size)))
        await rounds()
        assert is_sending(connection)
        is_stuck.set()
        with pytest.raises(ConnectionResetError):
            await sending
        done.set()


# -- Timeouts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\n", response(b"whole")[:-1], chunked(b"whole", 2)[:-1]]
)
async def test_a_response_that_stalls_times_out(sent: bytes) -> None:
    async with connected(answers(sent), patience=IMPATIENT) as (connection, server):
        with pytest.raises(TimeoutError, match=r"no response for 0.2 s"):
            await ask(connection)
        assert not connection.is_open
        await server.done()


async def test_a_slow_body_does_not_time_out() -> None:
    body = pattern(5 * 2**12)

    async def slowly(peer: Peer) -> None:
        await peer.request()
        data = response(body)
        for place in range(0, len(data), 2**12):
            await peer.send(data[place : place + 2**12])
            await asyncio.sleep(0.2)
        await peer.closed()

    async with connected(slowly, patience=0.6) as (connection, _):
        assert body_of(await ask(connection)) == body


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64;",
    ],
    ids=["head", "body", "chunk"],
)
async def test_a_response_slower_than_the_minimum_rate_times_out(start: bytes) -> None:
    async def trickle(peer: Peer) -> None:
        await peer.request()
        await peer.send(start)
        closed = asyncio.create_task(peer.closed())
        while not closed.done():
            await peer.send(b"a")
            await asyncio.wait([closed], timeout=0.05)

    async with connected(trickle, patience=0.3) as (connection, server):
        with pytest.raises(TimeoutError, match=r"too slow|no response"):
            # Before the 100 bytes have arrived.
            await asyncio.wait_for(ask(connection), 3)
        await server.done()


async def test_the_maximum_number_of_interim_responses() -> None:
    interim = b"HTTP/1.1 102 Processing\r\n\r\n"
    async with connected(answers(interim * 16 + response(b"ok"))) as (connection, _):
        assert body_of(await ask(connection)) == b"ok"

    async def forever(peer: Peer) -> None:
        await peer.request()
        with suppress(ConnectionError):
            while True:
                await peer.send(interim)

    async with connected(forever) as (connection, server):
        with pytest.raises(ProtocolError, match="interim"):
            await ask(connection)
        await server.done()


@pytest.mark.parametrize("kind", ["chunked", "until the end", "extensions", "trailers"])
async def test_the_maximum_size_of_a_body_of_unknown_length(kind: str) -> None:
    head = b"HTTP/1.1 200 OK\r\n"
    if kind != "until the end":
        head += b"transfer-encoding: chunked\r\n"
    piece = {
        "chunked": b"8000\r\n" + bytes(2**15) + b"\r\n",
        "until the end": bytes(2**15),
        "extensions": b"1;" + b"a" * 8000 + b"\r\nx\r\n",
        "trailers": b"a: " + b"b" * 8000 + b"\r\n",
    }[kind]

    async def forever(peer: Peer) -> None:
        await peer.request()
        await peer.send(head + b"\r\n", b"0\r\n" if kind == "trailers" else b"")
        with suppress(ConnectionError):
            while True:
                await peer.send(piece)

    async with connected(forever) as (connection, server):
        error = (BodyTooLongError, ProtocolError)
        with pytest.raises(error, match=r"more than 100000 bytes|too many"):
            await ask(connection, max_bytes=lambda status: 100_000)
        await server.done()


async def test_each_request_has_its_own_timeout() -> None:
    async def script(peer: Peer) -> None:
        for _ in range(4):
            await peer.request()
            await asyncio.sleep(0.2)
            await peer.send(response(b"ok"))
        await peer.request()
        await peer.closed()

    async with connected(script, patience=0.6) as (connection, _):
        for _ in range(4):
            assert body_of(await ask(connection)) == b"ok"
        with pytest.raises(TimeoutError):
            await ask(connection)


async def test_an_idle_connection_does_not_time_out() -> None:
    async with connected(answers(response(b"1"), response(b"2")), patience=0.1) as (connection, _):
        assert body_of(await ask(connection)) == b"1"
        await asyncio.sleep(0.3)
        assert connection.is_open
        assert body_of(await ask(connection)) == b"2"


# -- Cancellation ------------------------------------------------------------------------------

STATES = {
    "nothing came": [],
    "within the head": [b"HTTP/1.1 200 OK\r\n"],
    "after an interim answer": [b"HTTP/1.1 100 Continue\r\n\r\n"],
    "within the body": [response(pattern(300_000))[:200_000]],
    "within a chunk": [chunked(b"whole", 3)[:-9]],
    "within a body until close": [b"HTTP/1.1 200 OK\r\n\r\nhalf"],
}


@pytest.mark.parametrize("state", STATES)
async def test_a_cancelled_request_closes_the_connection(state: str) -> None:
    there = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*STATES[state])
        there.set()
        await peer.closed()

    async with connected(script) as (connection, server):
        asking = asyncio.create_task(ask(connection))
        await there.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not connection.is_open
        await server.done()


@pytest.mark.parametrize("what_else", ["answered", "broken off", "malformed", "nothing"])
@pytest.mark.parametrize("sending", [False, True])
async def test_a_request_cancelled_at_the_moment_of_another_event(
    sending: bool, what_else: str
) -> None:
    sent = {
        "answered": response(b"ok"),
        "broken off": b"",
        "malformed": b"SSH-2.0\r\n",
        "nothing": b"",
    }[what_else]
    there = asyncio.Event()
    done = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        there.set()
        await done.wait()

    body = pattern(3_000_000) if sending else b""
    async with connected(script, is_narrow=True) as (connection, server):
        transport = connection.transport
        assert transport is not None
        asking = asyncio.create_task(put(connection, body))
        await there.wait()
        # As the loop calls it, before the task runs.
        for first in (True, False):
            if first:
                asking.cancel()
            elif what_else == "broken off":
                connection.connection_lost(ConnectionResetError())
            elif sent:
                connection.get_buffer()[: len(sent)] = sent
                connection.buffer_updated(len(sent))
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not connection.is_open
        assert server.peers[0].writer.transport is not None
        # No transport has called `connection_lost`: it still has the socket, or its thread has.
        transport.close_without_loop()
        done.set()


# -- Bodies of requests ------------------------------------------------------------------------


async def put(connection: Connection, body: bytes, **options: Any) -> Response:
    head = f"PUT /x HTTP/1.1\r\nhost: test\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    return await ask(connection, head, body=memoryview(body), **options)


@pytest.mark.parametrize("size", [0, 1, 2**16, 2**16 + 1, 2**18, 10_000_000])
@pytest.mark.parametrize("with_tls", [False, True])
async def test_a_body_is_sent_whole(size: int, with_tls: bool, certificate: Certificate) -> None:
    seen = []

    async def script(peer: Peer) -> None:
        for _ in range(2):
            seen.append(await peer.request())
            await peer.send(response(b"ok"))
        await peer.closed()

    body = pattern(size)
    async with connected(script, tls=certificate if with_tls else None) as (connection, _):
        for _ in range(2):
            assert body_of(await put(connection, body)) == b"ok"
            assert connection.is_open
    assert [request.partition(b"\r\n\r\n")[2] == body for request in seen] == [True, True]


@pytest.mark.parametrize("with_tls", [False, True])
async def test_no_copy_of_the_body_is_made_for_a_slow_reader(
    with_tls: bool, certificate: Certificate
) -> None:
    body = pattern(10_000_000)

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        left = len(body)
        while left:
            left -= len(await peer.reader.read(2**16))
        await peer.send(response(b"ok"))
        await peer.closed()

    tls = certificate if with_tls else None
    async with connected(script, tls=tls, is_narrow=True) as (connection, _):
        tracemalloc.start()
        try:
            assert body_of(await put(connection, body)) == b"ok"
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak <= 2**21


async def test_a_slow_upload_does_not_time_out() -> None:
    body = pattern(2_000_000)

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        left = len(body)
        while left > 1_500_000:
            # So few bytes that the transport stays paused for longer than the timeout.
            await asyncio.sleep(0.05)
            left -= len(await peer.reader.read(10_000))
        await peer.reader.readexactly(left)
        await peer.send(response(b"ok"))
        await peer.closed()

    async with connected(script, patience=1.0, is_narrow=True) as (connection, _):
        assert body_of(await put(connection, body)) == b"ok"


@pytest.mark.parametrize("with_tls", [False, True])
async def test_an_upload_that_stalls_times_out(with_tls: bool, certificate: Certificate) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.reader.readexactly(100_000)
        await done.wait()

    done = asyncio.Event()
    tls = certificate if with_tls else None
    async with connected(script, patience=IMPATIENT, tls=tls, is_narrow=True) as (connection, _):
        with pytest.raises(TimeoutError):
            await put(connection, pattern(3_000_000))
        assert not connection.is_open
        done.set()


@pytest.mark.parametrize("size", [50_000, 3_000_000])
async def test_a_response_before_the_body_was_sent_is_returned(size: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(response(b"too large", 413))
        await done.wait()

    done = asyncio.Event()
    async with connected(script, is_narrow=True) as (connection, _):
        answer = await put(connection, pattern(size))
        assert (answer.status, body_of(answer)) == (413, b"too large")
        # The rest of the body must not precede another request.
        assert connection.is_open is (size < 2**16)
        done.set()


@pytest.mark.parametrize("size", SIZES_OF_UPLOADS)
async def test_a_response_before_the_request_is_sent(size: int) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await is_stuck.wait()
        await peer.send(response(b"no", 403))
        await done.wait()

    is_stuck, done = asyncio.Event(), asyncio.Event()
    async with connected(script, is_narrow=True) as (connection, _):
        asking = asyncio.create_task(put(connection, pattern(size)))
        await asyncio.sleep(0)
        assert is_sending(connection)
        is_stuck.set()
        answer = await asking
        assert (answer.status, body_of(answer)) == (403, b"no")
        assert not connection.is_open
        done.set()


class UnsentChannel(PlainChannel):
    """Has accepted bytes that are not sent, such as a message of TLS itself."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.has_output = True
        self.send = self._send

    def _send(self, data: bytes | memoryview) -> int:
        self.has_output = False
        return self.sock.send(data)


async def test_a_request_on_a_connection_with_unsent_bytes_is_sent() -> None:
    loop = asyncio.get_running_loop()
    ours, peers = socket.socketpair()
    ours.setblocking(False)
    peers.setblocking(False)
    connection = Connection(loop, UnsentChannel(ours), PATIENT, threads=2)
    with peers:
        asking = asyncio.create_task(ask(connection))
        assert await asyncio.wait_for(loop.sock_recv(peers, 1000), 10) == REQUEST
        await loop.sock_sendall(peers, response(b"ok"))
        assert body_of(await asking) == b"ok"
        connection.abort()


# -- Streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize("with_tls", [False, True])
@settings(max_examples=25)
@given(
    st.integers(1, 500_000),
    st.lists(st.integers(0, 200_000), max_size=20),
    st.lists(st.integers(0, 2**20), max_size=5),
)
async def test_a_stream_is_read_in_pieces_of_any_sizes(
    certificate: Certificate, with_tls: bool, size: int, pieces: list[int], places: list[int]
) -> None:
    body = pattern(size)
    data = response(body)
    cuts = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    sent = [data[a:b] for a, b in pairwise(cuts)]
    script = answers(sent, response(b"next"))
    async with connected(script, tls=certificate if with_tls else None) as (connection, _):
        answer = await ask(connection, unread_above=0)
        if answer.body is None:
            assert (answer.body, connection.unread) == (None, size)
            assert not connection.is_open
            read = bytearray()
            for piece in [*pieces, size]:
                memory = bytearray(min(piece, connection.unread))
                await connection.read_into(memoryview(memory))
                read += memory
                assert connection.unread == size - len(read)
            assert read == body
        else:
            # It arrived together with its head.
            assert body_of(answer) == body
        assert connection.is_open
        assert body_of(await ask(connection, NEXT_REQUEST)) == b"next"


async def test_a_read_beyond_the_end_of_a_stream_is_an_error() -> None:
    async with connected(answers(response(pattern(300_000)))) as (connection, _):
        await ask(connection, unread_above=1000)
        with pytest.raises(ValueError, match="300000 bytes of the body are left, not 300001"):
            await connection.read_into(memoryview(bytearray(300_001)))
        memory = bytearray(300_000)
        await connection.read_into(memoryview(memory))
        assert memory == pattern(300_000)
        with pytest.raises(ValueError, match="0 bytes"):
            await connection.read_into(memoryview(bytearray(1)))


@pytest.mark.parametrize("with_tls", [False, True])
async def test_an_unread_stream_applies_back_pressure_and_does_not_time_out(
    with_tls: bool, certificate: Certificate
) -> None:
    body = pattern(15_000_000)
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(response(body)[: -len(body)])
        for start in range(0, len(body), 2**16):
            await peer.send(body[start : start + 2**16])
            sent += 2**16
        await peer.closed()

    tls = certificate if with_tls else None
    async with connected(script, patience=0.3, tls=tls, is_narrow=True) as (connection, _):
        answer = await ask(connection, unread_above=1000)
        assert answer.body is None
        for start in range(0, len(body), 5_000_000):
            await asyncio.sleep(0.5)
            assert sent < start + 4_000_000
            memory = bytearray(5_000_000)
            await connection.read_into(memoryview(memory))
            assert memory == body[start : start + 5_000_000]
        assert connection.is_open


async def test_a_stream_that_stalls_times_out() -> None:
    data = response(pattern(300_000))
    script = answers([data[:1000], data[1000:200_000]])
    async with connected(script, patience=IMPATIENT) as (connection, server):
        await ask(connection, unread_above=1000)
        await connection.read_into(memoryview(bytearray(100_000)))
        with pytest.raises(TimeoutError):
            await connection.read_into(memoryview(bytearray(200_000)))
        assert not connection.is_open
        await server.done()


@pytest.mark.parametrize("end", ENDS)
async def test_a_stream_that_breaks_off_is_an_error(end: str) -> None:
    data = response(pattern(300_000))

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(data[:1000], data[1000:200_000])
        ENDS[end](peer)
        if end == "says no more":
            await peer.closed()

    async with connected(script) as (connection, server):
        await ask(connection, unread_above=1000)
        with pytest.raises(ConnectionResetError, match="within the response"):
            await connection.read_into(memoryview(bytearray(300_000)))
        assert not connection.is_open
        with pytest.raises((ConnectionError, ValueError)):
            await connection.read_into(memoryview(bytearray(1)))
        await server.done()


async def test_received_bytes_of_a_broken_stream_can_be_read() -> None:
    data = response(pattern(300_000))

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(data[:50_000])

    async with connected(script) as (connection, server):
        await ask(connection, unread_above=1000)
        await server.done()
        memory = bytearray(40_000)
        await connection.read_into(memoryview(memory))
        assert memory == pattern(40_000)
        with pytest.raises(ConnectionResetError):
            await connection.read_into(memoryview(memory))


async def test_a_cancelled_read_of_a_stream_closes_the_connection() -> None:
    data = response(pattern(300_000))
    async with connected(answers([data[:1000], data[1000:200_000]])) as (connection, server):
        await ask(connection, unread_above=1000)
        reading = asyncio.create_task(connection.read_into(memoryview(bytearray(300_000))))
        await asyncio.sleep(0)
        # The whole body is read, but not received.
        assert not connection.is_open
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert not connection.is_open
        await server.done()


# -- TLS, and other loops ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 10, 300_000, 10_000_000])
async def test_bodies_over_tls(size: int, certificate: Certificate) -> None:
    body = pattern(size)
    script = answers(response(body), chunked(body, 70_000), response(body, 206), response(b"ok"))
    async with connected(script, tls=certificate) as (connection, _):
        assert body_of(await ask(connection)) == body
        assert body_of(await ask(connection)) == body
        memory = bytearray(size)
        assert body_of(await ask(connection, into=memoryview(memory))) == body
        assert memory == body
        assert body_of(await ask(connection)) == b"ok"


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"", ConnectionResetError),
        (response(pattern(300_000))[:-1], ConnectionResetError),
        (b"SSH-2.0\r\n", ProtocolError),
        (response(b"ok") + SURPLUS, None),
    ],
)
async def test_a_tls_server_that_sends_something_else_and_closes(
    sent: bytes, error: type[Exception] | None, certificate: Certificate
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(sent)

    async with connected(script, tls=certificate) as (connection, server):
        if error is None:
            assert body_of(await ask(connection)) == b"ok"
        else:
            with pytest.raises(error):
                await ask(connection)
        assert not connection.is_open
        await server.done()


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("with_tls", [False, True])
def test_on_other_loops_and_in_debug_mode(
    make_loop: Callable[[], asyncio.AbstractEventLoop], with_tls: bool, certificate: Certificate
) -> None:
    body = pattern(3_000_000)
    said: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        data = response(body)
        script = answers(data, chunked(body, 9000), [data[:1000], data[1000:]], data + SURPLUS)
        async with connected(script, tls=certificate if with_tls else None) as (connection, _):
            assert body_of(await ask(connection)) == body
            assert body_of(await put(connection, body)) == body
            answer = await ask(connection, unread_above=1000)
            assert answer.body is None
            memory = bytearray(len(body))
            await connection.read_into(memoryview(memory)[:1_000_000])
            await connection.read_into(memoryview(memory)[1_000_000:])
            assert memory == body
            assert connection.is_open
            assert body_of(await ask(connection)) == body
            assert not connection.is_open
        async with connected(answers([]), patience=IMPATIENT) as (connection, _):
            with pytest.raises(TimeoutError):
                await ask(connection)

    with asyncio.Runner(debug=True, loop_factory=make_loop) as runner:
        runner.run(main())
    gc.collect()
    assert said == []
