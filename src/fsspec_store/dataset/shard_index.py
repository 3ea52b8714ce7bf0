"""The index of a shard: where it is, and whether it is intact. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._backends.checksums import ALGORITHMS
from .._core.byte_requests import RangeByteRequest, SuffixByteRequest

if TYPE_CHECKING:
    from .._core.byte_requests import ByteRequest
    from .codecs import Sharding

__all__ = ["crc32c", "index_error", "index_request"]

#: Offset and length of an inner chunk that is not stored.
_MISSING = np.uint64(2**64 - 1)


def index_request(sharding: Sharding) -> ByteRequest:
    """The part of a shard that is its index."""
    if sharding.index_location == "end":
        return SuffixByteRequest(sharding.index_size)
    return RangeByteRequest(0, sharding.index_size)


def index_error(sharding: Sharding, index: bytes, shard_size: int | None) -> str | None:
    """What is wrong with the index of a shard, ``None`` if nothing is.

    Offsets are not compared with the size of a shard that is ``None``.
    """
    if len(index) != sharding.index_size:
        return f"index of {len(index)} bytes, {sharding.index_size} expected"
    if "crc32c" in sharding.index_codecs:
        index, stored = index[:-4], int.from_bytes(index[-4:], "little")
        if crc32c(index) != stored:
            return "checksum of the index does not match"
    byte_order = "<" if sharding.index_endian == "little" else ">"
    entries = np.frombuffer(index, f"{byte_order}u8").astype(np.uint64).reshape(-1, 2)
    entries = entries[(entries != _MISSING).any(axis=1)]
    offsets, lengths = entries[np.argsort(entries[:, 0], kind="stable")].T
    if (lengths == 0).any() or (entries == _MISSING).any():
        return "index with an inner chunk of no bytes or of no location"
    size = sharding.codecs.size
    if size is not None and (lengths != size).any():
        return f"index with an inner chunk whose length is not {size}"
    if shard_size is not None and len(entries):
        first = sharding.index_size if sharding.index_location == "start" else 0
        end = shard_size if first else shard_size - sharding.index_size
        # Not offset + length, which may exceed 64 bits.
        if offsets[0] < first or offsets[-1] > end or (lengths > np.uint64(end) - offsets).any():
            return f"index with an inner chunk outside of the {shard_size} bytes of the shard"
    if (lengths[:-1] > np.diff(offsets)).any():
        return "index with inner chunks that overlap"
    return None


def crc32c(data: bytes) -> int:
    """The CRC-32C (Castagnoli) of the data."""
    if "crc32c" in ALGORITHMS:
        checksum = ALGORITHMS["crc32c"]()
        checksum.update(memoryview(data))
        return int.from_bytes(checksum.digest(), "big")
    return crc32c_in_python(data)


def crc32c_in_python(data: bytes) -> int:
    """The CRC-32C where no library computes it. An index has a few KiB."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc32c_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_TABLE = [_crc32c_of_byte(byte) for byte in range(256)]
