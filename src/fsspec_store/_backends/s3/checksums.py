"""Checksums of whole objects that S3 states in response headers. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from ..checksums import ALGORITHMS, Hash, in_base64
from .responses import UnreadableResponseError

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = ["CHECKSUM_HEADERS", "ChecksumError", "StatedChecksum", "stated_checksum"]

_PREFIX = "x-amz-checksum-"


class ChecksumError(aiohttp.ClientPayloadError, UnreadableResponseError):
    """A body differs from its checksum: it was corrupted in transit or in the storage."""


def stated_checksum(headers: Mapping[str, str]) -> StatedChecksum | None:
    """The checksum of a whole object in its response headers; ``None`` without one.

    Composite checksums are ignored: they end in ``-`` and the number of parts, and are computed
    from the parts' checksums (S3 User Guide, "Checking object integrity"). CRC-64/NVME needs
    ``awscrt``, CRC-32C ``awscrt`` or ``google-crc32c``.
    """
    for algorithm, start in ALGORITHMS.items():
        stated = headers.get(_PREFIX + algorithm)
        if stated is None or "-" in stated:
            continue
        if headers.get(_PREFIX + "type", "FULL_OBJECT") == "FULL_OBJECT":
            return StatedChecksum(algorithm, stated, start())
    return None


class StatedChecksum:
    """The stated checksum of an object, and the one computed from the bytes received so far."""

    def __init__(self, algorithm: str, stated: str, computed: Hash) -> None:
        self._algorithm = algorithm
        self._stated = stated
        self._computed = computed

    def update(self, chunk: memoryview) -> None:
        """Add the next bytes of the body."""
        self._computed.update(chunk)

    def verify(self) -> None:
        """Raise `ChecksumError` when the checksums differ."""
        computed = in_base64(self._computed.digest())
        if computed != self._stated:
            raise ChecksumError(
                f"checksum mismatch: the {self._algorithm} of the body is {computed}, and the "
                f"service stated {self._stated}"
            )

    def verify_whole(self, data: memoryview) -> None:
        """Raise `ChecksumError` when the checksum of a whole body differs."""
        self.update(data)
        self.verify()


#: Headers that `stated_checksum` reads.
CHECKSUM_HEADERS = frozenset(_PREFIX + algorithm for algorithm in ALGORITHMS)
