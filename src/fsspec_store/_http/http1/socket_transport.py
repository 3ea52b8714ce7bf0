"""Connects a channel to the callbacks of a connection on an event loop.

It has the methods of `asyncio.Transport` that `Connection` calls. In addition a body can be
transferred by another thread: the transport is detached meanwhile.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from .channels import Channel
    from .transfers import Transfer

__all__ = ["Callbacks", "SocketTransport"]


class Callbacks(Protocol):
    """Callbacks of a transport, as of `asyncio.BufferedProtocol`."""

    def get_buffer(self) -> memoryview:
        """Return memory for the next bytes."""

    def buffer_updated(self, nbytes: int) -> bool:
        """Process bytes that were received, and return whether no further ones are expected."""

    def eof_received(self) -> None:
        """Process the end of the stream. The transport is closed afterwards."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Process the end of the transport."""


class SocketTransport:
    """The transport of one connection."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, channel: Channel, callbacks: Callbacks
    ) -> None:
        self.channel = channel
        self._loop = loop
        self._callbacks = callbacks
        self._fd = channel.sock.fileno()
        self._closed = False
        self._reads = False
        self._backlog: deque[memoryview] = deque()
        #: The transfer that has the socket, also after its end.
        self.transferring: Transfer | None = None
        self.resume_reading()

    def is_closing(self) -> bool:
        """Whether the socket is closed."""
        return self._closed

    def get_write_buffer_size(self) -> int:
        """Number of bytes that are not sent; at least 1 if encrypted ones are not."""
        return sum(map(len, self._backlog)) or int(self.channel.has_output)

    def write(self, data: bytes | memoryview) -> None:
        """Send bytes, now or when the socket accepts them."""
        if self._closed:
            return
        if self._backlog or self.channel.has_output:
            self._backlog.append(memoryview(data))
            self._loop.add_writer(self._fd, self._write_on)
            return
        try:
            sent = self.channel.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.abort(error)
            return
        if sent < len(data):
            self._backlog.append(memoryview(data)[sent:])
        elif not self.channel.has_output:
            return
        self._loop.add_writer(self._fd, self._write_on)

    def pause_reading(self) -> None:
        """Do not receive bytes until `resume_reading`."""
        if self._reads:
            self._reads = False
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        """Receive bytes, also those that are in memory already."""
        if self._reads or self._closed:
            return
        self._reads = True
        self.transferring = None
        self._loop.add_reader(self._fd, self.read)
        if self.channel.has_input:
            self._loop.call_soon(self.read)

    def abort(self, error: Exception | None = None) -> None:
        """Close the socket. The loop calls `Callbacks.connection_lost` in its next round."""
        if not self._closed:
            self.close_without_loop()
            self._loop.call_soon(self._callbacks.connection_lost, error)

    def transfer(self, transfer: Transfer) -> None:
        """Start a transfer by another thread, which has the socket until `resume_reading`."""
        if self._closed:
            return
        self.pause_reading()
        try:
            transfer.start()
        except RuntimeError as error:
            # The system starts no more threads.
            self.abort(error)
        else:
            self.transferring = transfer

    def close_without_loop(self) -> None:
        """Close the socket, without a callback."""
        self._closed = True
        self._backlog.clear()
        # A closed loop raises.
        with suppress(RuntimeError):
            self.pause_reading()
            self._loop.remove_writer(self._fd)
        if self.transferring is None:
            self.channel.sock.close()
        else:
            self.transferring.cancel()
            self.transferring = None

    def read(self) -> None:
        """Receive the bytes that have arrived."""
        channel, callbacks = self.channel, self._callbacks
        while self._reads:
            buffer = callbacks.get_buffer()
            try:
                count = channel.receive(buffer)
            except BlockingIOError:
                return
            except (OSError, MemoryError) as error:
                self.abort(error)
                return
            if not count:
                callbacks.eof_received()
                self.abort()
                return
            is_complete = callbacks.buffer_updated(count)
            if not self._reads:
                # Another thread may use the channel now.
                return
            # Bytes after a response have to close the connection before its next request.
            if not (channel.has_input or (is_complete and count == len(buffer))):
                return

    def _write_on(self) -> None:
        channel, backlog = self.channel, self._backlog
        try:
            while backlog:
                sent = channel.send(backlog[0])
                if sent == len(backlog[0]):
                    backlog.popleft()
                else:
                    backlog[0] = backlog[0][sent:]
            if channel.has_output:
                channel.send(b"")
        except BlockingIOError:
            return
        except OSError as error:
            self.abort(error)
            return
        if not channel.has_output:
            self._loop.remove_writer(self._fd)
