"""Bodies of requests: of known size, in chunks, and in the framing `aws-chunked`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from benchmarks.cheap_server.messages import Pieces
    from benchmarks.cheap_server.transports import Transport

_CHUNKS_BYTES = 256 * 1024
_CHUNK_LINE_BYTES = 200


class SizedBody:
    """A body with `Content-Length`, received into its final memory."""

    def __init__(self, size: int, received: bytearray) -> None:
        # numpy does not clear the memory.
        self._memory = memoryview(np.empty(size, np.uint8))
        self._filled = min(size, len(received))
        self._memory[: self._filled] = received[: self._filled]
        del received[: self._filled]

    def read(self, transport: Transport) -> memoryview:
        """The complete body. Raises `BlockingIOError` until it is received."""
        while self._filled < len(self._memory):
            count = transport.receive_into(self._memory[self._filled :])
            if not count:
                raise ConnectionResetError("end of the connection in a body")
            self._filled += count
        return self._memory


class ChunkedBody:
    """A body with `Transfer-Encoding: chunked`."""

    def __init__(self, received: bytearray) -> None:
        self._received = received
        self._chunks: list[tuple[int, int]] = []
        self._next = 0

    def read(self, transport: Transport) -> memoryview:
        """The complete body. Raises `BlockingIOError` until it is received."""
        while not self._is_complete():
            received = transport.receive(_CHUNKS_BYTES)
            if not received:
                raise ConnectionResetError("end of the connection in a body")
            self._received += received
        with memoryview(self._received) as view:
            body = b"".join([view[start:end] for start, end in self._chunks])
        del self._received[: self._next]
        return memoryview(body)

    def _is_complete(self) -> bool:
        while (end := self._received.find(b"\r\n", self._next)) >= 0:
            size = int(self._received[self._next : end], 16)
            start, following = end + 2, end + 2 + size + 2
            if len(self._received) < following:
                return False
            self._next = following
            if not size:
                return True
            self._chunks.append((start, start + size))
        return False


def aws_chunked(body: memoryview) -> tuple[Pieces, dict[str, str]]:
    """The data of a body in the framing `aws-chunked`, and the trailers after it."""
    pieces, at = [], 0
    while True:
        line = bytes(body[at : at + _CHUNK_LINE_BYTES]).partition(b"\r\n")[0]
        at += len(line) + 2
        size = int(line.partition(b";")[0], 16)
        if not size:
            break
        pieces.append(body[at : at + size])
        at += size + 2
    trailers = {}
    for text in bytes(body[at:]).decode("latin-1").split("\r\n"):
        name, _, value = text.partition(":")
        trailers[name.lower()] = value.strip()
    return tuple(pieces), trailers
