"""The proxy passes on what it gets, byte for byte, and breaks exactly what it is told to break."""

import asyncio
import hashlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from servers import S3Endpoint
from servers.certificates import Authority
from servers.fault_proxy import (
    Answer,
    Fault,
    FaultProxy,
    Late,
    Plan,
    Seen,
    every_nth,
    fault_proxy,
    no_faults,
    the_first,
)
from servers.ports import LOOPBACK

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer"
GET = b"GET /k HTTP/1.1\r\nHost: h\r\n\r\n"
LAST_GET = b"GET /k HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
HEAD = b"HEAD /k HTTP/1.1\r\nHost: h\r\n\r\n"
PUT = b"PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
AWS_CHUNKED = b"4\r\nwiki\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
PARTS = [b"one", b"two" * 100_000, b"three"]


def always(fault: Fault | Answer) -> Plan:
    return lambda method, target, headers: fault


async def connect(url: str) -> Ends:
    address = urlsplit(url)
    return await asyncio.open_connection(address.hostname, address.port)


async def send(url: str, request: bytes) -> bytes:
    """Everything that comes back until the connection ends in order; a reset is an error."""
    reader, writer = await connect(url)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.transport.abort()


@dataclass
class Script:
    """A server that reads requests of known lengths and answers each with the same bytes."""

    url: str
    got: list[bytes] = field(default_factory=list)
    connections: int = 0
    # To be set when a client has its answer.
    received: asyncio.Event = field(default_factory=asyncio.Event)
    # One release for each request, and for each connection that is over.
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    ended: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))


@asynccontextmanager
async def scripted(
    answer: bytes, *, length: int = len(GET), hang_up: bool = False, rudely: bool = False
) -> AsyncIterator[Script]:
    serving: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script.connections += 1
        serving.append(asyncio.current_task())
        try:
            while True:
                script.got.append(await reader.readexactly(length))
                script.arrived.release()
                writer.write(answer)
                if hang_up:
                    break
        except asyncio.IncompleteReadError:
            pass
        if rudely:
            # A reset may overtake the answer.
            await script.received.wait()
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()
        await writer.wait_closed()
        script.ended.release()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    script = Script("http://{}:{}".format(*server.sockets[0].getsockname()))
    async with server:
        yield script
    await asyncio.gather(*serving)


@dataclass
class Echo:
    """An aiohttp server that answers with what it was asked, and keeps count."""

    url: str
    asked: list[str] = field(default_factory=list)
    peers: set[object] = field(default_factory=set)
    # One release for each request.
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    # Set to see many requests at once: none is answered before all of them are here.
    together: asyncio.Barrier | None = None


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        digest = hashlib.sha256()
        async for part in request.content.iter_any():
            digest.update(part)
        echo.asked.append(f"{request.method} {request.raw_path}")
        echo.arrived.release()
        assert request.transport is not None
        echo.peers.add(request.transport.get_extra_info("peername"))
        if echo.together is not None:
            await echo.together.wait()
        if "chunked" in request.query:
            response = web.StreamResponse()
            response.enable_chunked_encoding()
            await response.prepare(request)
            for part in PARTS:
                await response.write(part)
            await response.write_eof()
            return response
        return web.json_response(
            {
                "target": request.raw_path,
                "host": request.headers["Host"],
                "digest": digest.hexdigest(),
            }
        )

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0, backlog=1024).start()
    echo = Echo("http://{}:{}".format(*runner.addresses[0]))
    yield echo
    await runner.cleanup()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultProxy]:
    with fault_proxy(echo.url) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    # Faults are not looked at with this one: aiohttp repeats a request whose connection broke.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


