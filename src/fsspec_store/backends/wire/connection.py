"""One connection to a server: a request, its response, and so on, one after the other.

The bytes of a body go from the socket to where they stay, without a stop in between. Knows
HTTP/1.1 and asyncio's transports; does not know how a connection is made, nor when to ask again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from ...retries import SLOWEST_DOWNLOAD, too_slow
from .body_memory import new_memory
from .chunks import ChunkedBody
from .heads import UNTIL_CLOSE, Head, ProtocolError, may_become_head, parse_head

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "CONTROL_BYTES",
    "REFUSAL_BYTES",
    "BodyTooLongError",
    "Connection",
    "Longest",
    "Response",
    "Watch",
    "longest_control",
]

#: Of a status and headers, what sees the pieces of their body.
Watch: TypeAlias = "Callable[[int, Mapping[str, str]], Callable[[memoryview], object] | None]"
#: Of a status, the maximum size of a body that comes without a length.
Longest: TypeAlias = "Callable[[int], int]"

#: Maximum size of a body that is no value: a page of a listing, the results of a batch.
CONTROL_BYTES = 64 * 2**20
#: What one reading of the socket takes at most, outside of bodies; so also the longest head.
_READ_BYTES = 64 * 2**10
#: The same within bodies: what processors still have at hand when it is summed up.
_PIECE_BYTES = 512 * 2**10
#: Maximum size of an error's body.
REFUSAL_BYTES = 2**20
#: A request's body up to this goes out together with its head.
_JOINED_BYTES = 64 * 2**10
#: Larger ones go out in slices, each waiting for the one before it.
_SLICE_BYTES = 256 * 2**10
#: Maximum number of interim responses (RFC 9110, section 15.2) before the final one.
_MAX_INTERIM = 16


def longest_control(status: int) -> int:
    """The `Longest` of answers that are no values."""
    return CONTROL_BYTES


@dataclass(slots=True)
class Response:
    """What a server answered.

    Attributes
    ----------
    status : int
        Three digits.
    headers : mapping of str to str
        Names in lower case.
    body : memoryview or None
        ``None`` for a body that is to be read with `Connection.read_into`.
    length : int
        Bytes of the body.
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
        The loop it is made on.
    timeout : float
        Seconds to wait for a response's head, and within a body for the next bytes, before a
        request is given up. So is one whose body is slower than 4 KiB/s after that time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._loop = loop
        self._timeout = timeout
        self._transport: asyncio.Transport | None = None
        self._reusable = True
        # Whether bytes are due: of a response, or of a body that is being read.
        self._expecting = False
        # Outside of bodies: what came and was not understood yet.
        self._buffer = bytearray(_READ_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0
        # The response under way.
        self._waiter: asyncio.Future[None] | None = None
        self._bodiless = False
        self._whole_up_to = 0
        self._into: memoryview | None = None
        self._longest: Longest = longest_control
        self._interim = 0
        self._watch: Watch | None = None
        self._see: Callable[[memoryview], object] | None = None
        self._head: Head | None = None
        self._chunks: ChunkedBody | None = None
        self._body: memoryview | None = None
        # Where the body goes, and how much of that is there.
        self._sink: memoryview | None = None
        self._received = 0
        #: Bytes of a body that nobody has read yet, `Connection.read_into` will.
        self.unread = 0
        self._paused_writing = False
        self._drained: asyncio.Future[None] | None = None
        # Bytes of a request that the transport held when it was last looked at.
        self._unsent = 0
        self._deadline = 0.0
        # When the server was last known to have nothing to do but to answer.
        self._began = 0.0
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
        """What carries the bytes; ``None`` when the connection is over."""
        return self._transport

    async def ask(
        self,
        head: bytes,
        body: memoryview | None = None,
        *,
        bodiless: bool = False,
        whole_up_to: int,
        into: memoryview | None = None,
        longest: Longest = longest_control,
        watch: Watch | None = None,
    ) -> Response:
        """Send a request and await its response.

        Parameters
        ----------
        head : bytes
            From the request line to the empty line.
        body : memoryview, optional
            As long as the head says.
        bodiless : bool, optional
            Whether the response has no body whatever its head says (HEAD).
        whole_up_to : int
            Bytes up to which a body is awaited. A longer one, with a status of 200 or 206, is for
            `read_into`, and the next request can follow when it was read to its end; with another
            status it is refused, and so is one of more than 1 MiB with a status that is no
            success. Bodies of unknown length are awaited, and those that came together
            with their head.
        into : memoryview, optional
            Where the body of a 206 goes, if it is of just this size; other memory otherwise.
        longest : callable, optional
            Returns, for the status of a success, the maximum size of a body of unknown length.
        watch : callable, optional
            Called with the status and the headers; what it returns, if anything, is called with
            each piece of an awaited body as it comes. It has to be quick, and must not raise.

        Raises
        ------
        ConnectionError
            When the connection breaks, or what comes is no response; it is closed then.
        TimeoutError
            When the response did not come in time.
        NoRoomError
            When there is no room for the body.
        BodyTooLongError
            When a body of unknown length is longer than it may be.
        """
        transport = self._transport
        if transport is None:
            raise ConnectionResetError("the server closed the connection")
        self._waiter = waiter = self._loop.create_future()
        self._head = self._chunks = self._body = self._sink = None
        self._bodiless = bodiless
        self._whole_up_to = whole_up_to
        self._into = into
        self._longest = longest
        self._interim = 0
        self._watch = watch
        self._see = None
        self._expecting = True
        self._unsent = 0
        self._await_sign()
        try:
            if body is None:
                transport.write(head)
            elif body.nbytes <= _JOINED_BYTES:
                transport.write(b"".join((head, body)))
            else:
                await self._send_slices(transport, head, body)
            await waiter
        except BaseException:
            self._give_up(waiter)
            raise
        finally:
            self._waiter = self._into = self._watch = self._see = None
            self._longest = longest_control
        if body is not None and transport.get_write_buffer_size():
            # Answered before all was sent: the next request would go out in the middle of this one.
            self._reusable = False
        found, came = cast("Head", self._head), self._body
        # As long as the connection waits for another request, this is not its to keep.
        self._body = self._chunks = None
        return Response(
            found.status, found.headers, came, found.length if came is None else came.nbytes
        )

    async def read_into(self, sink: memoryview) -> None:
        """Fill a piece of memory with the next bytes of the body.

        Parameters
        ----------
        sink : memoryview
            Writable; of as many bytes as are wanted, at most as are `unread`.

        Raises
        ------
        ConnectionError, TimeoutError
            As `ask`.
        ValueError
            When there are fewer bytes.
        """
        if sink.nbytes > self.unread:
            raise ValueError(f"{self.unread} bytes of the body are left, not {sink.nbytes}")
        transport = self._transport
        kept = min(self._filled, sink.nbytes)
        if kept:
            sink[:kept] = self._view[:kept]
            left = self._filled - kept
            self._buffer[:left] = self._buffer[kept : self._filled]
            self._filled = left
        self.unread -= kept
        if kept == sink.nbytes:
            return
        if transport is None:
            raise ConnectionResetError("the server closed the connection within a body")
        self._sink, self._received = sink, kept
        self.unread -= sink.nbytes - kept
        self._waiter = waiter = self._loop.create_future()
        self._expecting = True
        self._await_sign()
        transport.resume_reading()
        try:
            await waiter
        except BaseException:
            self._give_up(waiter)
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

    # -- What asyncio calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._sink is not None:
            return self._sink[self._received : self._received + _PIECE_BYTES]
        return self._view[self._filled :] if self._filled else self._view

    def buffer_updated(self, nbytes: int) -> None:
        self._deadline = self._loop.time() + self._timeout
        if self._sink is not None:
            begin = self._received
            self._received += nbytes
            if self._see is not None:
                self._see(self._sink[begin : self._received])
            if self._received == self._sink.nbytes:
                self._sink = None
                if self.unread:
                    assert self._transport is not None
                    self._transport.pause_reading()
                self._finish(more=not self.unread)
            return
        if not self._expecting:
            # Nobody asked. Whose answer would that be?
            self._reusable = False
            # At once would be in the middle of TLS's own reading.
            self._loop.call_soon(self.abort)
            return
        self._filled += nbytes
        try:
            self._take()
        except (ProtocolError, BodyTooLongError, MemoryError) as error:
            # Some loops read on at once, and want room.
            self._filled = 0
            self._fail(error)

    def eof_received(self) -> None:
        self._reusable = False
        head = self._head
        if not self._expecting:
            return
        if self._chunks is not None and head is not None and head.length == UNTIL_CLOSE:
            self._take_data(self._chunks, head)
            self._finish()
        else:
            # Were it left to the transport, it would first send all that is to be sent.
            self._break_off(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.abort()
        self._break_off(exc)

    def pause_writing(self) -> None:
        self._paused_writing = True

    def resume_writing(self) -> None:
        self._paused_writing = False
        self._go_on_writing()

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
                # Answered, or broken off, before all was sent.
                self._reusable = False
                return
            transport.write(body[start : start + _SLICE_BYTES])
            self._unsent = transport.get_write_buffer_size()
            self._began = self._loop.time()
            self._deadline = self._began + self._timeout

    def _go_on_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # -- Receiving -----------------------------------------------------------------------------

    def _take(self) -> None:
        """Understand what is in the buffer."""
        while self._head is None:
            end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
            if end < 0:
                if self._filled == _READ_BYTES:
                    raise ProtocolError("the server sent a head without an end")
                if not may_become_head(bytes(self._view[: self._filled])):
                    raise ProtocolError("what the server sent is no HTTP/1.1 response")
                return
            head = parse_head(self._view[: end + 2], bodiless=self._bodiless)
            if head.status >= 200:
                self._start_body(head, end + 4)
                return
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                raise ProtocolError(
                    f"the server sent {self._interim} interim responses and no final one"
                )
            self._shift(end + 4)
        if self._chunks is not None:
            self._take_chunks(self._chunks, self._head)

    def _start_body(self, head: Head, start: int) -> None:
        """Find a place for the body, whose first bytes may be in the buffer from ``start`` on."""
        self._head = head
        length = head.length
        if not head.keeps_open:
            self._reusable = False
        if length < 0:
            self._shift(start)
            self._chunks = ChunkedBody()
            self._take_chunks(self._chunks, head)
            return
        if head.status >= 300 and length > REFUSAL_BYTES:
            raise _too_long(head)
        into = self._into
        if into is not None and (head.status != 206 or length != into.nbytes):
            into = None
        came = self._filled - start
        if length > self._whole_up_to and into is None and came < length:
            if head.status not in (200, 206):
                raise _too_long(head)
            assert self._transport is not None
            self._transport.pause_reading()
            self._shift(start)
            self.unread = length
            self._finish()
            return
        self._body = body = new_memory(length) if into is None else into
        if self._watch is not None:
            self._see = self._watch(head.status, head.headers)
        if came > length:
            # More than the body, see `buffer_updated`.
            self._reusable = False
            came = length
        if came:
            body[:came] = self._view[start : start + came]
            if self._see is not None:
                self._see(body[:came])
        if came == length:
            self._finish(more=self._filled == _READ_BYTES)
        else:
            self._sink, self._received = body, came
        self._filled = 0

    def _take_chunks(self, chunks: ChunkedBody, head: Head) -> None:
        came = bytes(self._view[: self._filled])
        self._filled = 0
        if head.length == UNTIL_CLOSE:
            chunks.data += came
        else:
            taken = chunks.feed(came)
        if head.status >= 300:
            if len(chunks.data) > REFUSAL_BYTES:
                raise _too_long(head)
        elif len(chunks.data) > (longest := self._longest(head.status)):
            raise BodyTooLongError(longest)
        if chunks.done:
            if taken < len(came):
                self._reusable = False
            self._take_data(chunks, head)
            self._finish(more=len(came) == _READ_BYTES)

    def _take_data(self, chunks: ChunkedBody, head: Head) -> None:
        self._body = body = memoryview(chunks.data)
        if self._watch is not None and (see := self._watch(head.status, head.headers)) is not None:
            see(body)

    def _shift(self, taken: int) -> None:
        """Forget the beginning of the buffer."""
        left = self._filled - taken
        if left:
            self._buffer[:left] = self._buffer[taken : self._filled]
        self._filled = left

    def _finish(self, *, more: bool = False) -> None:
        """Let it be known that all that was due has come.

        Where ``more`` may be waiting in the socket, which a server that counts differently has
        sent, a round of the loop brings that to light before another request can be sent.
        """
        self._expecting = False
        if more:
            self._loop.call_soon(self._wake)
        else:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._go_on_writing()

    def _fail(self, error: Exception) -> None:
        """Let it be known that what is due will not come; who awaits it closes the connection."""
        self._expecting = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self._go_on_writing()

    def _break_off(self, cause: Exception | None) -> None:
        if self._expecting:
            where = "within" if self._head is not None else "before"
            error = ConnectionResetError(f"the connection broke {where} the response")
            error.__cause__ = cause
            self._fail(error)

    def _give_up(self, waiter: asyncio.Future[None]) -> None:
        """Close the connection, on which a response was awaited in vain."""
        self._expecting = False
        self.abort()
        if waiter.done() and not waiter.cancelled():
            # Who awaited it may have been cancelled at the same time.
            waiter.exception()

    # -- Waiting -------------------------------------------------------------------------------

    def _await_sign(self) -> None:
        # One timer for many requests: to set one costs more than to look at the clock.
        self._began = self._loop.time()
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
            # It takes what it is sent.
            self._began = now
            self._deadline = now + self._timeout
        self._unsent = unsent
        # Bytes of a body that came one by one are progress only at some rate; of a head they are
        # none.
        longest = self._began + self._timeout + self._came() / SLOWEST_DOWNLOAD
        if now < min(self._deadline, longest):
            self._timer = self._loop.call_at(min(self._deadline, longest), self._check_time)
        elif now < self._deadline:
            self._fail(too_slow(self._came(), now - self._began))
        else:
            self._fail(TimeoutError(f"no response for {self._timeout:g} s"))

    def _came(self) -> int:
        """Bytes of a body that came since it is awaited."""
        if self._sink is not None:
            return self._received
        return 0 if self._chunks is None else len(self._chunks.data)


class BodyTooLongError(OSError):
    """A body of unknown length is longer than it may be.

    Parameters
    ----------
    longest : int
        The maximum, in bytes.
    """

    def __init__(self, longest: int) -> None:
        super().__init__(
            f"the server sent a body without a length, which has more than {longest} bytes"
        )
        self.longest = longest

    def __reduce__(self) -> tuple[type[BodyTooLongError], tuple[int]]:
        return type(self), (self.longest,)


def _too_long(head: Head) -> ProtocolError:
    return ProtocolError(f"the server sent too long a body with the status {head.status}")
