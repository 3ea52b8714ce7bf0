"""The body of a request, for the native transport and for aiohttp."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import Payload

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

__all__ = ["Body"]

#: Size of one write to the connection, which applies backpressure between writes.
_WRITE_BYTES = 2**20
#: Maximum size of pieces that are joined: a copy costs less than a second system call.
_MAX_JOINED_BYTES = 64 * 2**10


class Body(Payload):
    """A request body of several pieces, which each attempt can send without a copy.

    Parameters
    ----------
    *pieces : bytes or memoryview
        One-dimensional, of single bytes.

    Attributes
    ----------
    is_contiguous : bool
        Whether the body is in one piece of memory, or small enough to be copied to one.
    """

    # For aiohttp: the body needs no close.
    _autoclose = True

    def __init__(self, *pieces: bytes | memoryview) -> None:
        super().__init__(pieces, content_type="application/octet-stream")
        self._pieces = [memoryview(piece) for piece in pieces]
        self._size = sum(len(piece) for piece in pieces)
        self.is_contiguous = len(pieces) == 1 or self._size <= _MAX_JOINED_BYTES

    def in_one_piece(self) -> memoryview:
        """The whole body."""
        return self._pieces[0] if len(self._pieces) == 1 else memoryview(b"".join(self._pieces))

    async def write(self, writer: AbstractStreamWriter) -> None:
        for piece in [self.in_one_piece()] if self.is_contiguous else self._pieces:
            for start in range(0, len(piece), _WRITE_BYTES):
                await writer.write(piece[start : start + _WRITE_BYTES])

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return str(self.in_one_piece(), encoding, errors)