class TestPassing:
    @pytest.mark.parametrize(
        "request_bytes",
        [
            GET,
            PUT,
            b"DELETE /k HTTP/1.1\r\nHost: h\r\nx-twice: 1\r\nX-Twice:2\r\n\r\n",
            b"GET //a%2Fb/../c+d%20e?versionId=&x=%2f&y HTTP/1.1\r\nhOsT:127.0.0.1:1\r\n\r\n",
            b"GET /\xc3\xa9%zz HTTP/1.1\r\nHost: h\r\nX-Latin: \xe9\xff\r\n\r\n",
            b"GET http://other.example/k HTTP/1.1\r\nHost: other.example\r\n\r\n",
            b"POST /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"4;a=b\r\nwiki\r\n0000A\r\n0123\r\n6789\r\n0\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n",
            b"PUT /k HTTP/1.1\r\nHost: h\r\nContent-Encoding: aws-chunked\r\n"
            b"X-Amz-Decoded-Content-Length: 4\r\nContent-Length: %d\r\n\r\n%b"
            % (len(AWS_CHUNKED), AWS_CHUNKED),
        ],
    )
    async def test_a_request_arrives_byte_for_byte(self, request_bytes: bytes) -> None:
        async with scripted(OK, length=len(request_bytes), hang_up=True) as server:
            with fault_proxy(server.url) as proxy:
                reader, writer = await connect(proxy.url)
                writer.write(request_bytes)
                assert await reader.readexactly(len(OK)) == OK
                writer.close()
        assert server.got == [request_bytes]

    @pytest.mark.parametrize(
        "answer",
        [
            OK,
            b"HTTP/1.1 404\r\ncontent-length:0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: \xe9\r\nx: b\r\nContent-Length: 1\r\n\r\n\0",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: t\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
            b"HTTP/1.0 200 OK\r\n\r\nuntil the connection ends",
            b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold",
        ],
    )
    async def test_a_response_is_forwarded_byte_for_byte(self, answer: bytes) -> None:
        async with scripted(answer, length=len(LAST_GET), hang_up=True) as server:
            with fault_proxy(server.url) as proxy:
                assert await send(proxy.url, LAST_GET) == answer
        assert proxy.seen[0].status == int(answer[9:12])

    async def test_the_response_to_a_head_has_no_body_whatever_its_length(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
        async with scripted(answer, length=len(HEAD)) as server:
            with fault_proxy(server.url) as proxy:
                reader, writer = await connect(proxy.url)
                for _ in range(2):
                    writer.write(HEAD)
                    assert await reader.readexactly(len(answer)) == answer
                writer.close()
        assert server.connections == 1

    async def test_a_client_that_waits_for_100_gets_it_once(self) -> None:
        head = b"PUT /k HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
        # The server says it too, and another word ahead of its answer.
        answer = go_on + b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK
        async with scripted(answer, length=len(head) + 4) as server:
            with fault_proxy(server.url) as proxy:
                reader, writer = await connect(proxy.url)
                writer.write(head)
                assert await reader.readexactly(len(go_on)) == go_on
                writer.write(b"body")
                assert await reader.readexactly(len(OK)) == OK
                writer.close()
        assert server.got == [head + b"body"]

    async def test_large_bodies_pass_whole(
        self, proxy: FaultProxy, client: aiohttp.ClientSession
    ) -> None:
        body = bytes(range(256)) * (1 << 16)
        async with client.put(f"{proxy.url}/large", data=BytesIO(body)) as response:
            answer = await response.json()
        assert answer["digest"] == hashlib.sha256(body).hexdigest()
        async with client.get(f"{proxy.url}/?chunked") as response:
            assert await response.read() == b"".join(PARTS)

    async def test_the_server_gets_the_host_the_client_sent(
        self, proxy: FaultProxy, client: aiohttp.ClientSession
    ) -> None:
        async with client.get(f"{proxy.url}/k") as response:
            answer = await response.json()
        assert answer["host"] == urlsplit(proxy.url).netloc

    async def test_two_hundred_at_once(
        self, echo: Echo, proxy: FaultProxy, client: aiohttp.ClientSession
    ) -> None:
        echo.together = asyncio.Barrier(200)

        async def target_of(number: int) -> str:
            async with client.get(f"{proxy.url}/{number}") as response:
                return str((await response.json())["target"])

        targets = await asyncio.gather(*map(target_of, range(200)))
        assert targets == [f"/{number}" for number in range(200)]
        assert sorted(seen.target for seen in proxy.seen) == sorted(targets)

    async def test_pipelined_requests_get_responses_in_order(self) -> None:
        async with scripted(OK) as server:
            with fault_proxy(server.url) as proxy:
                reader, writer = await connect(proxy.url)
                writer.write(GET * 3)
                assert await reader.readexactly(3 * len(OK)) == OK * 3
                writer.close()
        assert len(server.got) == 3


class TestConnections:
    async def test_one_of_a_client_is_one_to_the_server(
        self, echo: Echo, proxy: FaultProxy, client: aiohttp.ClientSession
    ) -> None:
        for _ in range(5):
            async with client.get(f"{proxy.url}/k") as response:
                await response.read()
        assert (len(echo.asked), len(echo.peers)) == (5, 1)

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
            b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
        ],
    )
    async def test_the_last_response_of_a_connection_ends_it(self, answer: bytes) -> None:
        async with scripted(answer) as server:
            with fault_proxy(server.url) as proxy:
                assert await send(proxy.url, GET) == answer
                # With the client's goes the proxy's own.
                await server.ended.acquire()
        assert server.connections == 1

    @pytest.mark.parametrize("request_bytes", [GET, PUT])
    @pytest.mark.parametrize("rudely", [False, True])
    async def test_a_server_that_hung_up_between_requests_is_called_again(
        self, request_bytes: bytes, rudely: bool
    ) -> None:
        length = len(request_bytes)
        async with scripted(OK, length=length, hang_up=True, rudely=rudely) as server:
            with fault_proxy(server.url) as proxy:
                reader, writer = await connect(proxy.url)
                for _ in range(2):
                    writer.write(request_bytes)
                    assert await reader.readexactly(len(OK)) == OK
                    server.received.set()
                    await server.ended.acquire()
                    server.received.clear()
                    # The proxy knows by the time it has answered somebody who came later.
                    proxy.plan = always(Answer(204))
                    await send(proxy.url, LAST_GET)
                    proxy.plan = no_faults
                writer.close()
        assert (server.got, server.connections) == ([request_bytes] * 2, 2)

    @pytest.mark.parametrize("request_bytes", [GET, PUT])
    @pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
    async def test_a_request_is_not_repeated_after_a_broken_response(
        self, request_bytes: bytes, answer: bytes
    ) -> None:
        async with scripted(answer, length=len(request_bytes), hang_up=True) as server:
            with fault_proxy(server.url) as proxy, pytest.raises(ConnectionResetError):
                await send(proxy.url, request_bytes)
        assert server.got == [request_bytes]
        assert [seen.status for seen in proxy.seen] == [None]

    async def test_no_server_is_a_reset(self) -> None:
        with socket.create_server((LOOPBACK, 0)) as nobody:
            port = nobody.getsockname()[1]
        with (
            fault_proxy(f"http://{LOOPBACK}:{port}") as proxy,
            pytest.raises(ConnectionResetError),
        ):
            await send(proxy.url, GET)

    async def test_a_client_that_leaves_in_the_middle_is_forgotten(
        self, echo: Echo, proxy: FaultProxy, client: aiohttp.ClientSession
    ) -> None:
        _, writer = await connect(proxy.url)
        writer.write(PUT[:-2])
        writer.close()
        await writer.wait_closed()
        async with client.get(f"{proxy.url}/k") as response:
            assert response.status == 200
        assert echo.asked == ["GET /k"]

    @pytest.mark.parametrize("busy", [False, True])
    async def test_closing_frees_the_port_and_the_thread(
        self, busy: bool, echo: Echo, caplog: pytest.LogCaptureFixture
    ) -> None:
        with fault_proxy(echo.url) as proxy:
            reader, writer = await connect(proxy.url)
            if busy:
                proxy.plan = always(Fault.DELAYED)
            writer.write(GET)
            await (echo.arrived.acquire() if busy else reader.readuntil(b"}"))
            assert "fault-proxy" in [thread.name for thread in threading.enumerate()]
        assert await reader.read() == b""
        writer.close()
        assert "fault-proxy" not in [thread.name for thread in threading.enumerate()]
        with pytest.raises(ConnectionRefusedError):
            await connect(proxy.url)
        assert caplog.messages == []

    def test_a_connection_that_is_accepted_at_the_end_is_closed(self, echo: Echo) -> None:
        # What the proxy does at this moment is chance: most of these find it accepting.
        for _ in range(50):
            with fault_proxy(echo.url) as proxy:
                address = urlsplit(proxy.url)
                late = socket.create_connection((address.hostname, address.port), timeout=20)
            with late, suppress(ConnectionResetError):
                assert late.recv(1) == b""

    def test_its_url_is_the_servers_with_another_address(self, echo: Echo) -> None:
        with fault_proxy(f"{echo.url}/account") as proxy:
            url = urlsplit(proxy.url)
        assert (url.scheme, url.hostname, url.path) == ("http", LOOPBACK, "/account")
        assert url.port != urlsplit(echo.url).port

    @pytest.mark.parametrize("upstream", ["https://h:1", "http://h", "http://:1", "h:1"])
    def test_an_address_it_cannot_stand_before_is_refused(self, upstream: str) -> None:
        with pytest.raises(ValueError, match="upstream"), fault_proxy(upstream):
            pass

    async def test_what_a_plan_raises_is_raised_at_the_end(self, echo: Echo) -> None:
        def fails(method: str, target: str, headers: Mapping[str, str]) -> None:
            raise ZeroDivisionError(target)

        with ExitStack() as stack:
            proxy = stack.enter_context(fault_proxy(echo.url))
            proxy.plan = fails
            with pytest.raises(ConnectionResetError):
                await send(proxy.url, GET)
            with pytest.raises(ZeroDivisionError, match="/k"):
                stack.close()

    async def test_a_message_without_sense_is_an_error_at_the_end(self, echo: Echo) -> None:
        with ExitStack() as stack:
            proxy = stack.enter_context(fault_proxy(echo.url))
            with pytest.raises(ConnectionResetError):
                await send(proxy.url, b"PUT /k HTTP/1.1\r\nContent-Length: many\r\n\r\n")
            with pytest.raises(ValueError, match="many"):
                stack.close()


