"""The contents of the bucket of a run: keys and values.

Pure functions, which fill the bucket and check results: a result is compared with the expected
bytes, and not with those that another client read.
"""

from __future__ import annotations

import random
import zlib
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.scale import CHUNK, LARGE, MIB, RANGE, SHARD, SLICE, SMALL, STRIDE, VALUE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.scale import Scale

#: The roots of the stores. The listed keys have a separate one, so that a listing has no others.
VALUES = "values"
LISTED = "listed"
ARRAYS = "arrays"

#: Below `LISTED`, the folder that holds everything.
FOLDER = "d"
#: Below `VALUES`, the folder that is deleted.
DOOMED = "doomed"

HUGE = "huge"
HUGE_WRITTEN = "new-huge"

#: Names of arrays and groups below `ARRAYS`.
CHUNKED = "chunked"
LARGE_CHUNKED = "large-chunked"
WRITTEN = "written"
SHARDED = "sharded"
GROUP = "group"
DATASET = "dataset"

LISTED_BYTES = 100


def noise(name: str, size: int) -> bytes:
    """Bytes that look random, always the same for one name."""
    return np.random.default_rng(zlib.crc32(name.encode())).bytes(size)


def value_key(turn: int, scale: Scale) -> str:
    return f"c/{turn % scale.values}"


def value(key: str) -> bytes:
    return noise(key, VALUE)


def large_key(turn: int, scale: Scale) -> str:
    return f"large/{turn % scale.large_values}"


def large(key: str) -> bytes:
    return noise(key, LARGE)


def huge(scale: Scale) -> bytes:
    return noise(HUGE, scale.huge_mib * MIB)


def ranges(scale: Scale) -> list[tuple[int, int]]:
    """Start and end of each range that is read of one large value."""
    return [(number * STRIDE, number * STRIDE + RANGE) for number in range(scale.ranges)]


def small_written() -> bytes:
    return noise("small", SMALL)


def large_written() -> bytes:
    return noise("large", LARGE)


def listed_keys(scale: Scale) -> list[str]:
    """Keys directly in the folder, and the others spread over as many folders in it."""
    direct = [f"{FOLDER}/k{number}" for number in range(scale.children)]
    below = range(scale.keys - scale.children)
    return direct + [f"{FOLDER}/{number % scale.children}/{number}" for number in below]


def listed_children(scale: Scale) -> list[str]:
    """Names of what is directly in the folder."""
    return sorted({key.split("/")[1] for key in listed_keys(scale)})


def doomed_keys(scale: Scale) -> list[str]:
    return [f"{DOOMED}/{number}" for number in range(scale.deleted)]


def chunked(scale: Scale, name: str = CHUNKED) -> NDArray[np.uint8]:
    """The values of an array whose chunks are stored as they are."""
    return np.frombuffer(noise(name, scale.chunks * CHUNK), dtype=np.uint8)


def large_chunked(scale: Scale) -> NDArray[np.uint8]:
    """The values of an array of large chunks. Each chunk has the same bytes, to make them fast."""
    return np.tile(np.frombuffer(noise(LARGE_CHUNKED, LARGE), np.uint8), scale.large_chunks)


def written_chunks(scale: Scale) -> dict[str, bytes]:
    """What the written array has to leave in the bucket."""
    data = memoryview(noise(WRITTEN, scale.chunks * CHUNK))
    return {
        f"{WRITTEN}/c/{number}": bytes(data[number * CHUNK : (number + 1) * CHUNK])
        for number in range(scale.chunks)
    }


def sharded(scale: Scale) -> NDArray[np.uint8]:
    return np.frombuffer(noise(SHARDED, scale.shards * SHARD), dtype=np.uint8)


def slices(scale: Scale, turn: int) -> list[slice]:
    """Slices anywhere in the sharded array, others for each turn."""
    choose = random.Random(turn)
    starts = [choose.randrange(scale.shards * SHARD - SLICE) for _ in range(scale.slices)]
    return [slice(start, start + SLICE) for start in starts]


def array_names(scale: Scale) -> list[str]:
    return [f"a{number:03}" for number in range(scale.arrays)]
