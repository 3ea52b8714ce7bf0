from __future__ import annotations

import asyncio
import gc
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any

import numpy as np
import pytest
import uvloop
from servers.certificates import Certificate, make_certificate
from servers.ports import LOOPBACK
from servers.scripted import (
    Peer,
    Script,
    ScriptedServer,
    nothing_left,
    scripted_server,
)

from fsspec_store._http.http1.closing import close_without_loop
from fsspec_store._http.http1.pool import Origin, Pool, Stream
from fsspec_store._http.messages import Expected, LargeBody, Response
from fsspec_store._runtime.loops import PerLoop

REQUEST = b"GET /x HTTP/1.1\r\nhost: test\r\n\r\n"
LONG_BODY = bytes(range(256)) * 2000


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def response(body: bytes = b"ok") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def keep_answering(peer: Peer) -> None:
    """Responds until the client closes; to ``/long`` with a large body."""
    try:
        while True:
            request = await peer.request()
            if request.startswith(b"GET /silent "):
                await peer.closed()
                return
            long = request.startswith(b"GET /long ")
            peer.writer.write(response(LONG_BODY if long else b"ok"))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass


async def ask(pool: Pool, origin: Origin, path: str = "/x") -> Response[Any]:
    head = REQUEST.replace(b"/x", path.encode())
    return await pool.request(origin, head, None, Expected(unread_above=2**16))


async def ask_long(pool: Pool, origin: Origin) -> LargeBody:
    answer = await ask(pool, origin, "/long")
    assert isinstance(answer.body, LargeBody)
    return answer.body


async def get(pool: Pool, origin: Origin) -> None:
    answer = await ask(pool, origin)
    assert bytes(answer.body) == b"ok"


@asynccontextmanager
async def serving(
    script: Script = keep_answering,
    *,
    tls: Certificate | None = None,
    host: str = LOOPBACK,
    **options: Any,
) -> AsyncIterator[tuple[Pool, Origin, ScriptedServer]]:
    """A server and a pool of connections to it. Checks that no task or socket is left."""
    async with nothing_left():
        context = None if tls is None else tls.server_context()
        pool = Pool(**{"timeout": 20.0, "connect_timeout": 5.0, "threads": 2, **options})
        async with scripted_server(script, tls=context, host=host) as server:
            client = None if tls is None else tls.client_context()
            yield pool, Origin(host, server.port, client), server
            await pool.aclose()


# -- Reuse -------------------------------------------------------------------------------------


async def test_one_connection_serves_one_request_after_the_other() -> None:
    async with serving() as (pool, origin, server):
        for _ in range(20):
            await get(pool, origin)
        assert len(server.peers) == 1


async def test_concurrent_requests_have_a_connection_each() -> None:
    async with serving() as (pool, origin, server):
        for at_once in (3, 8, 5, 8, 1):
            await asyncio.gather(*(get(pool, origin) for _ in range(at_once)))
        assert len(server.peers) == 8


async def test_connections_are_kept_by_origin(certificate: Certificate) -> None:
    async with (
        serving() as (pool, origin, server),
        serving() as (_, other, other_server),
        serving(tls=certificate) as (_, with_tls, server_with_tls),
    ):
        for _ in range(2):
            for each in (origin, other, with_tls):
                await get(pool, each)
        assert [len(s.peers) for s in (server, other_server, server_with_tls)] == [1, 1, 1]
        # A connection verified by one TLS context is not used for another.
        with pytest.raises(ssl.SSLCertVerificationError):
            await get(pool, with_tls._replace(tls=ssl.create_default_context()))
        await pool.aclose()


async def test_idle_connections_are_closed_after_the_timeout() -> None:
    async with serving(idle_timeout=0.1) as (pool, origin, server):
        await asyncio.gather(*(get(pool, origin) for _ in range(4)))
        # Each script waits until its connection is closed.
        await server.done()
        assert len(server.peers) == 4
        await get(pool, origin)
        assert len(server.peers) == 5
        await server.done()


async def test_the_last_used_connection_is_reused_first() -> None:
    async with serving(idle_timeout=0.2) as (pool, origin, server):
        await asyncio.gather(get(pool, origin), get(pool, origin))
        while not any(peer.reader.at_eof() for peer in server.peers):
            await get(pool, origin)
        assert sum(peer.reader.at_eof() for peer in server.peers) == 1
        assert len(server.peers) == 2