class TestFaults:
    @pytest.mark.parametrize("request_bytes", [GET, PUT])
    async def test_an_unavailable_server_gets_no_request(
        self, request_bytes: bytes, echo: Echo, proxy: FaultProxy
    ) -> None:
        proxy.plan = always(Fault.UNAVAILABLE)
        reader, writer = await connect(proxy.url)
        for _ in range(2):
            writer.write(request_bytes)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head == b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        writer.close()
        assert echo.asked == []
        assert [seen.status for seen in proxy.seen] == [503, 503]

    @pytest.mark.parametrize(
        ("answer", "to_get", "to_head"),
        [
            (
                Answer(403, {"Retry-After": "0"}, b"slow"),
                b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nRetry-After: 0\r\n\r\nslow",
                b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nRetry-After: 0\r\n\r\n",
            ),
            (
                Answer(200, {"Content-Length": "9"}, b"short"),
                b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
                b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            ),
            (Answer(204), b"HTTP/1.1 204 No Content\r\n\r\n", None),
            (Answer(599), b"HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n", None),
        ],
    )
    async def test_a_configured_response_is_sent_unchanged(
        self, answer: Answer, to_get: bytes, to_head: bytes | None, echo: Echo, proxy: FaultProxy
    ) -> None:
        proxy.plan = always(answer)
        assert await send(proxy.url, LAST_GET) == to_get
        assert await send(proxy.url, LAST_GET.replace(b"GET", b"HEAD")) == (to_head or to_get)
        assert echo.asked == []
        assert [(seen.fault, seen.status) for seen in proxy.seen] == [(answer, answer.status)] * 2

    @pytest.mark.parametrize("request_bytes", [GET, PUT, HEAD])
    @pytest.mark.parametrize(("fault", "asked"), [(Fault.RESET, 0), (Fault.LOST, 1)])
    async def test_a_reset_is_before_or_after_the_request_to_the_server(
        self, fault: Fault, asked: int, request_bytes: bytes, echo: Echo, proxy: FaultProxy
    ) -> None:
        proxy.plan = always(fault)
        with pytest.raises(ConnectionResetError):
            await send(proxy.url, request_bytes)
        assert len(echo.asked) == asked
        assert [(seen.fault, seen.status) for seen in proxy.seen] == [(fault, None)]

    @pytest.mark.parametrize(
        ("answer", "cut"),
        [
            (OK, OK[:-3]),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
            ),
            (
                b"HTTP/1.1 206 P\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n0\r\n\r\n",
                b"HTTP/1.1 206 P\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki",
            ),
        ],
    )
    async def test_a_truncated_response_ends_in_order_after_half_its_body(
        self, answer: bytes, cut: bytes
    ) -> None:
        async with scripted(answer) as server:
            with fault_proxy(server.url) as proxy:
                proxy.plan = always(Fault.TRUNCATED)
                assert await send(proxy.url, GET) == cut
        assert server.got == [GET]
        assert [seen.status for seen in proxy.seen] == [int(answer[9:12])]

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\nuntil the connection ends",
        ],
    )
    async def test_a_response_without_a_detectable_truncation_is_lost(self, answer: bytes) -> None:
        async with scripted(answer, hang_up=True) as server:
            with fault_proxy(server.url) as proxy:
                proxy.plan = always(Fault.TRUNCATED)
                with pytest.raises(ConnectionResetError):
                    await send(proxy.url, GET)
        assert server.got == [GET]
        assert [seen.status for seen in proxy.seen] == [None]

    async def test_a_delayed_response_is_held_until_the_client_leaves(self) -> None:
        async with scripted(OK) as server:
            with fault_proxy(server.url) as proxy:
                proxy.plan = the_first(1, Fault.DELAYED)
                _, held = await connect(proxy.url)
                held.write(GET)
                await server.arrived.acquire()
                # Others are served meanwhile.
                reader, writer = await connect(proxy.url)
                writer.write(GET)
                assert await reader.readexactly(len(OK)) == OK
                writer.close()
                await server.ended.acquire()
                assert [seen.status for seen in proxy.seen] == [None, 200]
                held.close()
                await server.ended.acquire()
        assert server.connections == 2

    async def test_latency_delays_each_response(self, echo: Echo) -> None:
        with fault_proxy(echo.url) as slow, fault_proxy(echo.url) as quick:
            slow.latency = 3600
            held = asyncio.create_task(send(slow.url, LAST_GET))
            await echo.arrived.acquire()
            assert b"200 OK" in await send(quick.url, LAST_GET)
            assert not held.done()
        # The proxy is closed and has not answered.
        assert await held == b""
        with fault_proxy(echo.url) as slow:
            slow.latency = 0.001
            assert b"200 OK" in await send(slow.url, LAST_GET)

    async def test_one_response_is_late(self, echo: Echo, proxy: FaultProxy) -> None:
        proxy.plan = the_first(1, Late(3600))
        held = asyncio.create_task(send(proxy.url, LAST_GET))
        await echo.arrived.acquire()
        assert b"200 OK" in await send(proxy.url, LAST_GET)
        assert not held.done()
        assert [seen.status for seen in proxy.seen] == [None, 200]
        held.cancel()


