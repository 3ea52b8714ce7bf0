"""The client's end of one HTTP/1.1 connection, which sends one request at a time.

Bodies are received from the socket directly into their final memory, without a copy. Does not know
how a connection is made or when a request is retried.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

from ..messages import (
    CONTROL_BYTES,
    CONTROL_RESPONSE,
    MAX_ERROR_BYTES,
    BodyTooLongError,
    Expected,
    Response,
)
from .buffer_pool import allocate
from .chunked import ChunkedBody
from .head_parser import UNTIL_CLOSE, Head, ProtocolError, may_become_head, parse_head
from .response_timer import ResponseTimer
from .sink import Sink
from .socket_transport import SocketTransport
from .transfers import Receiving, Sending

if TYPE_CHECKING:
    import asyncio

    from .channels import Channel

__all__ = ["Connection"]

#: Size of the buffer for heads and chunks, and so the maximum size of a head.
_READ_BYTES = 64 * 2**10
#: Request bodies up to this size are sent in one write with the head.
_JOINED_BYTES = 64 * 2**10
#: Bodies from this size are transferred by a thread, which takes 0.1 ms to start.
_THREAD_BYTES = 256 * 2**10
#: Maximum number of interim responses (RFC 9110, section 15.2) before the final one.
_MAX_INTERIM = 16


class Connection:
    """The client's end of a connection.

    Parameters
    ----------
    timeout : float
        Seconds to wait for the head of a response, and within a body for the next bytes. After
        this time a body also fails if it is slower than 4 KiB/s.
    threads : int
        Number of threads that transfer large bodies.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, channel: Channel, timeout: float, threads: int
    ) -> None:
        self._loop = loop
        self._timeout = timeout
        self._threads = threads
        self._timer = ResponseTimer(loop, timeout, self._observe, self._finish)
        #: False if the current request is the last one.
        self.reusable = True
        # Whether bytes of a response are expected now.
        self._expecting = False
        # Received bytes that are not parsed yet, outside of bodies.
        self._buffer = bytearray(_READ_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0
        # State of the current response.
        self._waiter: asyncio.Future[None] | None = None
        self._expected = CONTROL_RESPONSE
        self._interim = 0
        self._head: Head | None = None
        self._chunks: ChunkedBody | None = None
        self._body: memoryview | None = None
        # Where the rest of the body is received.
        self._sink: Sink | None = None
        #: Bytes of the body that are left for `Connection.read_into`.
        self.unread = 0
        self._sending_ended: asyncio.Future[None] | None = None
        #: ``None`` when the connection is closed.
        self.transport: SocketTransport | None = SocketTransport(loop, channel, self)

    @property
    def is_open(self) -> bool:
        """Whether another request can be sent."""
        return (
            self.reusable
            and not self._expecting
            and not self.unread
            and self.transport is not None
            and not self.transport.is_closing()
        )

    async def request(
        self, head: bytes, body: memoryview | None = None, expected: Expected = CONTROL_RESPONSE
    ) -> Response[memoryview | None]:
        """Send a request and receive its response.

        The body of the response is ``None`` if it is left for `read_into`.

        Raises
        ------
        ConnectionError
            When the connection breaks, or the response violates HTTP/1.1. The connection is closed.
        TimeoutError
            When the response does not arrive in time.
        InsufficientMemoryError
            When there is not enough memory for the body.
        BodyTooLongError
            When a body of unknown length has more than ``expected.max_bytes``.
        """
        transport = self.transport
        if transport is None:
            raise ConnectionResetError("the server closed the connection")
        self._head = self._chunks = self._body = self._sink = None
        self._expected = expected
        self._interim = 0
        waiter = self._expect()
        try:
            if body is None:
                transport.write(head)
            elif body.nbytes <= _JOINED_BYTES:
                transport.write(b"".join((head, body)))
            elif body.nbytes < _THREAD_BYTES:
                transport.write(head)
                transport.write(body)
            else:
                await self._send_in_thread(transport, [memoryview(head), body])
            await waiter
        except BaseException:
            self._cancel(waiter)
            raise
        finally:
            self._waiter = None
            self._expected = CONTROL_RESPONSE
            # Its exception refers to this frame, and so to all callers: they would be freed late.
            del waiter
        if body is not None and transport.get_write_buffer_size():
            # The response arrived before the request was sent: its rest would precede the next one.
            self.reusable = False
        parsed = cast("Head", self._head)
        response = Response(parsed.status, parsed.headers, self._body)
        # An idle connection must not keep the body's memory.
        self._body = self._chunks = None
        return response

    async def read_into(self, sink: memoryview) -> None:
        """Fill ``sink`` with the next bytes of the body.

        Raises
        ------
        ConnectionError, TimeoutError
            See `request`.
        ValueError
            When ``sink`` has more than `unread` bytes.
        """
        if sink.nbytes > self.unread:
            raise ValueError(f"{self.unread} bytes of the body are left, not {sink.nbytes}")
        transport = self.transport
        first = bytes(self._view[: min(self._filled, sink.nbytes)])
        if len(first) < sink.nbytes and transport is None:
            raise ConnectionResetError("the server closed the connection within a body")
        self._consume(len(first))
        self.unread -= sink.nbytes
        if transport is None or len(first) == sink.nbytes:
            sink[:] = first
            return
        self._sink = Sink(sink)
        waiter = self._expect()
        self._receive_body(transport, self._sink, sink.nbytes, first)
        try:
            await waiter
        except BaseException:
            self._cancel(waiter)
            raise
        finally:
            self._waiter = self._sink = None
            del waiter

    def abort(self) -> None:
        """Close the connection at once."""
        self.reusable = False
        self._timer.stop()
        if self.transport is not None:
            self.transport.abort()

    def close_without_loop(self) -> None:
        """Close the connection of a loop that does not run."""
        if self.transport is not None:
            self.transport.close_without_loop()
        # A closed loop raises.
        with suppress(RuntimeError):
            self.connection_lost(None)

    # -- Callbacks of the transport ------------------------------------------------------------

    def get_buffer(self) -> memoryview:
        """Return memory for the next bytes: of a body, or for heads and chunks."""
        if self._sink is not None:
            return self._sink.room()
        return self._view[self._filled :] if self._filled else self._view

    def buffer_updated(self, nbytes: int) -> bool:
        """Process bytes that were received into the memory of `get_buffer`."""
        self._timer.deadline.at = self._loop.time() + self._timeout
        if self._sink is not None:
            if self._sink.added(nbytes):
                self._finish_body(cast("SocketTransport", self.transport))
            return not self._expecting
        if not self._expecting:
            # Bytes without a request could be parsed as the next response.
            self.abort()
            return False
        self._filled += nbytes
        try:
            self._parse_buffer()
        except (ProtocolError, BodyTooLongError, MemoryError) as error:
            # The transport may read again at once, and needs room in the buffer.
            self._filled = 0
            self._finish(error)
        return not self._expecting

    def eof_received(self) -> None:
        """Process the end of the stream, which is the end of some bodies."""
        self.reusable = False
        if not self._expecting:
            return
        head = self._head
        if self._chunks is not None and head is not None and head.length == UNTIL_CLOSE:
            self._finish_decoded(self._chunks, head)
        else:
            self._fail_broken(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Process the end of the transport."""
        self.transport = None
        self.abort()
        self._fail_broken(exc)

    # -- Transfers by a thread -----------------------------------------------------------------

    async def _send_in_thread(self, transport: SocketTransport, pieces: list[memoryview]) -> None:
        is_open = True

        def end(error: Exception | None) -> None:
            nonlocal is_open
            is_open = error is None
            if error is None or isinstance(error, OSError):
                # The server may have sent a response before it closed the connection.
                transport.resume_reading()
                transport.read()
            else:
                transport.abort(error)
            self._wake_writer()

        sending = Sending(transport.channel, self._threads, end, pieces)
        while is_open and self._expecting and not (sending.is_complete or transport.is_closing()):
            self._sending_ended = self._loop.create_future()
            transport.transfer(sending)
            await self._sending_ended
        self._sending_ended = None
        if not sending.is_complete:
            self.reusable = False
        self._timer.deadline.restart(self._loop.time())

    def _wake_writer(self) -> None:
        if self._sending_ended is not None and not self._sending_ended.done():
            self._sending_ended.set_result(None)

    def _receive_body(
        self, transport: SocketTransport, sink: Sink, size: int, first: bytes | memoryview
    ) -> None:
        """Receive a body of this size after its first bytes: large ones by a thread."""
        if size - len(first) < _THREAD_BYTES or transport.get_write_buffer_size():
            sink.copy(first)
            transport.resume_reading()
            return

        def end(error: Exception | None) -> None:
            if error is None:
                self._finish_body(transport)
            elif isinstance(error, EOFError):
                self.eof_received()
                transport.abort()
            else:
                transport.abort(error)

        # The thread copies the first bytes too: the system clears memory when it is first used.
        receiving = Receiving(transport.channel, self._threads, end, sink, bytes(first))
        transport.transfer(receiving)

    # -- Receiving -----------------------------------------------------------------------------

    def _parse_buffer(self) -> None:
        while self._head is None:
            end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
            if end < 0:
                if self._filled == _READ_BYTES:
                    raise ProtocolError(f"a response head has more than {_READ_BYTES} bytes")
                if not may_become_head(bytes(self._view[: self._filled])):
                    raise ProtocolError("the response is not HTTP/1.1")
                return
            head = parse_head(self._view[: end + 2], no_body=self._expected.no_body)
            if head.status >= 200:
                self._start_body(head, end + 4)
                return
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                raise ProtocolError(f"{self._interim} interim responses and no final one")
            self._consume(end + 4)
        if self._chunks is not None:
            self._decode_chunks(self._chunks, self._head)

    def _start_body(self, head: Head, start: int) -> None:
        """Prepare memory for the body, whose first bytes are at ``start`` in the buffer."""
        self._head = head
        length = head.length
        if not head.keeps_open:
            self.reusable = False
        if length < 0:
            self._consume(start)
            self._chunks = ChunkedBody(until_close=length == UNTIL_CLOSE)
            self._decode_chunks(self._chunks, head)
            return
        is_value = head.status in (200, 206)
        if not is_value:
            _check_control_bytes(head.status, length)
        into = self._expected.into
        if into is not None and (head.status != 206 or length != into.nbytes):
            into = None
        buffered = self._filled - start
        is_long = length > self._expected.unread_above and buffered < length
        if is_long and into is None and is_value:
            assert self.transport is not None
            self.transport.pause_reading()
            self._consume(start)
            self.unread = length
            self._finish()
            return
        if into is None:
            # Small bodies need no pool.
            if length <= _READ_BYTES:
                into = memoryview(bytearray(length))
            else:
                self._expected.reserve(length)
                into = allocate(length)
        self._body = body = into
        on_chunk = self._expected.on_chunk
        add_chunk = None if on_chunk is None else on_chunk(head.status, head.headers)
        if buffered < length:
            self._sink = sink = Sink(body, add_chunk)
            first = self._view[start : self._filled]
            self._receive_body(cast("SocketTransport", self.transport), sink, length, first)
        else:
            # Bytes after the body could be parsed as the next response.
            self.reusable &= buffered == length
            body[:] = self._view[start : start + length]
            if add_chunk is not None:
                add_chunk(body)
            self._finish()
        self._filled = 0

    def _decode_chunks(self, chunks: ChunkedBody, head: Head) -> None:
        data = bytes(self._view[: self._filled])
        self._filled = 0
        consumed = chunks.feed(data)
        if head.status >= 300:
            _check_control_bytes(head.status, len(chunks.data))
        elif len(chunks.data) > (max_bytes := self._expected.max_bytes(head.status)):
            raise BodyTooLongError(max_bytes)
        if chunks.done:
            if consumed < len(data):
                self.reusable = False
            self._finish_decoded(chunks, head)

    def _finish_decoded(self, chunks: ChunkedBody, head: Head) -> None:
        self._body = body = memoryview(chunks.data)
        if self._expected.on_chunk is not None:
            add_chunk = self._expected.on_chunk(head.status, head.headers)
            if add_chunk is not None:
                add_chunk(body)
        self._finish()

    def _finish_body(self, transport: SocketTransport) -> None:
        """All bytes of the memory are received."""
        self._sink = None
        if self.unread:
            transport.pause_reading()
        elif transport.transferring is not None:
            self._expecting = False
            transport.resume_reading()
            # Bytes after the body close the connection.
            transport.read()
        self._finish()

    def _consume(self, size: int) -> None:
        """Remove bytes from the start of the buffer."""
        left = self._filled - size
        if left:
            self._buffer[:left] = self._buffer[size : self._filled]
        self._filled = left

    def _finish(self, error: Exception | None = None) -> None:
        """Wake the call: all expected bytes are received, or an error occurred."""
        self._expecting = False
        if self._waiter is not None and not self._waiter.done():
            if error is None:
                self._waiter.set_result(None)
            else:
                self._waiter.set_exception(error)
        if self._sending_ended is not None:
            self._wake_writer()

    def _fail_broken(self, cause: Exception | None) -> None:
        if self._expecting:
            where = "within" if self._head is not None else "before"
            error = ConnectionResetError(f"the connection broke {where} the response")
            error.__cause__ = cause
            self._finish(error)

    def _cancel(self, waiter: asyncio.Future[None]) -> None:
        """Close the connection after a failed or cancelled request."""
        self._expecting = False
        # This object is part of reference cycles, and so exists longer.
        self._body = self._chunks = self._sink = None
        self.abort()
        if waiter.done() and not waiter.cancelled():
            # Mark the exception as retrieved: the task may be cancelled at the same time.
            waiter.exception()

    # -- Waiting -------------------------------------------------------------------------------

    def _expect(self) -> asyncio.Future[None]:
        """Start to wait for bytes of a response. Returns the future that `_finish` sets."""
        self._expecting = True
        self._waiter = waiter = self._loop.create_future()
        if self.transport is not None:
            self._timer.start()
        return waiter

    def _observe(self) -> tuple[SocketTransport | None, int] | None:
        if self._waiter is None or self._waiter.done():
            return None
        if self._sink is not None:
            return self.transport, self._sink.count
        return self.transport, 0 if self._chunks is None else len(self._chunks.data)


def _check_control_bytes(status: int, size: int) -> None:
    if size > (MAX_ERROR_BYTES if status >= 300 else CONTROL_BYTES):
        raise ProtocolError(f"the body of a response with status {status} is too large")