async def test_an_expired_connection_is_not_reused() -> None:
    async with serving(idle_timeout=0.0) as (pool, origin, server):
        for _ in range(3):
            await get(pool, origin)
        assert len(server.peers) == 3
        await server.done()


async def test_a_connection_closed_by_the_server_is_not_reused() -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.send(response())

    async with serving(once) as (pool, origin, server):
        for _ in range(5):
            await get(pool, origin)
            await server.done()
            # Until the loop has received the end of file.
            for _ in range(5):
                await asyncio.sleep(0)
        assert len(server.peers) == 5


async def test_a_failed_request_closes_its_connection() -> None:
    async def script(peer: Peer) -> None:
        if len(server.peers) == 1:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf")
        else:
            await keep_answering(peer)

    async with serving(script) as (pool, origin, server):
        with pytest.raises(ConnectionResetError):
            await get(pool, origin)
        await get(pool, origin)
        assert len(server.peers) == 2


async def test_a_body_that_breaks_off_is_freed_without_the_garbage_collector() -> None:
    size = len(LONG_BODY)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(response(LONG_BODY).replace(b" 200 ", b" 206 ")[:-1])

    async with serving(script) as (pool, origin, _):
        memory, is_freed = np.empty(size, dtype=np.uint8), asyncio.Event()
        # A thread that refers to the memory may end later than the request.
        weakref.finalize(memory, asyncio.get_running_loop().call_soon_threadsafe, is_freed.set)
        gc.disable()
        try:
            with pytest.raises(ConnectionResetError):
                await pool.request(origin, REQUEST, None, Expected(into=memory.data))
            del memory
            await asyncio.wait_for(is_freed.wait(), 10)
        finally:
            gc.enable()


async def test_an_unexpected_response_is_not_returned() -> None:
    async def script(peer: Peer) -> None:
        number = len(server.peers)
        await peer.request()
        peer.writer.write(response(b"%d" % number * 70_000) + response(b"surplus"))
        await peer.closed()

    async with serving(script) as (pool, origin, server):
        for number in range(1, 6):
            answer = await pool.request(origin, REQUEST)
            assert bytes(answer.body) == b"%d" % number * 70_000
        assert len(server.peers) == 5


# -- Streams -----------------------------------------------------------------------------------


async def test_a_stream_read_to_its_end_releases_its_connection() -> None:
    async with serving() as (pool, origin, server):
        for _ in range(3):
            body = await ask_long(pool, origin)
            stream, memory = body.stream, bytearray(body.size)
            await stream.read_into(memoryview(memory)[:1000])
            await stream.read_into(memoryview(memory)[1000:])
            assert memory == LONG_BODY
            stream.close()
            stream.close()
            await get(pool, origin)
        assert len(server.peers) == 1


@pytest.mark.parametrize("read", [0, 1000, len(LONG_BODY) - 1])
async def test_a_stream_not_read_to_its_end_closes_its_connection(read: int) -> None:
    async with serving() as (pool, origin, server):
        stream = (await ask_long(pool, origin)).stream
        await stream.read_into(memoryview(bytearray(read)))
        stream.close()
        await server.done()
        await get(pool, origin)
        assert len(server.peers) == 2


async def test_a_stream_closed_during_a_read_closes_its_connection() -> None:
    async with serving() as (pool, origin, server):
        stream = (await ask_long(pool, origin)).stream
        reading = asyncio.create_task(stream.read_into(memoryview(bytearray(len(LONG_BODY)))))
        await asyncio.sleep(0)
        stream.close()
        await get(pool, origin)
        with pytest.raises(ConnectionResetError):
            await reading
        assert len(server.peers) == 2


async def test_a_stream_of_a_pool_that_was_closed_is_not_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    memory = memoryview(bytearray(len(LONG_BODY)))
    async with serving(threads=1) as (pool, origin, server):
        stream = (await ask_long(pool, origin)).stream
        pool.close_now()
        with pytest.raises(ConnectionResetError):
            await stream.read_into(memory)
        # The thread has nothing to report.
        pool = Pool(timeout=20.0, connect_timeout=5.0, threads=1)
        await (await ask_long(pool, origin)).stream.read_into(memory)
        await pool.aclose()
        assert len(server.peers) == 2
    assert caplog.records == []