class TestPlans:
    def test_every_nth_takes_its_faults_by_the_seed(self) -> None:
        def faults(seed: int) -> list[Fault | Answer | None]:
            plan = every_nth(3, list(Fault), seed)
            return [plan("GET", "/", {}) for _ in range(300)]

        assert faults(1) == faults(1) != faults(2)
        struck = [number for number, fault in enumerate(faults(1), start=1) if fault is not None]
        assert struck == list(range(3, 301, 3))
        assert set(faults(1)) == {None, *Fault}

    @pytest.mark.parametrize(("n", "faults"), [(0, [Fault.RESET]), (1, [])])
    def test_every_nth_needs_a_number_and_faults(self, n: int, faults: list[Fault]) -> None:
        with pytest.raises(ValueError, match="n must be at least 1"):
            every_nth(n, faults)

    def test_the_first_counts_one_method_or_all(self) -> None:
        methods = ["GET", "PUT", "GET", "PUT", "PUT"]
        every = the_first(2, Fault.LOST)
        puts = the_first(2, Fault.LOST, method="PUT")
        lost = Fault.LOST
        assert [every(method, "/", {}) for method in methods] == [lost, lost, None, None, None]
        assert [puts(method, "/", {}) for method in methods] == [None, lost, None, lost, None]

    async def test_a_plan_sees_the_request_and_can_be_replaced_at_any_time(
        self, echo: Echo, proxy: FaultProxy
    ) -> None:
        asked: list[tuple[str, str, str]] = []

        def plan(method: str, target: str, headers: Mapping[str, str]) -> Answer:
            asked.append((method, target, headers["host"]))
            return Answer(403)

        assert b" 200 " in await send(proxy.url, LAST_GET)
        proxy.plan = plan
        assert b" 403 " in await send(proxy.url, LAST_GET)
        proxy.plan = no_faults
        assert b" 200 " in await send(proxy.url, LAST_GET)
        assert asked == [("GET", "/k", "h")]


