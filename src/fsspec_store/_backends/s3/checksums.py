"""Checksums of whole objects that S3 states in response headers. No I/O."""

from __future__ import annotations

import base64
import hashlib
from functools import partial
from typing import TYPE_CHECKING, Protocol

try:
    # The same function with SIMD instructions: 6 to 20 times as fast.
    from zlib_ng.zlib_ng import crc32 as _crc32
except ImportError:
    # zlib-ng has no wheels for some processors.
    from zlib import crc32 as _crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CHECKSUM_HEADERS", "ChecksumError", "StatedChecksum", "crc32", "stated_checksum"]

_PREFIX = "x-amz-checksum-"


class ChecksumError(ConnectionError):
    """A body differs from its checksum: it was corrupted in transit or in the storage."""


def crc32(data: memoryview) -> str:
    """The CRC-32 of `data` in base64, the value of the header ``x-amz-checksum-crc32``."""
    return base64.b64encode(_crc32(data).to_bytes(4, "big")).decode()


def stated_checksum(headers: Mapping[str, str]) -> StatedChecksum | None:
    """The checksum of a whole object in its response headers; ``None`` without one.

    Composite checksums are ignored: they end in ``-`` and the number of parts, and are computed
    from the parts' checksums (S3 User Guide, "Checking object integrity"). CRC-32C and CRC-64/NVME
    need ``awscrt``.

    Parameters
    ----------
    headers : mapping
        Response headers, names in lower case.
    """
    for algorithm, start in _ALGORITHMS.items():
        stated = headers.get(_PREFIX + algorithm)
        if stated is None or "-" in stated:
            continue
        if headers.get(_PREFIX + "type", "FULL_OBJECT") == "FULL_OBJECT":
            return StatedChecksum(algorithm, stated, start())
    return None


class StatedChecksum:
    """The stated checksum of an object, and the one computed from the bytes received so far.

    Parameters
    ----------
    algorithm : str
        Name of the algorithm, as in the header.
    stated : str
        The checksum in the header, in base64.
    computed : object
        A new hash object.
    """

    def __init__(self, algorithm: str, stated: str, computed: _Hash) -> None:
        self._algorithm = algorithm
        self._stated = stated
        self._computed = computed

    def update(self, chunk: memoryview) -> None:
        """Add the next bytes of the body."""
        self._computed.update(chunk)

    def verify(self) -> None:
        """Raise `ChecksumError` when the checksums differ."""
        computed = base64.b64encode(self._computed.digest()).decode()
        if computed != self._stated:
            raise ChecksumError(
                f"checksum mismatch: the {self._algorithm} of the body is {computed}, and the "
                f"service stated {self._stated}"
            )

    def verify_whole(self, data: memoryview) -> None:
        """Raise `ChecksumError` when the checksum of a whole body differs."""
        self.update(data)
        self.verify()


class _Hash(Protocol):
    """The interface of the hash objects of ``hashlib``."""

    def update(self, data: memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


class _CRC:
    """A CRC with the interface of ``hashlib``, for a function of bytes and the previous value."""

    def __init__(self, function: Callable[[memoryview, int], int], size: int) -> None:
        self._function = function
        self._size = size
        self._value = 0

    def update(self, data: memoryview, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


_ALGORITHMS: dict[str, Callable[[], _Hash]] = {
    "crc32": lambda: _CRC(_crc32, 4),
    "sha256": hashlib.sha256,
    "sha1": partial(hashlib.sha1, usedforsecurity=False),
}
try:
    from awscrt import checksums as _crt
except ImportError:
    pass
else:
    _ALGORITHMS["crc32c"] = lambda: _CRC(_crt.crc32c, 4)
    if hasattr(_crt, "crc64nvme"):
        _ALGORITHMS["crc64nvme"] = lambda: _CRC(_crt.crc64nvme, 8)

#: Headers that `stated_checksum` reads.
CHECKSUM_HEADERS = frozenset(_PREFIX + algorithm for algorithm in _ALGORITHMS)
