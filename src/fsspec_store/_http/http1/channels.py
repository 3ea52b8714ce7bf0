"""Non-blocking sockets, plain and with TLS, with one interface. Any one thread may use a channel.

With TLS the socket is read and written here and `ssl.SSLObject` works on memory, so that one system
call receives many records, and a body is decrypted into its final memory.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

__all__ = ["Channel", "PlainChannel", "TLSChannel"]

#: Maximum size of one read of encrypted bytes. Twice this fits into the cache of one CPU core.
_ENCRYPTED_BYTES = 256 * 2**10
_HANDSHAKE_BYTES = 16 * 2**10


class Channel(Protocol):
    """A connected socket that sends and receives bytes without blocking."""

    sock: socket.socket

    @property
    def has_input(self) -> bool:
        """Whether bytes are received that no selector reports."""

    @property
    def has_output(self) -> bool:
        """Whether accepted bytes are not sent yet: the next `send` sends them first."""

    def receive(self, buffer: memoryview) -> int:
        """Receive bytes into a buffer, and return their number; 0 at the end.

        Raises ``BlockingIOError`` if there are none now.
        """

    def send(self, data: bytes | memoryview) -> int:
        """Accept bytes to send, and return their number. An empty ``data`` sends accepted ones.

        Raises ``BlockingIOError`` if none can be accepted now.
        """


class PlainChannel:
    """A socket without TLS."""

    has_input = False
    has_output = False

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.receive = sock.recv_into
        self.send = sock.send


class TLSChannel:
    """A socket with TLS.

    Parameters
    ----------
    host : str
        Name or address that the certificate is verified against, if the context verifies it.
    session : ssl.SSLSession or None
        Session of an earlier connection with the same context to the same host, whose certificate
        was verified. It saves most of the handshake's CPU time.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        host: str,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self.sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=host, session=session
        )
        # With a buffer it returns the number of bytes.
        self._read = cast("Callable[[int, memoryview], int]", self._tls.read)
        # Whether the server has ended its stream (RFC 8446, section 6.1, "close_notify").
        self._is_at_end = False
        # Encrypted bytes that the socket has not accepted.
        self._unsent = memoryview(b"")

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session, for a later connection. With TLS 1.3 it is complete after a response."""
        return self._tls.session

    @property
    def has_input(self) -> bool:
        return bool(self._incoming.pending or self._tls.pending() or self._is_at_end)

    @property
    def has_output(self) -> bool:
        return bool(self._unsent)

    async def handshake(self) -> None:
        """Negotiate keys, and verify the certificate.

        Raises
        ------
        ssl.SSLError
            When the certificate is not trusted, or there is no common version of TLS.
        ConnectionError
            When the server closes the connection.
        """
        loop = asyncio.get_running_loop()
        is_done = False
        while True:
            try:
                self._tls.do_handshake()
                is_done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                # The alert that tells the server about a rejected certificate.
                with suppress(OSError):
                    await loop.sock_sendall(self.sock, self._outgoing.read())
                raise
            if self._outgoing.pending:
                await loop.sock_sendall(self.sock, self._outgoing.read())
            if is_done:
                return
            data = await loop.sock_recv(self.sock, _HANDSHAKE_BYTES)
            if not data:
                raise ConnectionResetError("the server closed the connection in the TLS handshake")
            self._incoming.write(data)

    def receive(self, buffer: memoryview) -> int:
        incoming, size = self._incoming, len(buffer)
        while True:
            filled = 0
            # No ``suppress``, which costs as much as a small record.
            try:
                while incoming.pending or self._tls.pending():
                    # One record, or what is left of it.
                    count = self._read(size - filled, buffer[filled:] if filled else buffer)
                    if not count:
                        self._is_at_end = True
                        return filled
                    filled += count
                    if filled == size:
                        return filled
            except ssl.SSLWantReadError:
                pass
            if self._outgoing.pending:
                # A message of TLS itself, such as the start of a renegotiation.
                self._flush()
            if filled or self._is_at_end:
                return filled
            count = self.sock.recv_into(_scratch.memory)
            if not count:
                return 0
            incoming.write(_scratch.memory[:count])

    def send(self, data: bytes | memoryview) -> int:
        if self._unsent:
            self._flush()
            if self._unsent:
                raise BlockingIOError
        accepted = self._tls.write(data) if len(data) else 0
        self._flush()
        return accepted

    def _flush(self) -> None:
        """Send encrypted bytes until the socket accepts no more."""
        while True:
            if not self._unsent:
                if not self._outgoing.pending:
                    return
                self._unsent = memoryview(self._outgoing.read())
            try:
                sent = self.sock.send(self._unsent)
            except BlockingIOError:
                return
            self._unsent = self._unsent[sent:]


class _Scratch(threading.local):
    """Memory of a thread for encrypted bytes between the socket and TLS."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(_ENCRYPTED_BYTES))


_scratch = _Scratch()