class TestCounting:
    async def test_requests_are_recorded_in_the_order_of_arrival(
        self, proxy: FaultProxy, client: aiohttp.ClientSession
    ) -> None:
        for method, key in [("PUT", "a"), ("GET", "b"), ("DELETE", "a")]:
            async with client.request(method, f"{proxy.url}/{key}", headers={"X-N": key}) as answer:
                await answer.read()
        seen = [(one.method, one.target, one.headers["x-n"], one.status) for one in proxy.seen]
        assert seen == [
            ("PUT", "/a", "a", 200),
            ("GET", "/b", "b", 200),
            ("DELETE", "/a", "a", 200),
        ]
        assert proxy.count == 3

    async def test_watching_sees_requests_that_arrive_meanwhile(self, proxy: FaultProxy) -> None:
        await send(proxy.url, LAST_GET)
        with proxy.watching() as outer:
            await send(proxy.url, LAST_GET)
            with proxy.watching() as inner:
                await send(proxy.url, LAST_GET)
                assert len(inner) == 1
            await send(proxy.url, LAST_GET)
        await send(proxy.url, LAST_GET)
        assert (len(outer), len(inner), proxy.count) == (3, 1, 5)
        assert inner[0] is outer[1] is proxy.seen[2]

    def test_headers_are_not_in_the_repr(self) -> None:
        seen = Seen("GET", "/k", {"authorization": "signature"}, None)
        assert "/k" in repr(seen)
        assert "signature" not in repr(seen)


