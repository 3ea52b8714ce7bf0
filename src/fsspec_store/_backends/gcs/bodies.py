"""Request bodies for Google Cloud Storage's JSON API: uploads, checksums.

Pure functions and values, no I/O.
"""

from __future__ import annotations

import json
import secrets
from hashlib import md5
from typing import TYPE_CHECKING, Any

from ..checksums import ALGORITHMS, in_base64

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

__all__ = [
    "HASH_IN_THREAD_BYTES",
    "Body",
    "checksum_metadata",
    "crc32c",
    "multipart_upload",
]

#: Checksums of values of this size and more are computed in a thread, not on the event loop.
HASH_IN_THREAD_BYTES = 8 * 2**20

#: Maximum size of a body that is joined: a copy costs less than a second system call.
_MAX_JOINED_BYTES = 64 * 2**10
_WRITE_BYTES = 256 * 2**10
_HASH_STEP_BYTES = 4 * 2**20


class Body:
    """A request body of several pieces, which each attempt can send without joining them.

    Parameters
    ----------
    *pieces : bytes or memoryview
        In this order.
    """

    def __init__(self, *pieces: bytes | memoryview) -> None:
        self._pieces = [memoryview(piece) for piece in pieces]
        self.size = sum(piece.nbytes for piece in self._pieces)

    @property
    def is_contiguous(self) -> bool:
        """Whether `in_one_piece` needs no copy of a large value."""
        return len(self._pieces) == 1 or self.size <= _MAX_JOINED_BYTES

    def in_one_piece(self) -> memoryview:
        """The whole body."""
        return self._pieces[0] if len(self._pieces) == 1 else memoryview(b"".join(self._pieces))

    async def __aiter__(self) -> AsyncGenerator[bytes | memoryview, None]:
        if self.size <= _MAX_JOINED_BYTES:
            yield b"".join(self._pieces)
            return
        for piece in self._pieces:
            # In parts: the transport copies what it cannot send at once.
            for start in range(0, piece.nbytes, _WRITE_BYTES):
                yield piece[start : start + _WRITE_BYTES]


def multipart_upload(metadata: Mapping[str, Any], data: memoryview) -> tuple[Body, str]:
    """The body of an upload in one request, and its content type."""
    boundary = secrets.token_hex(16)
    head = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
        f"{json.dumps(metadata)}\r\n"
        f"--{boundary}\r\nContent-Type: {metadata['contentType']}\r\n\r\n"
    )
    tail = f"\r\n--{boundary}--\r\n"
    return Body(head.encode(), data, tail.encode()), f"multipart/related; boundary={boundary}"


def checksum_metadata(data: memoryview) -> dict[str, str]:
    """The checksum in an object's metadata; the service rejects other bytes."""
    value = crc32c(data)
    if value is not None:
        return {"crc32c": value}
    return {"md5Hash": in_base64(md5(data, usedforsecurity=False).digest())}


def crc32c(data: memoryview) -> str | None:
    """The CRC-32C in base 64; ``None`` where no fast implementation is installed."""
    if "crc32c" not in ALGORITHMS:
        return None
    checksum = ALGORITHMS["crc32c"]()
    # In parts: google-crc32c holds the GIL.
    for start in range(0, len(data), _HASH_STEP_BYTES):
        checksum.update(data[start : start + _HASH_STEP_BYTES])
    return in_base64(checksum.digest())
