"""From the stored bytes of a zarr v3 chunk to its array, with NumPy and the standard library.

Knows data types, fill values and codecs. Knows nothing of stores, keys or selections.
Sections named here are those of the Zarr v3 core specification and of its codecs' own.
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

AnyArray: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, ...]

#: The offset and the length, in a shard's index, of an inner chunk that is not stored.
MISSING = 2**64 - 1

_BYTE_ORDERS: Mapping[str, Literal["<", ">"]] = {"little": "<", "big": ">"}
_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_FLOATS = {"float16", "float32", "float64"}
_DATA_TYPES = {"bool", "complex64", "complex128"} | _INTEGERS | _FLOATS


class UnsupportedMetadataError(ValueError):
    """The metadata asks for something these examples do not read."""


@dataclass(frozen=True)
class ChunkCodecs:
    """How one chunk is stored: its items in a byte order, then packed by codecs in turn.

    Parameters
    ----------
    shape : tuple of int
        Shape of the chunk; at the edge of an array it is the same as everywhere.
    dtype : numpy.dtype
        Its items, in the byte order they are stored in.
    packing : tuple of str
        Names of the bytes-to-bytes codecs, in the order they were applied when writing.
    """

    shape: Shape
    dtype: np.dtype[Any]
    packing: tuple[str, ...]

    @property
    def encoded_size(self) -> int | None:
        """How many bytes a chunk takes, where that does not depend on its content."""
        if "gzip" in self.packing:
            return None
        checksums = 4 * self.packing.count("crc32c")
        return math.prod(self.shape) * self.dtype.itemsize + checksums

    def decode(self, data: AnyArray) -> AnyArray:
        """The array of a chunk; ``ValueError`` when its bytes are not what they should be."""
        unpacked: Any = data
        try:
            for name in reversed(self.packing):
                unpacked = _UNPACK[name](unpacked)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"not valid {name}: {error}") from error
        wanted = math.prod(self.shape) * self.dtype.itemsize
        if len(unpacked) != wanted:
            raise ValueError(f"{len(unpacked)} bytes where {wanted} were expected")
        array: AnyArray = np.frombuffer(unpacked, self.dtype).reshape(self.shape)
        return array


@dataclass(frozen=True)
class ShardCodecs:
    """How one shard is stored: inner chunks anywhere in it, and an index of where they are.

    Parameters
    ----------
    shape : tuple of int
        Shape of the shard.
    inner : ChunkCodecs
        How each inner chunk is stored.
    index : ChunkCodecs
        How the index is stored: an offset and a length for each inner chunk.
    index_size : int
        How many bytes the index takes.
    index_at_end : bool
        Whether the index is the last bytes of the shard, or the first.
    """

    shape: Shape
    inner: ChunkCodecs
    index: ChunkCodecs
    index_size: int
    index_at_end: bool


def parse_data_type(data_type: object) -> np.dtype[Any]:
    """The NumPy dtype of a ``data_type`` (core, "Data types")."""
    if isinstance(data_type, str) and data_type in _DATA_TYPES:
        return np.dtype(data_type)
    raise UnsupportedMetadataError(f"data type {data_type!r} is not read")


def parse_fill_value(value: Any, dtype: np.dtype[Any]) -> Any:
    """A ``fill_value`` as a NumPy scalar (core, "Fill value")."""
    if dtype.kind == "c":
        part = np.dtype(f"f{dtype.itemsize // 2}")
        return np.array([parse_fill_value(item, part) for item in value], part).view(dtype)[0]
    if dtype.kind == "f" and isinstance(value, str):
        if value.startswith("0x"):
            # The bits themselves: how a NaN with a payload is written.
            bits = np.array(int(value, 16), f"u{dtype.itemsize}")
            return bits.view(dtype)[()]
        value = float(value)
    return np.array(value, dtype)[()]


def parse_codecs(
    codecs: Sequence[Any], shape: Shape, dtype: np.dtype[Any]
) -> ChunkCodecs | ShardCodecs:
    """Read the ``codecs`` of an array or of a shard's inner chunks.

    Parameters
    ----------
    codecs : sequence
        As ``zarr.json`` has them.
    shape : tuple of int
        Shape of one chunk (of one shard where the first codec is ``sharding_indexed``).
    dtype : numpy.dtype
        Its items.

    Raises
    ------
    UnsupportedMetadataError
        Naming the codec that is not read.
    """
    if not codecs:
        raise UnsupportedMetadataError("a chunk without codecs is not read")
    name, configuration = name_and_configuration(codecs[0])
    if name == "sharding_indexed":
        if len(codecs) > 1:
            after = name_and_configuration(codecs[1])[0]
            raise UnsupportedMetadataError(f"codec {after!r} around shards is not read")
        return _parse_shard(configuration, shape, dtype)
    if name != "bytes":
        raise UnsupportedMetadataError(f"codec {name!r} is not read")
    packing = tuple(name_and_configuration(codec)[0] for codec in codecs[1:])
    for name in packing:
        if name not in _UNPACK:
            raise UnsupportedMetadataError(f"codec {name!r} is not read")
    # Items of one byte may leave their byte order out.
    order = _BYTE_ORDERS[configuration.get("endian", "little")]
    return ChunkCodecs(shape, dtype.newbyteorder(order), packing)


def name_and_configuration(extension: Any) -> tuple[str, Mapping[str, Any]]:
    """Read what every extension point of the metadata looks like (core, "Extension definition").

    Parameters
    ----------
    extension : str or mapping
        ``{"name": ..., "configuration": {...}}``, or the name alone.
    """
    if isinstance(extension, str):
        return extension, {}
    return extension["name"], extension.get("configuration", {})


def _parse_shard(
    configuration: Mapping[str, Any], shape: Shape, dtype: np.dtype[Any]
) -> ShardCodecs:
    chunks = tuple(configuration["chunk_shape"])
    if len(chunks) != len(shape) or np.any(np.mod(shape, chunks)):
        raise UnsupportedMetadataError(f"chunks of {chunks} do not divide a shard of {shape}")
    inner = parse_codecs(configuration["codecs"], chunks, dtype)
    places = (*(int(count) for count in np.floor_divide(shape, chunks)), 2)
    index = parse_codecs(configuration["index_codecs"], places, np.dtype(np.uint64))
    if isinstance(inner, ShardCodecs) or isinstance(index, ShardCodecs):
        raise UnsupportedMetadataError("codec 'sharding_indexed' inside a shard is not read")
    index_size = index.encoded_size
    if index_size is None:
        # It could not be found in the shard (sharding_indexed, "Binary shard format").
        raise UnsupportedMetadataError("an index of unknown size is not read")
    index_at_end = configuration.get("index_location", "end") == "end"
    return ShardCodecs(shape, inner, index, index_size, index_at_end)


def crc32c(data: Sequence[int]) -> int:
    """The Castagnoli checksum, a byte at a time: quick enough for the index of a shard."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC32C_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc32c_of_byte(byte: int) -> int:
    for _ in range(8):
        # Another polynomial than zlib.crc32's, with its bits reversed.
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    return byte


def _strip_crc32c(data: Any) -> memoryview:
    view = memoryview(data)
    content, stored = view[:-4], int.from_bytes(view[-4:], "little")
    if len(view) < 4 or crc32c(content) != stored:
        raise ValueError(f"its {len(view)} bytes do not have the crc32c checksum they end with")
    return content


_CRC32C_TABLE = [_crc32c_of_byte(byte) for byte in range(256)]

_UNPACK: Mapping[str, Callable[[Any], Any]] = {
    "gzip": gzip.decompress,
    "crc32c": _strip_crc32c,
}