async def test_a_read_fails_if_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    # No other test has threads in this number.
    async with serving(threads=7) as (pool, origin, server):
        stream = (await ask_long(pool, origin)).stream
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            with pytest.raises(ConnectionResetError) as caught:
                await stream.read_into(memoryview(bytearray(len(LONG_BODY))))
        assert isinstance(caught.value.__cause__, RuntimeError)
        await server.done()


# -- Connecting --------------------------------------------------------------------------------


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
async def test_an_ipv6_address() -> None:
    async with serving(host="::1") as (pool, origin, server):
        await get(pool, origin)
        assert len(server.peers) == 1


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port without a listener."""
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        yield taken.getsockname()[1]


async def test_connection_refused(free_port: int) -> None:
    async with serving() as (pool, _, _):
        with pytest.raises(ConnectionError, match=rf"cannot connect to 127\.0\.0\.1:{free_port}: "):
            await get(pool, Origin(LOOPBACK, free_port, None))
        with pytest.raises(ConnectionError, match=rf"cannot connect to \[::1\]:{free_port}: "):
            await get(pool, Origin("::1", free_port, None))


async def test_an_unknown_host() -> None:
    async with serving() as (pool, _, _):
        with pytest.raises(ConnectionError, match=r"cannot connect to unknown\.invalid:80: "):
            await get(pool, Origin("unknown.invalid", 80, None))


@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "a..invalid"])
async def test_an_invalid_host_name(host: str) -> None:
    async with serving() as (pool, _, _):
        with pytest.raises(OSError, match="is not a valid host name") as caught:
            await get(pool, Origin(host, 80, None))
        assert not isinstance(caught.value, ConnectionError)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that neither accepts nor refuses connections."""
    with ExitStack() as sockets:
        listening = sockets.enter_context(socket.socket())
        listening.bind((LOOPBACK, 0))
        listening.listen(0)
        # Fill the backlog.
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


async def test_the_connect_timeout(silent_port: int) -> None:
    async with serving(connect_timeout=0.2) as (pool, _, _):
        place = rf"127\.0\.0\.1:{silent_port}"
        with pytest.raises(TimeoutError, match=rf"no connection to {place} in 0\.2 s"):
            await get(pool, Origin(LOOPBACK, silent_port, None))


def resolving(addresses: list[tuple[str, int]]) -> Callable[..., Any]:
    """A resolver with a name of several addresses."""

    async def getaddrinfo(*_: object, **__: object) -> list[tuple[Any, ...]]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
        return [(*kind, address) for address in addresses]

    return getaddrinfo


