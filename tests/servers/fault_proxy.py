"""A reverse proxy that stands before one server, counts what passes, and breaks what it is told to.

Knows just enough HTTP/1.1 to find where a message ends. Everything else passes byte for byte, the
request target and the Host header above all: a request signed for the proxy's address holds at a
server that checks the signature against the Host it is sent.
Does not know S3 or any other service, and never repeats a request: each connection of a client has
its own connection to the server, so the server gets each request once or, where that breaks, never.
"""

import asyncio
import enum
import itertools
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import responses
from random import Random
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit

from servers.acceptors import stop_accepting
from servers.ports import LOOPBACK, listener

# What a stream buffers before it makes the sender wait, and the longest head or chunk line.
_STREAM_LIMIT = 1 << 20
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class Fault(enum.Enum):
    """What can go wrong with a request. Each strikes after the whole request has been received."""

    UNAVAILABLE = enum.auto()
    """The server is not asked; the answer is 503. `Answer` is the same with any other content."""

    RESET = enum.auto()
    """The server is not asked; the connection is reset."""

    TRUNCATED = enum.auto()
    """The head of the server's answer and half of its body, then the connection is closed.

    An answer nobody could see to be cut (no body, or one that ends with the connection) is `LOST`.
    """

    DELAYED = enum.auto()
    """The server does what is asked; its answer never comes, and the connection stays open."""

    LOST = enum.auto()
    """The server does what is asked; the connection is reset before a byte of its answer."""


class Damage(enum.Enum):
    """One byte in the middle of a body is another, and nothing else shows it."""

    REQUEST = enum.auto()
    """The server gets another body than the client sent."""

    ANSWER = enum.auto()
    """The client gets another body than the server sent."""


@dataclass(frozen=True)
class Answer:
    """An answer the proxy gives itself, without asking the server.

    Its length is added to the headers, unless they have one already.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Late:
    """The server's response is sent this number of seconds later."""

    seconds: float


Plan = Callable[[str, str, Mapping[str, str]], Fault | Damage | Answer | Late | None]
"""Method, target and headers (names in lower case) of a request to what shall befall it.

It is asked once for each request, in the order they come in, on the proxy's thread.
"""


@dataclass
class Seen:
    """One request that came in, up to now: its status is known once the answer is on its way."""

    method: str
    target: str
    # Signatures and tokens are in here, and a failed assertion prints what it compared.
    headers: Mapping[str, str] = field(repr=False)
    fault: Fault | Damage | Answer | Late | None
    status: int | None = None
    """None as long as no answer has been sent, and for ever when none will be."""


def no_faults(method: str, target: str, headers: Mapping[str, str]) -> None:
    """The plan of a proxy that was given no other."""


def every_nth(n: int, faults: Sequence[Fault | Answer], seed: int = 0) -> Plan:
    """Every `n`-th request meets one of `faults`: which one, `seed` decides."""
    if n < 1 or not faults:
        raise ValueError(f"n must be at least 1 and faults not empty, got {n} and {faults}")
    numbers = itertools.count(1)
    choice = Random(seed).choice

    def plan(method: str, target: str, headers: Mapping[str, str]) -> Fault | Answer | None:
        return choice(faults) if next(numbers) % n == 0 else None

    return plan


def the_first(n: int, fault: Fault | Damage | Answer | Late, *, method: str | None = None) -> Plan:
    """The first `n` requests meet `fault`, or the first `n` of one method."""
    left = itertools.repeat(fault, n)

    def plan(
        asked: str, target: str, headers: Mapping[str, str]
    ) -> Fault | Damage | Answer | Late | None:
        return next(left, None) if method in (None, asked) else None

    return plan


