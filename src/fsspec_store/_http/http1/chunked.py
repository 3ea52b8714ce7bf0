"""Decoder of bodies without a ``Content-Length`` (RFC 9112, sections 6.3 and 7.1). No I/O."""

from __future__ import annotations

import re

from .head_parser import ProtocolError

__all__ = ["ChunkedBody"]

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
#: Maximum length in bytes of a chunk header or trailer line.
_MAX_LINE = 8192
#: Maximum size in bytes of all chunk extensions (RFC 9112, section 7.1.1) and trailers: a constant,
#: and a number for each byte of the body.
_MAX_EXTRA = 64 * 2**10
_EXTRA_PER_BYTE = 16


class ChunkedBody:
    """Decodes a chunked body.

    With ``until_close`` it has no chunks, and ends when the server closes the connection.
    """

    def __init__(self, *, until_close: bool = False) -> None:
        self.data = bytearray()
        self.done = False
        self._until_close = until_close
        self._line = bytearray()
        # Bytes of this chunk that are not received yet.
        self._left = 0
        self._in_trailers = False
        # Bytes of extensions and trailers so far.
        self._extra = 0
        # Whether the line break after a chunk is expected.
        self._after_chunk = False

    def feed(self, data: bytes) -> int:
        """Decode received bytes, and return how many of them belong to this body."""
        if self._until_close:
            self.data += data
            return len(data)
        index = 0
        while index < len(data) and not self.done:
            if self._left:
                piece = data[index : index + self._left]
                self.data += piece
                self._left -= len(piece)
                index += len(piece)
                self._after_chunk = not self._left
                continue
            end = data.find(b"\n", index)
            self._line += data[index : end + 1 if end >= 0 else len(data)]
            if len(self._line) > _MAX_LINE:
                raise ProtocolError(f"a chunk header or trailer has more than {_MAX_LINE} bytes")
            if self._after_chunk and not b"\r\n".startswith(self._line):
                raise ProtocolError("a chunk has another size than its header states")
            if end < 0:
                return len(data)
            index = end + 1
            if not self._line.endswith(b"\r\n"):
                raise ProtocolError("the server sent a malformed chunk header or trailer")
            line = bytes(self._line[:-2])
            self._line.clear()
            self._parse_line(line)
        return index

    def _parse_line(self, line: bytes) -> None:
        if self._after_chunk:
            self._after_chunk = False
        elif self._in_trailers:
            self.done = not line
            self._count_extra(len(line))
        else:
            size = _SIZE.fullmatch(line)
            if size is None:
                raise ProtocolError("the server sent a chunk without a valid size")
            self._left = int(size.group(1), 16)
            self._count_extra(len(line) - size.end(1))
            self._in_trailers = not self._left

    def _count_extra(self, size: int) -> None:
        self._extra += size
        if self._extra > _MAX_EXTRA + _EXTRA_PER_BYTE * len(self.data):
            raise ProtocolError("the server sent too many chunk extensions or trailers")
