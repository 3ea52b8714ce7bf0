"""The client's end of one HTTP/1.1 connection, which sends one request at a time.

Bodies are received from the socket directly into their final memory, without a copy. Does not know
how a connection is made or when a request is retried.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from ..retry_policy import SLOWEST_DOWNLOAD, too_slow
from .buffer_pool import new_memory
from .chunked import ChunkedBody
from .head_parser import UNTIL_CLOSE, Head, ProtocolError, may_become_head, parse_head

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "CONTROL_BYTES",
    "MAX_ERROR_BYTES",
    "BodyTooLongError",
    "Connection",
    "MaxBytes",
    "OnChunk",
    "Response",
    "max_control_bytes",
]

#: Called with status and headers. Returns a function that is called with each piece of the body.
OnChunk: TypeAlias = "Callable[[int, Mapping[str, str]], Callable[[memoryview], object] | None]"
#: Returns the maximum size of a body of unknown length, for a status.
MaxBytes: TypeAlias = "Callable[[int], int]"

#: Maximum size of a body that is not a value: a page of a listing, a batch response.
CONTROL_BYTES = 64 * 2**20
#: Size of the buffer for heads and chunks, and so the maximum size of a head.
_READ_BYTES = 64 * 2**10
#: Maximum size of one read into a body. Its checksum is computed while it is in the CPU's cache.
_PIECE_BYTES = 512 * 2**10
#: Maximum size of an error body.
MAX_ERROR_BYTES = 2**20
#: Request bodies up to this size are sent in one write with the head.
_JOINED_BYTES = 64 * 2**10
#: Larger ones are sent in slices of this size. Each waits until the write buffer has room.
_SLICE_BYTES = 256 * 2**10
#: Maximum number of interim responses (RFC 9110, section 15.2) before the final one.
_MAX_INTERIM = 16


def max_control_bytes(status: int) -> int:
    """The `MaxBytes` of responses that are not values."""
    return CONTROL_BYTES


@dataclass(slots=True)
class Response:
    """A response.

    Attributes
    ----------
    status : int
        Status code, three digits.
    headers : mapping of str to str
        Names in lower case.
    body : memoryview or None
        ``None`` for a body that the caller reads with `Connection.read_into`.
    length : int
        Size of the body in bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: memoryview | None
    length: int