@pytest.fixture(params=["moto", "seaweedfs"])
def endpoint(request: pytest.FixtureRequest) -> S3Endpoint:
    running: S3Endpoint = request.getfixturevalue(f"{request.param}_endpoint")
    return running


@pytest.fixture
def s3_proxy(endpoint: S3Endpoint) -> Iterator[FaultProxy]:
    with fault_proxy(endpoint.url) as running:
        yield running


class TestS3:
    KEY = "a b/c+d%2F/ü?x#/..y"

    def test_signed_requests_hold(self, endpoint: S3Endpoint, s3_proxy: FaultProxy) -> None:
        bucket = endpoint.make_bucket()
        through = replace(endpoint, url=s3_proxy.url)
        with closing(through.client()) as client, closing(endpoint.client()) as direct:
            # A file is sent with Expect: 100-continue.
            client.put_object(Bucket=bucket, Key=self.KEY, Body=BytesIO(b"stored"))
            assert s3_proxy.seen[-1].headers["expect"] == "100-continue"
            assert direct.get_object(Bucket=bucket, Key=self.KEY)["Body"].read() == b"stored"
            assert client.get_object(Bucket=bucket, Key=self.KEY)["Body"].read() == b"stored"
            assert client.head_object(Bucket=bucket, Key=self.KEY)["ContentLength"] == 6
            part = client.get_object(Bucket=bucket, Key=self.KEY, Range="bytes=-2")
            assert part["Body"].read() == b"ed"
            keys = [found["Key"] for found in client.list_objects_v2(Bucket=bucket)["Contents"]]
            assert keys == [self.KEY]
            client.delete_object(Bucket=bucket, Key=self.KEY)
            with pytest.raises(ClientError) as missing:
                client.get_object(Bucket=bucket, Key=self.KEY)
        assert missing.value.response["Error"]["Code"] == "NoSuchKey"
        methods = [(seen.method, seen.status) for seen in s3_proxy.seen]
        assert methods == [
            ("PUT", 200),
            ("GET", 200),
            ("HEAD", 200),
            ("GET", 206),
            ("GET", 200),
            ("DELETE", 204),
            ("GET", 404),
        ]

    def test_a_wrong_secret_is_still_refused_where_credentials_count(
        self, endpoint: S3Endpoint, s3_proxy: FaultProxy
    ) -> None:
        stranger = replace(endpoint, url=s3_proxy.url, secret="not" + endpoint.secret)
        with closing(stranger.client()) as client:
            try:
                client.list_buckets()
            except ClientError as error:
                assert error.response["Error"]["Code"] == "SignatureDoesNotMatch"
        assert s3_proxy.seen[-1].status == (403 if endpoint.enforces_credentials else 200)

    def test_a_multipart_upload_arrives_whole(
        self, endpoint: S3Endpoint, s3_proxy: FaultProxy
    ) -> None:
        bucket = endpoint.make_bucket()
        parts = [b"1" * (5 << 20), b"2" * (5 << 20), b"3"]
        where = {"Bucket": bucket, "Key": "large"}
        with closing(replace(endpoint, url=s3_proxy.url).client()) as client:
            upload = client.create_multipart_upload(**where)["UploadId"]
            done = [
                {
                    "PartNumber": number,
                    "ETag": client.upload_part(
                        **where, UploadId=upload, PartNumber=number, Body=BytesIO(part)
                    )["ETag"],
                }
                for number, part in enumerate(parts, start=1)
            ]
            client.complete_multipart_upload(
                **where, UploadId=upload, MultipartUpload={"Parts": done}
            )
            assert client.get_object(**where)["Body"].read() == b"".join(parts)
        assert [seen.method for seen in s3_proxy.seen] == ["POST", *["PUT"] * 3, "POST", "GET"]

    def test_a_write_whose_response_is_lost_was_done(
        self, endpoint: S3Endpoint, s3_proxy: FaultProxy
    ) -> None:
        bucket = endpoint.make_bucket()
        s3_proxy.plan = the_first(1, Fault.LOST, method="PUT")
        with closing(replace(endpoint, url=s3_proxy.url).client()) as client:
            with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
                client.put_object(Bucket=bucket, Key="k", Body=b"done")
            assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"done"
        assert [seen.fault for seen in s3_proxy.seen] == [Fault.LOST, None]

    def test_an_error_of_the_tests_own_making_reads_like_the_services(
        self, endpoint: S3Endpoint, s3_proxy: FaultProxy
    ) -> None:
        body = b"<Error><Code>ExpiredToken</Code><Message>too late</Message></Error>"
        s3_proxy.plan = always(Answer(400, {"Content-Type": "application/xml"}, body))
        with (
            closing(replace(endpoint, url=s3_proxy.url).client()) as client,
            pytest.raises(ClientError, match="too late") as expired,
        ):
            client.get_object(Bucket="any-bucket", Key="k")
        assert expired.value.response["Error"]["Code"] == "ExpiredToken"


