"""The headers by which Azure verifies the body of a request."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from ..._runtime.threads import in_thread

__all__ = ["checksum_headers"]

#: Checksums of longer bodies are computed in a thread.
_HASH_IN_THREAD_BYTES = 2**18


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
