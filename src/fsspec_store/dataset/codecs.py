"""Codecs of chunks: their names, the size of what they write, and the layout of shards. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

from .errors import InvalidMetadataError, UnsupportedMetadataError
from .fields import field, name_and_configuration, numbers

__all__ = ["Codecs", "Sharding", "v2_codecs", "v3_codecs"]

_CHECKSUMS = {"adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3"}
#: Codecs whose result is as long as their input.
_SAME_SIZE = {"shuffle", "transpose", "bytes"}
_COMPRESSORS = {"blosc", "bz2", "gzip", "lz4", "lzma", "pcodec", "zfpy", "zlib", "zstd"}
_CHECKSUM_BYTES = 4
#: Offset and length of an inner chunk in the index of a shard.
_ENTRY_BYTES = 16


@dataclass(frozen=True)
class Sharding:  # numpydoc ignore=PR02
    """The layout of a shard: inner chunks, and an index with their offsets and lengths.

    Parameters
    ----------
    chunk_shape : tuple of int
        Shape of an inner chunk.
    counts : tuple of int
        Number of inner chunks along each axis of the shard.
    codecs : Codecs
        Codecs of an inner chunk. They may contain a further `Sharding`.
    index_codecs : tuple of str
        Names of the codecs of the index.
    index_location : {"start", "end"}
        Where in the shard the index is.
    index_endian : {"little", "big"}
        Byte order of the index.
    index_size : int
        Size of the index in bytes.
    """

    chunk_shape: tuple[int, ...]
    counts: tuple[int, ...]
    codecs: Codecs
    index_codecs: tuple[str, ...]
    index_location: Literal["start", "end"]
    index_endian: Literal["little", "big"]
    index_size: int


@dataclass(frozen=True)
class Codecs:  # numpydoc ignore=PR02
    """The codecs of a chunk, in the order in which a writer applies them.

    Parameters
    ----------
    names : tuple of str
        Names as in the metadata.
    size : int or None
        Size of each encoded chunk in bytes; ``None`` if it depends on the content.
    min_size : int
        Minimum size of an encoded chunk in bytes.
    sharding : Sharding or None
        Layout of the shards, if the first codec that makes bytes is ``sharding_indexed``.
    """

    names: tuple[str, ...]
    size: int | None
    min_size: int
    sharding: Sharding | None = None

    @property
    def compressed(self) -> bool:
        """Whether a codec compresses, also one of the inner chunks of a shard."""
        here = any(name.removeprefix("numcodecs.") in _COMPRESSORS for name in self.names)
        return here or (self.sharding is not None and self.sharding.codecs.compressed)


def v2_codecs(filters: object, compressor: object, size: int | None) -> Codecs:
    """The codecs of zarr v2; ``size`` is that of the items of a chunk, ``None`` if unknown."""
    codecs = [*_list(filters or [], "filters"), *([] if compressor is None else [compressor])]
    names = []
    for codec in codecs:
        name = codec.get("id") if isinstance(codec, dict) else None
        if not isinstance(name, str):
            raise InvalidMetadataError(f"a codec must have an id, got {codec!r}")
        names.append(name)
        size = _encoded_size(name, size)
    return _codecs(names, size)


def v3_codecs(codecs: object, shape: tuple[int, ...], item_size: int | None) -> Codecs:
    """The codecs of zarr v3 for a chunk of this shape; ``item_size`` is ``None`` if unknown."""
    size = None if item_size is None else math.prod(shape) * item_size
    names: list[str] = []
    sharding: Sharding | None = None
    for codec in _list(codecs, "codecs"):
        name, configuration = name_and_configuration(codec, "a codec")
        if name == "sharding_indexed":
            sharding = _sharding(configuration, shape, item_size)
            size = None
        elif name == "transpose":
            order = numbers(configuration, "order")
            if sorted(order) != list(range(len(shape))):
                raise InvalidMetadataError(f"transpose by {order} of {len(shape)} axes")
            shape = tuple(shape[axis] for axis in order)
        else:
            size = _encoded_size(name, size)
        names.append(name)
    if not names:
        raise InvalidMetadataError("'codecs' must not be empty")
    return _codecs(names, size, sharding)


def _codecs(names: list[str], size: int | None, sharding: Sharding | None = None) -> Codecs:
    # The index of a shard cannot be located after a further codec.
    if sharding is not None and names[-1] == "sharding_indexed":
        return Codecs(tuple(names), None, sharding.index_size, sharding)
    return Codecs(tuple(names), size, 1 if size is None else size, sharding)


def _encoded_size(name: str, size: int | None) -> int | None:
    name = name.removeprefix("numcodecs.")
    if size is None or name in _SAME_SIZE:
        return size
    return size + _CHECKSUM_BYTES if name in _CHECKSUMS else None


def _sharding(configuration: object, shape: tuple[int, ...], item_size: int | None) -> Sharding:
    options = cast("dict[str, object]", configuration)
    chunk_shape = numbers(options, "chunk_shape", minimum=1)
    if len(chunk_shape) != len(shape) or any(
        size % chunk for size, chunk in zip(shape, chunk_shape, strict=True)
    ):
        raise InvalidMetadataError(
            f"inner chunks of shape {chunk_shape} do not divide a shard of shape {shape}"
        )
    counts = tuple(size // chunk for size, chunk in zip(shape, chunk_shape, strict=True))
    index_codecs = v3_codecs(field(options, "index_codecs"), (*counts, 2), _ENTRY_BYTES // 2)
    # The offsets and lengths are in the order of the inner chunks, with a checksum or without.
    if index_codecs.names not in (("bytes",), ("bytes", "crc32c")) or index_codecs.size is None:
        raise UnsupportedMetadataError(f"index codecs {', '.join(index_codecs.names)}")
    [first, *_] = _list(options["index_codecs"], "index_codecs")
    endian = name_and_configuration(first, "a codec")[1].get("endian", "little")
    location = options.get("index_location", "end")
    if location not in ("start", "end") or endian not in ("little", "big"):
        raise InvalidMetadataError(f"index_location {location!r}, endian {endian!r}")
    return Sharding(
        chunk_shape,
        counts,
        v3_codecs(field(options, "codecs"), chunk_shape, item_size),
        index_codecs.names,
        location,
        endian,
        index_codecs.size,
    )


def _list(value: object, name: str) -> list[object]:
    if not isinstance(value, list):
        raise InvalidMetadataError(f"{name!r} must be a list, got {value!r}")
    return value
