"""The body of a request in one piece, for the native transport and for aiohttp."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import Payload

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

__all__ = ["Body"]

#: Size of one write to the connection, which applies backpressure between writes.
_WRITE_BYTES = 2**20


class Body(Payload):
    """A request body that each attempt can send without a copy."""

    # For aiohttp: the body needs no close.
    _autoclose = True
    is_contiguous = True

    def __init__(self, data: bytes | memoryview) -> None:
        super().__init__(data, content_type="application/octet-stream")
        self._size = len(data)
        self.data = data

    def in_one_piece(self) -> memoryview:
        """The whole body."""
        return memoryview(self.data)

    async def write(self, writer: AbstractStreamWriter) -> None:
        for start in range(0, len(self.data), _WRITE_BYTES):
            await writer.write(self.data[start : start + _WRITE_BYTES])

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return str(self.data, encoding, errors)