class FaultProxy:
    """A running proxy. `fault_proxy` makes one.

    Attributes
    ----------
    url
        Where it listens: the server's URL with the proxy's address in it.
    seen
        Every request so far, in the order in which their heads came in.
    plan
        What befalls each request; may be replaced at any time, from any thread.
    latency
        Seconds by which each answer is held back; may be changed at any time too.
    """

    def __init__(
        self,
        upstream: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        upstream_tls: ssl.SSLContext | None = None,
    ) -> None:
        address = urlsplit(upstream)
        expected = "http" if upstream_tls is None else "https"
        if address.scheme != expected or address.hostname is None or address.port is None:
            raise ValueError(f"upstream must be {expected}://HOST:PORT, got {upstream!r}")
        self._upstream = (address.hostname, address.port, upstream_tls)
        scheme = "http" if tls is None else "https"
        self.url = address._replace(scheme=scheme, netloc=f"{LOOPBACK}:{port}").geturl()
        self._tls = tls
        self.seen: list[Seen] = []
        self.plan: Plan = no_faults
        self.latency = 0.0
        self._watchers: dict[int, list[Seen]] = {}
        self._conversations: set[asyncio.Task[None]] = set()
        self._failures: list[Exception] = []

    @property
    def count(self) -> int:
        """How many requests came in."""
        return len(self.seen)

    @contextmanager
    def watching(self) -> Iterator[list[Seen]]:
        """A list that gets the requests which come in while the block lasts, and no others."""
        watched: list[Seen] = []
        self._watchers[id(watched)] = watched
        try:
            yield watched
        finally:
            del self._watchers[id(watched)]

    async def _serve(self, listening: socket.socket, started: Future[Callable[[], object]]) -> None:
        """Listens until what it gives to `started` is called."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            def ended(task: asyncio.Task[None]) -> None:
                self._conversations.discard(task)
                if task.cancelled():
                    # Before it began: one that has begun closes its connection itself.
                    writer.transport.abort()

            task = asyncio.create_task(self._converse(reader, writer))
            self._conversations.add(task)
            task.add_done_callback(ended)

        server = await asyncio.start_server(
            connected, sock=listening, limit=_STREAM_LIMIT, ssl=self._tls
        )
        started.set_result(lambda: loop.call_soon_threadsafe(stop.set))
        await stop.wait()
        await stop_accepting(server)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection from beginning to end."""
        line = _Line(*self._upstream)
        try:
            while (request := await _read_request(reader, writer, self._take_note)) is not None:
                if not await self._answer(request, line, reader, writer):
                    break
        except (ConnectionError, EOFError):
            # Either side went away in the middle. The other one is told in the same words.
            _reset(writer)
        except Exception as error:
            # A plan that fails, or a message that makes no sense: the test is told at the end.
            self._failures.append(error)
            _reset(writer)
        except asyncio.CancelledError:
            # The proxy closes. Python 3.11 logs an error for a connection that ends as cancelled.
            writer.transport.abort()
        finally:
            line.close()
            writer.close()

    def _take_note(self, head: "_Head") -> Seen:
        method, target, _ = head.start
        headers = MappingProxyType(head.headers)
        seen = Seen(method, target, headers, self.plan(method, target, headers))
        self.seen.append(seen)
        for watcher in tuple(self._watchers.values()):
            watcher.append(seen)
        return seen

    async def _answer(
        self,
        request: "_Request",
        line: "_Line",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answers `request` as planned, and says whether the connection may be used again."""
        seen = request.seen
        match seen.fault:
            case Fault.RESET:
                _reset(writer)
                return False
            case Fault.UNAVAILABLE:
                reply = _own_reply(Answer(HTTPStatus.SERVICE_UNAVAILABLE), seen.method)
            case Answer() as answer:
                reply = _own_reply(answer, seen.method)
            case Damage.REQUEST:
                reply = await line.ask(request._replace(body=_damaged(request.body)))
            case _:
                reply = await line.ask(request)

        if seen.fault is Damage.ANSWER:
            reply = reply._replace(body=_damaged(reply.body))
        cut = seen.fault is Fault.TRUNCATED
        if seen.fault is Fault.LOST or (cut and not (reply.body and reply.delimited)):
            _reset(writer)
            return False
        if seen.fault is Fault.DELAYED:
            # Whatever the client sends now it sends in vain; the end of it is the client's leaving.
            while await reader.read(_STREAM_LIMIT):
                pass
            return False
        latency = self.latency + (seen.fault.seconds if isinstance(seen.fault, Late) else 0)
        if latency:
            await asyncio.sleep(latency)
        # First, so that whoever has the answer finds the status.
        seen.status = reply.status
        # Not `writelines`: in early releases of Python 3.12 and 3.13 it never gets done with an
        # empty part, and the connection never ends.
        writer.write(reply.head + (reply.body[: len(reply.body) // 2] if cut else reply.body))
        await writer.drain()
        return request.keeps_open and reply.keeps_open and not cut


@contextmanager
def fault_proxy(
    upstream: str,
    tls: ssl.SSLContext | None = None,
    upstream_tls: ssl.SSLContext | None = None,
) -> Iterator[FaultProxy]:
    """Runs a proxy before `upstream` (`http://HOST:PORT`) on a free port until the block is left.

    What its plan raised is raised again at the end. A path in `upstream` is one the clients are
    to use, and is in the proxy's own `url` too; nothing is added to what they ask for. With `tls`
    its clients use https. With `upstream_tls` it uses https to `upstream`.
    """
    listening = listener()
    try:
        proxy = FaultProxy(upstream, listening.getsockname()[1], tls, upstream_tls)
    except ValueError:
        listening.close()
        raise
    started: Future[Callable[[], object]] = Future()
    thread = threading.Thread(
        target=lambda: asyncio.run(proxy._serve(listening, started)),
        name="fault-proxy",
        daemon=True,
    )
    thread.start()
    stop = started.result()
    try:
        yield proxy
    finally:
        stop()
        thread.join()
        if proxy._failures:
            raise proxy._failures[0]


class _Head(NamedTuple):
    """A request's or an answer's first line, in its three parts, and its headers."""

    raw: bytes
    start: tuple[str, str, str]
    headers: dict[str, str]

    def keeps_open(self, version: str) -> bool:
        connection = self.headers.get("connection", "").lower()
        return "close" not in connection and (version != "HTTP/1.0" or "keep-alive" in connection)


class _Request(NamedTuple):
    head: bytes
    body: bytes
    keeps_open: bool
    seen: Seen


class _Reply(NamedTuple):
    status: int
    head: bytes
    body: bytes
    keeps_open: bool
    # Whether the head, or the body itself, says where the body ends.
    delimited: bool = True


class _Line:
    """One client's connection to the server: made when needed, kept while the server keeps it."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._address = (host, port)
        self._tls = tls
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: _Request) -> _Reply:
        """Sends `request` and reads the whole answer to it."""
        reader, writer = await self._open()
        writer.write(request.head + request.body)
        # No waiting for all of it to be sent: a server may answer before it has read everything.
        return await _read_reply(reader, request.seen.method)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # A server may hang up on a kept connection. Seen before anything was sent, that is no
        # failure; seen afterwards it is the client's, who alone knows what may be sent twice.
        if self._ends is not None and (self._ends[0].at_eof() or self._ends[1].is_closing()):
            self.close()
        if self._ends is None:
            self._ends = await asyncio.open_connection(
                *self._address, limit=_STREAM_LIMIT, ssl=self._tls
            )
        return self._ends

    def close(self) -> None:
        if self._ends is not None:
            self._ends[1].transport.abort()
            self._ends = None