class TestTLS:
    @pytest.fixture
    def proxy(self, echo: Echo, authority: Authority) -> Iterator[FaultProxy]:
        with fault_proxy(echo.url, authority.certificate().server_context()) as running:
            yield running

    async def test_bodies_pass_whole(
        self, proxy: FaultProxy, client: aiohttp.ClientSession, authority: Authority
    ) -> None:
        trusting = authority.client_context()
        body = bytes(range(256)) * (1 << 14)
        async with client.put(f"{proxy.url}/k", data=BytesIO(body), ssl=trusting) as response:
            answer = await response.json()
        assert answer["digest"] == hashlib.sha256(body).hexdigest()
        async with client.get(f"{proxy.url}/?chunked", ssl=trusting) as response:
            assert await response.read() == b"".join(PARTS)
        assert urlsplit(proxy.url).scheme == "https"

    async def test_a_client_without_the_authority_is_not_served(
        self, proxy: FaultProxy, client: aiohttp.ClientSession
    ) -> None:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await client.get(f"{proxy.url}/k")
        assert proxy.seen == []

    async def test_faults_are_those_without_tls(
        self, proxy: FaultProxy, authority: Authority
    ) -> None:
        async def response() -> bytes:
            address = urlsplit(proxy.url)
            reader, writer = await asyncio.open_connection(
                address.hostname, address.port, ssl=authority.client_context()
            )
            try:
                writer.write(LAST_GET)
                return await reader.read()
            finally:
                writer.transport.abort()

        whole = await response()
        proxy.plan = always(Fault.TRUNCATED)
        cut = await response()
        assert whole.startswith(cut)
        assert 0 < len(cut) < len(whole)
        for fault in (Fault.RESET, Fault.LOST):
            proxy.plan = always(fault)
            with pytest.raises(ConnectionResetError):
                await response()
