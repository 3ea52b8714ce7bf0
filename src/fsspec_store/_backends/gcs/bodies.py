"""Request bodies for Google Cloud Storage's JSON API: uploads, checksums.

Pure functions and values, no I/O.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from ..._http.payloads import Body
from ..checksums import ALGORITHMS, in_base64, md5_in_base64

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HASH_IN_THREAD_BYTES", "checksum_metadata", "crc32c", "multipart_upload"]

#: Checksums of values of this size and more are computed in a thread, not on the event loop.
HASH_IN_THREAD_BYTES = 8 * 2**20
_HASH_STEP_BYTES = 4 * 2**20


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
    return {"md5Hash": md5_in_base64(data)} if value is None else {"crc32c": value}


def crc32c(data: memoryview) -> str | None:
    """The CRC-32C in base 64; ``None`` where no fast implementation is installed."""
    if "crc32c" not in ALGORITHMS:
        return None
    checksum = ALGORITHMS["crc32c"]()
    # In parts: google-crc32c holds the GIL.
    for start in range(0, len(data), _HASH_STEP_BYTES):
        checksum.update(data[start : start + _HASH_STEP_BYTES])
    return in_base64(checksum.digest())
