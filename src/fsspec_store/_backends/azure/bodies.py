"""Request bodies for Azure, and the headers by which the service verifies them."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from aiohttp import Payload

from ..._runtime.threads import in_thread

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

__all__ = ["Body", "checksum_headers"]

#: Size of one write to the connection, which applies backpressure between writes.
_WRITE_BYTES = 2**20
#: Checksums of longer bodies are computed in a thread.
_HASH_IN_THREAD_BYTES = 2**18


class Body(Payload):
    """A request body that each attempt can send without a copy.

    Parameters
    ----------
    data : bytes or memoryview
        One-dimensional, of single bytes.
    """

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


async def checksum_headers(data: Any) -> dict[str, str]:
    """The headers by which the service verifies a body."""
    if len(data) > _HASH_IN_THREAD_BYTES:
        digest = await in_thread(_md5, data)
    else:
        digest = _md5(data)
    return {"Content-Length": str(len(data)), "Content-MD5": base64.b64encode(digest).decode()}


def _md5(data: Any) -> bytes:
    # MD5 detects transfer errors; it is not used for security.
    return hashlib.md5(data, usedforsecurity=False).digest()
