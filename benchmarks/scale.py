"""How much of everything a run reads, writes and lists.

Knows sizes and counts, and nothing of what is done with them.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB

#: One value of each kind, in bytes.
VALUE = 16 * KIB
LARGE = 4 * MIB
SMALL = 256

#: One chunk of an array, one shard, and one slice read from shards, in bytes.
CHUNK = 16 * KIB
SHARD = MIB
SLICE = 40_000

#: Many ranges of one large value: bytes of each, and from the start of one to that of the next.
RANGE = KIB
STRIDE = 40_000


@dataclass(frozen=True)
class Scale:
    """How much there is, in the units that the names of operations speak of."""

    values: int = 200
    """Values of 16 KiB that are read."""

    large_values: int = 8
    """Values of 4 MiB that are read."""

    large_writes: int = 16
    """Values of 4 MiB that one round writes."""

    ranges: int = 100
    """Ranges read of one value; at most 100, which is as many as a large value has."""

    keys: int = 10_000
    """Keys that are listed."""

    children: int = 100
    """Keys, and as many folders, directly below the one that is listed."""

    deleted: int = 500
    """Keys deleted at once."""

    huge_mib: int = 100
    """MiB of the one very large value."""

    chunks: int = 2_000
    """Chunks of 16 KiB of the array that is read and written."""

    large_chunks: int = 200
    """Chunks of 4 MiB of the array that is read."""

    shards: int = 16
    """Shards of 1 MiB in the sharded array."""

    slices: int = 64
    """Slices of 40,000 bytes read from it."""

    arrays: int = 200
    """Arrays in the group that is opened."""


FULL = Scale()

QUICK = Scale(
    values=100,
    large_writes=8,
    keys=1_000,
    deleted=100,
    huge_mib=16,
    chunks=200,
    large_chunks=10,
    shards=4,
    slices=16,
    arrays=20,
)
