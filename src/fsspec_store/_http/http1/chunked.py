"""Bodies that come in chunks (RFC 9112, section 7.1). Pure, no I/O."""

from __future__ import annotations

import re

from .head_parser import ProtocolError

__all__ = ["ChunkedBody"]

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
#: Maximum length of a line between chunks, in bytes.
_MAX_LINE = 8192
#: Maximum size of all extensions of chunks (RFC 9112, section 7.1.1) and trailers in bytes: one for
#: all and one for each byte of the body.
_MAX_EXTRA = 64 * 2**10
_EXTRA_PER_BYTE = 16


class ChunkedBody:
    """Puts the chunks of a body together.

    Attributes
    ----------
    data : bytearray
        What came so far.
    done : bool
        Whether the last chunk, and the trailers after it, have come.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.done = False
        self._line = bytearray()
        # Bytes of this chunk that are still to come.
        self._left = 0
        self._in_trailers = False
        # Bytes of extensions and trailers so far.
        self._extra = 0
        # After a chunk there is an empty line.
        self._after_chunk = False

    def feed(self, came: bytes) -> int:
        """Take what came, and say how many bytes of it belong to this body.

        Raises
        ------
        ProtocolError
            When it is no chunked body.
        """
        place = 0
        while place < len(came) and not self.done:
            if self._left:
                taken = came[place : place + self._left]
                self.data += taken
                self._left -= len(taken)
                place += len(taken)
                self._after_chunk = not self._left
                continue
            end = came.find(b"\n", place)
            self._line += came[place : end + 1 if end >= 0 else len(came)]
            if len(self._line) > _MAX_LINE:
                raise ProtocolError("the server sent a line without an end beside a chunk")
            if self._after_chunk and not b"\r\n".startswith(self._line):
                raise ProtocolError("the server sent a chunk of another size than it said")
            if end < 0:
                return len(came)
            place = end + 1
            if not self._line.endswith(b"\r\n"):
                raise ProtocolError("the server sent a malformed line beside a chunk")
            line = bytes(self._line[:-2])
            self._line.clear()
            self._take_line(line)
        return place

    def _take_line(self, line: bytes) -> None:
        if self._after_chunk:
            self._after_chunk = False
        elif self._in_trailers:
            self.done = not line
            self._count_extra(len(line))
        else:
            size = _SIZE.fullmatch(line)
            if size is None:
                raise ProtocolError("the server sent a chunk without a size")
            self._left = int(size.group(1), 16)
            self._count_extra(len(line) - size.end(1))
            self._in_trailers = not self._left

    def _count_extra(self, size: int) -> None:
        self._extra += size
        if self._extra > _MAX_EXTRA + _EXTRA_PER_BYTE * len(self.data):
            raise ProtocolError("the server sent extensions or trailers of chunks without an end")