async def _read_request(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    take_note: Callable[[_Head], Seen],
) -> _Request | None:
    """The next request, or None when the client has hung up instead."""
    try:
        head = await _read_head(reader)
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise
        return None
    seen = take_note(head)
    if head.headers.get("expect", "").lower() == "100-continue":
        # Said on the server's behalf: it gets head and body at once, and its own word is dropped.
        writer.write(_CONTINUE)
    body = await _read_delimited(reader, head.headers)
    return _Request(head.raw, body or b"", head.keeps_open(head.start[2]), seen)


async def _read_reply(reader: asyncio.StreamReader, method: str) -> _Reply:
    status = 100
    while 100 <= status < 200:
        head = await _read_head(reader)
        status = int(head.start[1])
    keeps_open = head.keeps_open(head.start[0])
    if method == "HEAD" or status in _BODILESS:
        return _Reply(status, head.raw, b"", keeps_open)
    body = await _read_delimited(reader, head.headers)
    if body is None:
        return _Reply(status, head.raw, await reader.read(), keeps_open=False, delimited=False)
    return _Reply(status, head.raw, body, keeps_open)


async def _read_head(reader: asyncio.StreamReader) -> _Head:
    raw = await reader.readuntil(b"\r\n\r\n")
    first, *lines = raw[:-4].decode("latin-1").split("\r\n")
    # An answer may come without the words after its status.
    start, middle, end = (first + " ").split(" ", 2)
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return _Head(raw, (start, middle, end.rstrip(" ")), headers)


async def _read_delimited(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes | None:
    """The body as it is on the wire, chunks and all; None when the head does not say its length."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _read_chunks(reader)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return None


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    size = 1
    while size:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        parts.append(line)
        if size:
            parts.append(await reader.readexactly(size + 2))
    while parts[-1] != b"\r\n":
        # Trailers, up to the empty line that ends them.
        parts.append(await reader.readuntil(b"\r\n"))
    return b"".join(parts)


def _damaged(body: bytes) -> bytes:
    damaged = bytearray(body)
    if damaged:
        damaged[len(body) // 2] ^= 1
    return bytes(damaged)


def _own_reply(answer: Answer, method: str) -> _Reply:
    bodiless = answer.status in _BODILESS
    length = {} if bodiless else {"Content-Length": str(len(answer.body))}
    lines = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, '')}"]
    lines += [f"{name}: {value}" for name, value in {**length, **answer.headers}.items()]
    head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
    body = b"" if bodiless or method == "HEAD" else answer.body
    return _Reply(answer.status, head, body, keeps_open=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection so that the client gets ECONNRESET, not an orderly end."""
    # An error here means that the connection has ended already.
    with suppress(OSError):
        connection = writer.get_extra_info("socket")
        # With TLS there is none any more when the client has reset the connection.
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
