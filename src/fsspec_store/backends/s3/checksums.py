"""Checksums of whole objects, as S3 sends them beside what it is asked for.

Pure functions, no I/O.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ChecksumError", "crc32", "stated_checksum"]

_PREFIX = "x-amz-checksum-"


class ChecksumError(ConnectionError):
    """What came over the connection is not what was sent, at either end."""


def crc32(data: memoryview) -> str:
    """The CRC-32 of bytes as the header ``x-amz-checksum-crc32`` has it."""
    return _text(zlib.crc32(data).to_bytes(4, "big"))


def stated_checksum(headers: Mapping[str, str]) -> Callable[[memoryview], None] | None:
    """What checks a whole object against the checksum its answer states; ``None`` without one.

    A checksum of checksums of parts, which ends in ``-`` and their number, says nothing of the
    object's bytes (S3 User Guide, "Checking object integrity"). CRC-32C and CRC-64/NVME are checked
    where ``awscrt`` is installed.

    Parameters
    ----------
    headers : mapping
        Of the answer, names in lower case.
    """
    for algorithm in _ALGORITHMS:
        stated = headers.get(_PREFIX + algorithm)
        if stated is None or "-" in stated:
            continue
        if headers.get(_PREFIX + "type", "FULL_OBJECT") == "FULL_OBJECT":
            return partial(_check, algorithm, stated)
    return None


def _check(algorithm: str, stated: str, data: memoryview) -> None:
    found = _text(_ALGORITHMS[algorithm](data))
    if found != stated:
        raise ChecksumError(
            f"the {algorithm} of what came is {found}, and the service stated {stated}"
        )


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


_ALGORITHMS: dict[str, Callable[[memoryview], bytes]] = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
}
try:
    from awscrt import checksums as _crt
except ImportError:
    pass
else:
    _ALGORITHMS["crc32c"] = lambda data: _crt.crc32c(data).to_bytes(4, "big")
    if hasattr(_crt, "crc64nvme"):
        _ALGORITHMS["crc64nvme"] = lambda data: _crt.crc64nvme(data).to_bytes(8, "big")
