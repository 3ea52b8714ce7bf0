"""What is sent to Google Cloud Storage's JSON API: bodies of uploads and batches, and checksums.

Pure functions and values, no I/O.
"""

from __future__ import annotations

import base64
import json
import secrets
from hashlib import md5
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

__all__ = [
    "LONG_TO_HASH",
    "Body",
    "batch_of_deletions",
    "checksum",
    "crc32c",
    "multipart_upload",
]

#: From here on a checksum is computed in a thread, so as not to hold up the event loop.
LONG_TO_HASH = 8 * 2**20

#: Up to here a body is sent in one piece: a copy costs less than a second call to the system.
_ONE_PIECE = 64 * 2**10
_PIECE_BYTES = 256 * 2**10
_HASH_BYTES = 4 * 2**20


class Body:
    """A request's body: pieces that are not joined, sent again with each attempt.

    Parameters
    ----------
    *pieces : bytes or memoryview
        One after the other.
    """

    def __init__(self, *pieces: bytes | memoryview) -> None:
        self._pieces = [memoryview(piece) for piece in pieces]
        self.size = sum(piece.nbytes for piece in self._pieces)

    def in_one_piece(self) -> memoryview | None:
        """All of it, where that costs no copy of a large value."""
        if len(self._pieces) == 1:
            return self._pieces[0]
        return memoryview(b"".join(self._pieces)) if self.size <= _ONE_PIECE else None

    async def __aiter__(self) -> AsyncGenerator[bytes | memoryview, None]:
        if self.size <= _ONE_PIECE:
            yield b"".join(self._pieces)
            return
        for piece in self._pieces:
            # In parts, or the transport would hold a copy of all that it could not send at once.
            for start in range(0, piece.nbytes, _PIECE_BYTES):
                yield piece[start : start + _PIECE_BYTES]


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


def batch_of_deletions(targets: Sequence[str]) -> tuple[Body, str]:
    """The body of a batch that deletes what is at these URLs' paths, and its content type."""
    boundary = secrets.token_hex(16)
    parts = [
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <{number}>\r\n\r\n"
        f"DELETE {target} HTTP/1.1\r\n\r\n\r\n"
        for number, target in enumerate(targets)
    ]
    text = "".join(parts) + f"--{boundary}--\r\n"
    return Body(text.encode()), f"multipart/mixed; boundary={boundary}"


def checksum(data: memoryview) -> dict[str, str]:
    """The metadata by which the service refuses bytes that are not these."""
    value = crc32c(data)
    if value is not None:
        return {"crc32c": value}
    digest = md5(data, usedforsecurity=False).digest()
    return {"md5Hash": base64.b64encode(digest).decode()}


def crc32c(data: memoryview, *, piece_bytes: int = _HASH_BYTES) -> str | None:
    """The checksum as the service spells it; ``None`` where it would take too long.

    Parameters
    ----------
    data : memoryview
        The value.
    piece_bytes : int, optional
        Bytes of one call of the library, ``>= 1``; it holds the GIL for as long.
    """
    if google_crc32c.implementation != "c":
        # The library in Python alone is slower than any network.
        return None
    # An array over the same bytes: the library takes no memoryview.
    array = np.asarray(data)
    value = 0
    for start in range(0, len(array), piece_bytes):
        value = google_crc32c.extend(value, array[start : start + piece_bytes])
    return base64.b64encode(value.to_bytes(4, "big")).decode()