async def test_the_first_address_that_accepts_is_used(
    silent_port: int, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    async with serving() as (pool, origin, server):
        silent, refused, good = ((LOOPBACK, port) for port in (silent_port, free_port, origin.port))
        for addresses in ([refused, good], [silent, good], [silent, refused, good], [good, good]):
            monkeypatch.setattr(loop, "getaddrinfo", resolving(addresses))
            await get(pool, origin._replace(host="many.invalid", port=len(addresses)))
            await pool.aclose()
            pool = Pool(timeout=20.0, connect_timeout=5.0, threads=2)
        assert len(server.peers) == 4
        await server.done()
        monkeypatch.setattr(loop, "getaddrinfo", resolving([refused, refused]))
        with pytest.raises(ConnectionError, match=r"cannot connect to many\.invalid:\d+: .+"):
            await get(pool, origin._replace(host="many.invalid"))


@pytest.mark.parametrize("rounds", range(8))
async def test_a_cancelled_connect_leaves_no_socket(rounds: int, certificate: Certificate) -> None:
    async with serving(Peer.closed) as (pool, origin, server):
        with_tls = origin._replace(tls=certificate.client_context())
        asking = asyncio.create_task(get(pool, with_tls))
        for _ in range(rounds):
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await get_another_word_in(server)
        await server.done()


async def get_another_word_in(server: ScriptedServer) -> None:
    """Returns when the server has accepted every earlier connection."""
    _, writer = await asyncio.open_connection(server.host, server.port)
    writer.close()
    await writer.wait_closed()


# -- TLS ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [LOOPBACK, "localhost"])
async def test_a_valid_certificate(host: str, certificate: Certificate) -> None:
    async with serving(tls=certificate) as (pool, origin, server):
        await get(pool, origin._replace(host=host))
        await get(pool, origin._replace(host=host))
        assert len(server.peers) == 1


@pytest.mark.parametrize("tickets", [0, 2])
async def test_later_connections_resume_the_tls_session_if_the_server_offers_it(
    tickets: int, certificate: Certificate
) -> None:
    class WithTickets(Certificate):
        def server_context(self) -> ssl.SSLContext:
            context = super().server_context()
            context.num_tickets = tickets
            return context

    async with serving(tls=WithTickets(certificate.file)) as (pool, origin, server):
        await get(pool, origin)
        await asyncio.gather(*(get(pool, origin) for _ in range(4)))
        ends = [peer.writer.get_extra_info("ssl_object") for peer in server.peers]
        assert [end.session_reused for end in ends] == [False] + [tickets > 0] * 3


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_a_server_that_negotiates_tls_1_2_again_before_its_response(
    certificate: Certificate,
) -> None:
    command = ["s_server", "-accept", f"{LOOPBACK}:0", "-cert", str(certificate.file)]
    server = await asyncio.create_subprocess_exec(
        "openssl", *command, "-tls1_2", "-msg", stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    assert server.stdin is not None
    assert server.stdout is not None

    async def line(containing: bytes) -> bytes:
        assert server.stdout is not None
        while containing not in (found := await server.stdout.readline()):
            assert found
        return found

    pool = Pool(timeout=20.0, connect_timeout=5.0, threads=2)
    try:
        port = int((await line(b"ACCEPT")).rpartition(b":")[2])
        origin = Origin(LOOPBACK, port, certificate.client_context())
        asking = asyncio.create_task(get(pool, origin))
        await line(b"host: test")
        # A command of openssl.
        server.stdin.write(b"r\n")
        await asyncio.wait_for(line(b"ClientHello"), 10)
        server.stdin.write(response(b"ok"))
        server.stdin.write_eof()
        await asking
    finally:
        await pool.aclose()
        if server.returncode is None:
            server.kill()
        await server.communicate()


async def test_an_invalid_certificate(certificate: Certificate, tmp_path: Path) -> None:
    others = make_certificate(tmp_path, ["other.invalid"])
    async with serving(tls=certificate) as (pool, origin, _):
        for stranger in (others.client_context(), ssl.create_default_context()):
            with pytest.raises(ssl.SSLCertVerificationError):
                await get(pool, origin._replace(tls=stranger))
    async with serving(tls=others) as (pool, origin, _):
        with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
            await get(pool, origin)


async def test_a_server_without_tls(certificate: Certificate) -> None:
    async def plain(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.closed()

    async with serving(plain) as (pool, origin, _):
        with pytest.raises(ssl.SSLError) as caught:
            await get(pool, origin._replace(tls=certificate.client_context()))
        assert not isinstance(caught.value, (ConnectionError, TimeoutError))


async def test_a_server_that_breaks_off_or_stalls_in_the_tls_handshake(
    certificate: Certificate,
) -> None:
    async def go(peer: Peer) -> None:
        await peer.reader.read(1)

    async with serving(go) as (pool, origin, _):
        with pytest.raises(ConnectionError, match="cannot connect to"):
            await get(pool, origin._replace(tls=certificate.client_context()))
    async with serving(Peer.closed, connect_timeout=0.2) as (pool, origin, server):
        with pytest.raises(TimeoutError, match="no connection to"):
            await get(pool, origin._replace(tls=certificate.client_context()))
        await server.done()


async def test_a_cancelled_tls_handshake_closes_its_socket(certificate: Certificate) -> None:
    has_hello = asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.reader.read(1)
        has_hello.set()
        while await peer.reader.read(2**16):
            pass

    async with serving(silent) as (pool, origin, server):
        waiting = asyncio.create_task(get(pool, origin._replace(tls=certificate.client_context())))
        await has_hello.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await server.done()


# -- Closing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["aclose", "close_now"])
@pytest.mark.parametrize("with_tls", [False, True])
async def test_aclose_closes_connections_in_any_state(
    how: str, with_tls: bool, certificate: Certificate
) -> None:
    async with serving(tls=certificate if with_tls else None) as (pool, origin, server):
        abandoned = (await ask_long(pool, origin)).stream
        kept_open = (await ask_long(pool, origin)).stream
        assert abandoned is not None
        assert kept_open is not None
        await asyncio.gather(get(pool, origin), get(pool, origin))
        waiting = asyncio.create_task(ask(pool, origin, "/silent"))
        reading = asyncio.create_task(kept_open.read_into(memoryview(bytearray(len(LONG_BODY)))))
        await asyncio.sleep(0)
        if how == "aclose":
            await pool.aclose()
            await pool.aclose()
        else:
            pool.close_now()
            pool.close_now()
        with pytest.raises(ConnectionError):
            await waiting
        with pytest.raises(ConnectionError):
            await reading
        abandoned.close()
        kept_open.close()
        await server.done()
        with pytest.raises(RuntimeError, match="the store was closed"):
            await get(pool, origin)
        assert len(server.peers) == 4


async def test_a_connection_made_while_the_pool_is_closed_is_closed() -> None:
    async with serving() as (pool, origin, server):
        asking = asyncio.create_task(get(pool, origin))
        await asyncio.sleep(0)
        await pool.aclose()
        with pytest.raises(RuntimeError, match="the store was closed"):
            await asking
        await server.done()


class ServerThread:
    """A server on its own loop, for clients with several loops."""

    def __init__(self, tls: Certificate | None) -> None:
        self._tls = tls
        self._client_tls = None if tls is None else tls.client_context()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> ServerThread:
        self._thread.start()
        context = None if self._tls is None else self._tls.server_context()
        self._serving = scripted_server(keep_answering, tls=context)
        self.server = self.run(self._serving.__aenter__())
        self.origin = Origin(self.server.host, self.server.port, self._client_tls)
        return self

    def __exit__(self, *error: object) -> None:
        self.run(self._serving.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, awaitable: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(awaitable, self._loop).result(20)


@contextmanager
def nothing_said() -> Iterator[None]:
    """Fails on warnings and on errors that a loop reports."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(each.message) for each in said] == []


async def use(pool: Pool, origin: Origin) -> Stream:
    """Leaves two idle connections, and one in the middle of a body."""
    await asyncio.gather(get(pool, origin), get(pool, origin), get(pool, origin))
    stream = (await ask_long(pool, origin)).stream
    await stream.read_into(memoryview(bytearray(1000)))
    return stream


async def make_pool() -> Pool:
    return Pool(timeout=20.0, connect_timeout=5.0, threads=2)


WHILE_IT_RUNS = ["aclose", "in the loop", "loop runs again"]
#: uvloop closes connections only while it runs.
WAYS_OF_CLOSING = [
    *[(how, asyncio.new_event_loop) for how in [*WHILE_IT_RUNS, "loop stands", "loop is closed"]],
    *[(how, uvloop.new_event_loop) for how in WHILE_IT_RUNS],
]


@pytest.mark.parametrize(("how", "make_loop"), WAYS_OF_CLOSING)
@pytest.mark.parametrize("with_tls", [False, True])
def test_closing_without_a_running_loop_leaves_no_connection_and_no_warning(
    how: str,
    with_tls: bool,
    make_loop: Callable[[], asyncio.AbstractEventLoop],
    certificate: Certificate,
) -> None:
    with ServerThread(certificate if with_tls else None) as place, nothing_said():
        use_and_close(how, place, make_loop())


def use_and_close(how: str, place: ServerThread, loop: asyncio.AbstractEventLoop) -> None:
    complaints: list[object] = []
    loop.set_debug(True)
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    pool = loop.run_until_complete(make_pool())
    stream = loop.run_until_complete(use(pool, place.origin))

    async def close_now() -> None:
        pool.close_now()

    if how == "aclose":
        loop.run_until_complete(pool.aclose())
    elif how == "in the loop":
        loop.run_until_complete(close_now())
    elif how == "loop stands":
        pool.close_now()
    elif how == "loop runs again":
        waiting = loop.create_task(ask(pool, place.origin, "/silent"))
        loop.run_until_complete(asyncio.sleep(0.05))
        pool.close_now()
        pool.close_now()
        with pytest.raises(ConnectionError):
            loop.run_until_complete(waiting)
        # Other sockets have its file descriptors now.
        fresh = loop.run_until_complete(make_pool())
        loop.run_until_complete(use(fresh, place.origin)).close()
        loop.run_until_complete(fresh.aclose())
    else:
        loop.close()
        pool.close_now()
    stream.close()
    if not loop.is_closed():
        loop.close()
    place.run(place.server.done())
    assert complaints == []


def test_a_closed_transport_does_not_watch_the_next_socket_with_its_number() -> None:
    loop = asyncio.new_event_loop()
    complaints: list[object] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    data = bytes(10_000_000)

    async def send(sending: socket.socket) -> asyncio.Transport:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=sending)
        transport.write(data)
        assert transport.get_write_buffer_size() > 0
        return transport

    async def send_all(sending: socket.socket, receiving: socket.socket) -> int:
        transport = await send(sending)
        receiving.setblocking(False)
        received = 0
        while received < len(data):
            received += len(await loop.sock_recv(receiving, 2**20))
        transport.abort()
        await asyncio.sleep(0)
        return received

    first, its_peer = socket.socketpair()
    number = first.fileno()
    unfinished = loop.run_until_complete(send(first))
    close_without_loop(unfinished)
    close_without_loop(unfinished)
    second, other_peer = socket.socketpair()
    assert second.fileno() == number
    assert loop.run_until_complete(send_all(second, other_peer)) == len(data)
    assert complaints == []
    its_peer.close()
    other_peer.close()
    loop.close()


class Pools:
    """As the native transport does."""

    def make(self) -> Pool:
        return Pool(timeout=20.0, connect_timeout=5.0, threads=2)

    async def aclose(self, pool: Pool) -> None:
        await pool.aclose()

    def close_now(self, pool: Pool) -> None:
        pool.close_now()

    def forget(self, pool: Pool) -> None:
        pass


@pytest.mark.parametrize("with_tls", [False, True])
@pytest.mark.parametrize("how", ["close", "close_at_exit", "dropped"])
def test_closing_from_another_thread(how: str, with_tls: bool, certificate: Certificate) -> None:
    with ServerThread(certificate if with_tls else None) as place, nothing_said():
        per_loop = [PerLoop(Pools())]
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()

        async def use_it() -> None:
            await get(per_loop[0].get(), place.origin)

        asyncio.run_coroutine_threadsafe(use_it(), loop).result(20)
        if how == "dropped":
            per_loop.clear()
            gc.collect()
        else:
            getattr(per_loop[0], how)()
        place.run(place.server.done())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        assert len(place.server.peers) == 1


FORK = """
import asyncio, gc, os, sys
sys.path[:0] = {path}
from pathlib import Path
from test_http1_pool import *
tls = {tls}
per_loop = PerLoop(Pools())

async def use_all(place):
    return await use(per_loop.get(), place.origin)

async def child(origin):
    # The parent's connections are not used, new ones are made.
    gc.collect()
    await get(per_loop.get(), origin)
    per_loop.close()

async def parent(place, stream):
    # All connections still work, with the bytes in transit.
    memory = bytearray(len(LONG_BODY) - 1000)
    await stream.read_into(memoryview(memory))
    stream.close()
    assert memory == LONG_BODY[1000:]
    await asyncio.gather(*(get(per_loop.get(), place.origin) for _ in range(3)))
    assert len(place.server.peers) == 4, place.server.peers

with ServerThread(None if tls is None else Certificate(Path(tls))) as place:
    loop = asyncio.new_event_loop()
    stream = loop.run_until_complete(use_all(place))
    forked = os.fork()
    if forked == 0:
        asyncio.run(child(place.origin))
        sys.stderr.flush()
        os._exit(0)
    assert os.waitpid(forked, 0)[1] == 0
    loop.run_until_complete(parent(place, stream))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
print("done")
"""


@pytest.mark.parametrize("with_tls", [False, True])
def test_a_forked_child_does_not_disturb_its_parent(
    with_tls: bool, certificate: Certificate
) -> None:
    here = Path(__file__).parent
    program = FORK.format(
        path=[str(here), str(here.parents[1])],
        tls=repr(str(certificate.file)) if with_tls else None,
    )
    done = subprocess.run(
        [sys.executable, "-Walways::ResourceWarning", "-Wignore:This process", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert (done.stderr, done.stdout, done.returncode) == ("", "done\n", 0)
