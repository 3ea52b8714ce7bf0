"""Bytes on a non-blocking socket, plain or TLS. Both raise `BlockingIOError` instead of waiting."""

# The methods are documented in `Transport`.
# ruff: noqa: D102

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket

#: Bytes that are received, or encrypted and sent, by one system call.
_BATCH_BYTES = 256 * 1024


class Transport(Protocol):
    """One connection, as HTTP uses it."""

    def has_received(self) -> bool:
        """Whether bytes are received that the caller has not got: no event reports them."""

    def receive(self, size: int) -> bytes:
        """At most so many bytes, and none when the peer has closed the connection."""

    def receive_into(self, memory: memoryview) -> int:
        """Receive into memory, and return the number of bytes."""

    def send(self, data: memoryview) -> int:
        """Take a part of the data to send, and return its size."""

    def drain(self) -> None:
        """Send what `send` took."""


class Plain:
    """Without encryption: the methods of the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.receive = sock.recv
        self.receive_into = sock.recv_into
        self.send = sock.send

    def has_received(self) -> bool:
        return False

    def drain(self) -> None:
        pass


class Encrypted:
    """TLS in memory: one system call for many records."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._unsent = memoryview(b"")

    def has_received(self) -> bool:
        return self._incoming.pending > 0 or self._tls.pending() > 0

    def receive(self, size: int) -> bytes:
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                if not self._fill():
                    return b""

    def receive_into(self, memory: memoryview) -> int:
        while True:
            try:
                # With a buffer, `read` returns a number. typeshed states bytes.
                return self._tls.read(len(memory), memory)  # type: ignore[return-value]
            except ssl.SSLWantReadError:
                if not self._fill():
                    return 0

    def send(self, data: memoryview) -> int:
        self.drain()
        end = min(len(data), _BATCH_BYTES)
        taken = 0
        while taken < end:
            taken += self._tls.write(data[taken:end])
        return taken

    def drain(self) -> None:
        while self._unsent or self._outgoing.pending:
            if not self._unsent:
                self._unsent = memoryview(self._outgoing.read())
            self._unsent = self._unsent[self._sock.send(self._unsent) :]

    def _fill(self) -> bool:
        """Receive more. False at the end."""
        # The handshake has something to send as well.
        self.drain()
        received = self._sock.recv(_BATCH_BYTES)
        self._incoming.write(received)
        return bool(received)
