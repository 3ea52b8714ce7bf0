"""HTTP/1.1 for many connections in one thread. Does not know S3, see `objects`."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from email.utils import formatdate
from typing import TYPE_CHECKING, Protocol

from benchmarks.cheap_server.bodies import ChunkedBody, SizedBody
from benchmarks.cheap_server.messages import Request, status_line
from benchmarks.cheap_server.transports import Encrypted, Plain

if TYPE_CHECKING:
    import ssl

    from benchmarks.cheap_server.messages import Response
    from benchmarks.cheap_server.transports import Transport

_BACKLOG = 1024
_HEAD_BYTES = 64 * 1024
#: The plaintext of a full TLS record.
_RECORD_BYTES = 16 * 1024
#: A body up to this size is sent together with its head, in one piece.
_SMALL_BYTES = 64 * 1024
_NOTHING = memoryview(b"")


class Handler(Protocol):
    """Responds to requests, from several threads at once."""

    def respond(self, request: Request) -> Response:
        """The response to a request."""


def serve(
    port: int, handler: Handler, *, threads: int = 1, context: ssl.SSLContext | None = None
) -> None:
    """Serve on loopback until the process ends."""
    listener = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
    listener.setblocking(False)
    for _ in range(threads - 1):
        threading.Thread(target=_Loop(listener, handler, context).run, daemon=True).start()
    _Loop(listener, handler, context).run()


class _Loop:
    """The connections of one thread."""

    def __init__(
        self, listener: socket.socket, handler: Handler, context: ssl.SSLContext | None
    ) -> None:
        self.respond = handler.respond
        self.selector = selectors.DefaultSelector()
        self._listener = listener
        self._context = context
        self._second = 0
        self._heads: dict[int, bytes] = {}

    def run(self) -> None:
        self.selector.register(self._listener, selectors.EVENT_READ, None)
        while True:
            for key, _ in self.selector.select():
                connection: _Connection | None = key.data
                if connection is None:
                    self._accept()
                else:
                    connection.proceed()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            # Another thread accepted it.
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = Plain(sock) if self._context is None else Encrypted(sock, self._context)
        connection = _Connection(sock, transport, self)
        self.selector.register(sock, selectors.EVENT_READ, connection)

    def head(self, status: int) -> bytes:
        """The status line and the header `Date`, rendered once a second."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._heads.clear()
        found = self._heads.get(status)
        if found is None:
            date = formatdate(now, usegmt=True)
            found = self._heads[status] = f"{status_line(status)}Date: {date}\r\n".encode()
        return found


class _Connection:
    """One connection: reads a request, sends the response, and reads the next."""

    def __init__(self, sock: socket.socket, transport: Transport, loop: _Loop) -> None:
        self._sock = sock
        self._transport = transport
        self._loop = loop
        self._received = bytearray()
        self._head: tuple[str, str, str, dict[str, str]] | None = None
        self._body: SizedBody | ChunkedBody | None = None
        self._unsent: deque[memoryview] = deque()
        self._waits_to_send = False

    def proceed(self) -> None:
        """Continue where the connection blocked."""
        try:
            if self._waits_to_send:
                self._send()
                self._respond_to_received()
            else:
                self._receive()
            while self._transport.has_received():
                self._receive()
        except BlockingIOError:
            pass
        except OSError:
            self._loop.selector.unregister(self._sock)
            self._sock.close()

    def _receive(self) -> None:
        if self._body is None:
            received = self._transport.receive(_HEAD_BYTES)
            if not received:
                raise ConnectionResetError("end of the connection")
            self._received += received
        self._respond_to_received()

    def _respond_to_received(self) -> None:
        """Respond to the requests that are received, until one is incomplete."""
        while self._body is not None or self._has_head():
            assert self._head is not None
            body = _NOTHING if self._body is None else self._body.read(self._transport)
            response = self._loop.respond(Request(*self._head, body))
            self._head = self._body = None
            self._queue(response)
            self._send()

    def _has_head(self) -> bool:
        """Parse the head of the next request, if it is complete."""
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = self._received[:end].decode("latin-1").split("\r\n")
        del self._received[: end + 4]
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        method, target, _ = first.split(" ", 2)
        path, _, query = target.partition("?")
        self._head = (method, path, query, headers)
        if "transfer-encoding" in headers:
            self._body = ChunkedBody(self._received)
        elif size := int(headers.get("content-length", 0)):
            self._body = SizedBody(size, self._received)
        if self._body is not None and "expect" in headers:
            self._unsent.append(memoryview(status_line(100).encode() + b"\r\n"))
            self._send()
        return True

    def _queue(self, response: Response) -> None:
        head = self._loop.head(response.status) + response.head
        first = response.body[0] if response.body else _NOTHING
        # With a small body in one piece; before a large one, what fills a TLS record.
        size = len(first) if len(first) <= _SMALL_BYTES else _RECORD_BYTES - len(head)
        self._unsent.append(memoryview(b"".join((head, first[:size]))))
        if size < len(first):
            self._unsent.append(first[size:])
        self._unsent += response.body[1:]

    def _send(self) -> None:
        unsent = self._unsent
        try:
            while unsent:
                count = self._transport.send(unsent[0])
                if count == len(unsent[0]):
                    unsent.popleft()
                else:
                    unsent[0] = unsent[0][count:]
            self._transport.drain()
        except BlockingIOError:
            self._wait_to_send(wait=True)
            raise
        self._wait_to_send(wait=False)

    def _wait_to_send(self, *, wait: bool) -> None:
        if wait is not self._waits_to_send:
            self._waits_to_send = wait
            event = selectors.EVENT_WRITE if wait else selectors.EVENT_READ
            self._loop.selector.modify(self._sock, event, self)