class Connection(asyncio.BufferedProtocol):
    """The client's end of a connection.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        The running loop.
    timeout : float
        Seconds to wait for the head of a response, and within a body for the next bytes. After
        this time a body also fails if it is slower than 4 KiB/s.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._loop = loop
        self._timeout = timeout
        self._transport: asyncio.Transport | None = None
        self._reusable = True
        # Whether bytes of a response are expected now.
        self._expecting = False
        # Received bytes that are not parsed yet, outside of bodies.
        self._buffer = bytearray(_READ_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0
        # State of the current response.
        self._waiter: asyncio.Future[None] | None = None
        self._no_body = False
        self._whole_up_to = 0
        self._into: memoryview | None = None
        self._max_bytes: MaxBytes = max_control_bytes
        self._interim = 0
        self._on_chunk: OnChunk | None = None
        self._add_chunk: Callable[[memoryview], object] | None = None
        self._head: Head | None = None
        self._chunks: ChunkedBody | None = None
        self._body: memoryview | None = None
        # Memory that the body is received into, and the number of bytes received.
        self._sink: memoryview | None = None
        self._received = 0
        #: Bytes of the body that are left for `Connection.read_into`.
        self.unread = 0
        self._paused_writing = False
        self._drained: asyncio.Future[None] | None = None
        # Size of the transport's write buffer at the last check.
        self._unsent = 0
        self._deadline = 0.0
        # Start of the wait for the response: the last time at which bytes of the request were sent.
        self._began = 0.0
        # Whether the response was found to be below the minimum rate.
        self._overdue = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether another request can be sent."""
        return (
            self._reusable
            and not self._expecting
            and not self.unread
            and self._transport is not None
            and not self._transport.is_closing()
        )

    @property
    def transport(self) -> asyncio.Transport | None:
        """The asyncio transport; ``None`` when the connection is closed."""
        return self._transport

    async def request(
        self,
        head: bytes,
        body: memoryview | None = None,
        *,
        no_body: bool = False,
        whole_up_to: int,
        into: memoryview | None = None,
        max_bytes: MaxBytes = max_control_bytes,
        on_chunk: OnChunk | None = None,
    ) -> Response:
        """Send a request and receive its response.

        Parameters
        ----------
        head : bytes
            From the request line to the empty line.
        body : memoryview, optional
            Of the length that the head states.
        no_body : bool, optional
            Whether the response has no body whatever its head states (HEAD).
        whole_up_to : int
            Maximum size in bytes of a body with status 200 or 206 that is received here. A longer
            one is left for `read_into`. The next request can be sent when it is read to its end.
            Bodies of unknown length, and bodies that arrive together with their head, are always
            received here. So are bodies with another status: more than 64 MiB of a success or
            1 MiB of an error raise.
        into : memoryview, optional
            Memory for the body of a 206 of exactly this size. Other bodies are received into new
            memory.
        max_bytes : callable, optional
            Returns, for the status of a success, the maximum size of a body of unknown length.
        on_chunk : callable, optional
            Called with status and headers. If it returns a function, that is called with each
            piece of the body that is received here. It must be fast and not raise.

        Raises
        ------
        ConnectionError
            When the connection breaks, or the response violates HTTP/1.1. The connection is closed.
        TimeoutError
            When the response does not arrive in time.
        InsufficientMemoryError
            When there is not enough memory for the body.
        BodyTooLongError
            When a body of unknown length has more than ``max_bytes``.
        """
        transport = self._transport
        if transport is None:
            raise ConnectionResetError("the server closed the connection")
        self._waiter = waiter = self._loop.create_future()
        self._head = self._chunks = self._body = self._sink = None
        self._no_body = no_body
        self._whole_up_to = whole_up_to
        self._into = into
        self._max_bytes = max_bytes
        self._interim = 0
        self._on_chunk = on_chunk
        self._add_chunk = None
        self._expecting = True
        self._unsent = 0
        self._start_timer()
        try:
            if body is None:
                transport.write(head)
            elif body.nbytes <= _JOINED_BYTES:
                transport.write(b"".join((head, body)))
            else:
                await self._send_slices(transport, head, body)
            await waiter
        except BaseException:
            self._cancel(waiter)
            raise
        finally:
            self._waiter = self._into = self._on_chunk = self._add_chunk = None
            self._max_bytes = max_control_bytes
        if body is not None and transport.get_write_buffer_size():
            # The response arrived before the request was sent: its rest would precede the next one.
            self._reusable = False
        parsed, received = cast("Head", self._head), self._body
        # An idle connection must not keep the body's memory.
        self._body = self._chunks = None
        return Response(
            parsed.status,
            parsed.headers,
            received,
            parsed.length if received is None else received.nbytes,
        )

    async def read_into(self, sink: memoryview) -> None:
        """Fill ``sink`` with the next bytes of the body.

        Parameters
        ----------
        sink : memoryview
            Writable, with at most `unread` bytes.

        Raises
        ------
        ConnectionError, TimeoutError
            As `request`.
        ValueError
            When ``sink`` has more than `unread` bytes.
        """
        if sink.nbytes > self.unread:
            raise ValueError(f"{self.unread} bytes of the body are left, not {sink.nbytes}")
        transport = self._transport
        buffered = min(self._filled, sink.nbytes)
        if buffered:
            sink[:buffered] = self._view[:buffered]
            left = self._filled - buffered
            self._buffer[:left] = self._buffer[buffered : self._filled]
            self._filled = left
        self.unread -= buffered
        if buffered == sink.nbytes:
            return
        if transport is None:
            raise ConnectionResetError("the server closed the connection within a body")
        self._sink, self._received = sink, buffered
        self.unread -= sink.nbytes - buffered
        self._waiter = waiter = self._loop.create_future()
        self._expecting = True
        self._start_timer()
        transport.resume_reading()
        try:
            await waiter
        except BaseException:
            self._cancel(waiter)
            raise
        finally:
            self._waiter = self._sink = None

    def abort(self) -> None:
        """Close the connection at once."""
        self._reusable = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    # -- Callbacks of asyncio ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._sink is not None:
            return self._sink[self._received : self._received + _PIECE_BYTES]
        return self._view[self._filled :] if self._filled else self._view

    def buffer_updated(self, nbytes: int) -> None:
        self._deadline = self._loop.time() + self._timeout
        if self._sink is not None:
            start = self._received
            self._received += nbytes
            if self._add_chunk is not None:
                self._add_chunk(self._sink[start : self._received])
            if self._received == self._sink.nbytes:
                self._sink = None
                if self.unread:
                    assert self._transport is not None
                    self._transport.pause_reading()
                self._finish(more=not self.unread)
            return
        if not self._expecting:
            # Bytes without a request could be taken for the next response.
            self._reusable = False
            # Not now: asyncio's TLS protocol is in the middle of a read.
            self._loop.call_soon(self.abort)
            return
        self._filled += nbytes
        try:
            self._parse_buffer()
        except (ProtocolError, BodyTooLongError, MemoryError) as error:
            # Some loops read again at once, and need room in the buffer.
            self._filled = 0
            self._fail(error)

    def eof_received(self) -> None:
        self._reusable = False
        head = self._head
        if not self._expecting:
            return
        if self._chunks is not None and head is not None and head.length == UNTIL_CLOSE:
            self._set_body(self._chunks, head)
            self._finish()
        else:
            # Fails here, because the transport would send its write buffer first.
            self._fail_broken(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.abort()
        self._fail_broken(exc)

    def pause_writing(self) -> None:
        self._paused_writing = True

    def resume_writing(self) -> None:
        self._paused_writing = False
        self._wake_writer()

    # -- Sending -------------------------------------------------------------------------------

    async def _send_slices(
        self, transport: asyncio.Transport, head: bytes, body: memoryview
    ) -> None:
        transport.write(head)
        for start in range(0, body.nbytes, _SLICE_BYTES):
            if self._paused_writing:
                self._drained = self._loop.create_future()
                await self._drained
            if not self._expecting:
                # The response arrived, or the connection broke, before the body was sent.
                self._reusable = False
                return
            transport.write(body[start : start + _SLICE_BYTES])
            self._unsent = transport.get_write_buffer_size()
            self._began = self._loop.time()
            self._deadline = self._began + self._timeout

    def _wake_writer(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

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
            head = parse_head(self._view[: end + 2], no_body=self._no_body)
            if head.status >= 200:
                self._start_body(head, end + 4)
                return
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                raise ProtocolError(
                    f"the server sent {self._interim} interim responses and no final one"
                )
            self._consume(end + 4)
        if self._chunks is not None:
            self._decode_chunks(self._chunks, self._head)

    def _start_body(self, head: Head, start: int) -> None:
        """Prepare memory for the body, whose first bytes are at ``start`` in the buffer."""
        self._head = head
        length = head.length
        if not head.keeps_open:
            self._reusable = False
        if length < 0:
            self._consume(start)
            self._chunks = ChunkedBody()
            self._decode_chunks(self._chunks, head)
            return
        is_value = head.status in (200, 206)
        if not is_value and length > (MAX_ERROR_BYTES if head.status >= 300 else CONTROL_BYTES):
            raise _too_long(head)
        into = self._into
        if into is not None and (head.status != 206 or length != into.nbytes):
            into = None
        buffered = self._filled - start
        if length > self._whole_up_to and into is None and buffered < length and is_value:
            assert self._transport is not None
            self._transport.pause_reading()
            self._consume(start)
            self.unread = length
            self._finish()
            return
        self._body = body = new_memory(length) if into is None else into
        if self._on_chunk is not None:
            self._add_chunk = self._on_chunk(head.status, head.headers)
        if buffered > length:
            # Bytes after the body could be taken for the next response.
            self._reusable = False
            buffered = length
        if buffered:
            body[:buffered] = self._view[start : start + buffered]
            if self._add_chunk is not None:
                self._add_chunk(body[:buffered])
        if buffered == length:
            self._finish(more=self._filled == _READ_BYTES)
        else:
            self._sink, self._received = body, buffered
        self._filled = 0

    def _decode_chunks(self, chunks: ChunkedBody, head: Head) -> None:
        data = bytes(self._view[: self._filled])
        self._filled = 0
        if head.length == UNTIL_CLOSE:
            chunks.data += data
        else:
            consumed = chunks.feed(data)
        if head.status >= 300:
            if len(chunks.data) > MAX_ERROR_BYTES:
                raise _too_long(head)
        elif len(chunks.data) > (max_bytes := self._max_bytes(head.status)):
            raise BodyTooLongError(max_bytes)
        if chunks.done:
            if consumed < len(data):
                self._reusable = False
            self._set_body(chunks, head)
            self._finish(more=len(data) == _READ_BYTES)

    def _set_body(self, chunks: ChunkedBody, head: Head) -> None:
        self._body = body = memoryview(chunks.data)
        if self._on_chunk is not None:
            add_chunk = self._on_chunk(head.status, head.headers)
            if add_chunk is not None:
                add_chunk(body)

    def _consume(self, size: int) -> None:
        """Remove bytes from the start of the buffer."""
        left = self._filled - size
        if left:
            self._buffer[:left] = self._buffer[size : self._filled]
        self._filled = left

    def _finish(self, *, more: bool = False) -> None:
        """Wake the request: all expected bytes are received.

        With ``more``, the socket may hold bytes after the body. The next round of the loop receives
        them, and so closes the connection, before another request can be sent.
        """
        self._expecting = False
        if more:
            self._loop.call_soon(self._wake)
        else:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._wake_writer()

    def _fail(self, error: Exception) -> None:
        """Raise an error in the request, which then closes the connection."""
        self._expecting = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self._wake_writer()

    def _fail_broken(self, cause: Exception | None) -> None:
        if self._expecting:
            where = "within" if self._head is not None else "before"
            error = ConnectionResetError(f"the connection broke {where} the response")
            error.__cause__ = cause
            self._fail(error)

    def _cancel(self, waiter: asyncio.Future[None]) -> None:
        """Close the connection after a failed or cancelled request."""
        self._expecting = False
        self.abort()
        if waiter.done() and not waiter.cancelled():
            # Mark the exception as retrieved: the task may be cancelled at the same time.
            waiter.exception()

    # -- Timeouts ------------------------------------------------------------------------------

    def _start_timer(self) -> None:
        # A running timer is reused, because setting one costs more than reading the clock.
        self._began = self._loop.time()
        self._overdue = False
        self._deadline = self._began + self._timeout
        if self._timer is None and self._transport is not None:
            self._timer = self._loop.call_at(self._deadline, self._check_time)

    def _check_time(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        now = self._loop.time()
        unsent = 0 if self._transport is None else self._transport.get_write_buffer_size()
        if unsent < self._unsent:
            # The server still receives the request.
            self._began = now
            self._deadline = now + self._timeout
        self._unsent = unsent
        # A body has to reach the minimum rate. Bytes of a head do not extend the time.
        limit = self._began + self._timeout + self._body_bytes() / SLOWEST_DOWNLOAD
        if now >= self._deadline:
            self._fail(TimeoutError(f"no response for {self._timeout:g} s"))
        elif now < limit:
            self._timer = self._loop.call_at(min(self._deadline, limit), self._check_time)
        elif self._overdue:
            self._fail(too_slow(self._body_bytes(), now - self._began))
        else:
            # A server that sends nothing more has stalled. Bytes until then prove a slow one.
            self._overdue = True
            self._timer = self._loop.call_at(self._deadline, self._check_time)

    def _body_bytes(self) -> int:
        """Number of body bytes received by the current call."""
        if self._sink is not None:
            return self._received
        return 0 if self._chunks is None else len(self._chunks.data)


class BodyTooLongError(OSError):
    """A body of unknown length exceeds its maximum size.

    Parameters
    ----------
    max_bytes : int
        The maximum in bytes.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"a body of unknown length has more than {max_bytes} bytes")
        self.max_bytes = max_bytes

    def __reduce__(self) -> tuple[type[BodyTooLongError], tuple[int]]:
        return type(self), (self.max_bytes,)


def _too_long(head: Head) -> ProtocolError:
    return ProtocolError(f"the body of a response with status {head.status} is too large")
