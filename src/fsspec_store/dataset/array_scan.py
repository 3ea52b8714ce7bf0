"""The listed chunks of one array, from runs of keys at once. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .chunk_set import ChunkSet
from .nodes import join

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from .findings import Findings, Kind
    from .metadata import ArrayMetadata

__all__ = ["MAX_CHUNKS", "ArrayScan", "Shard"]

#: Larger grids are not checked: one set of chunks has 128 MiB.
MAX_CHUNKS = 2**30


class Shard(NamedTuple):
    """A listed shard of an array; ``number`` is its place in the grid, in C order."""

    array: ArrayScan
    number: int
    key: str
    size: int | None


class ArrayScan:
    """Counts the listed chunks of an array.

    Parameters
    ----------
    key_path : str
        Path of the array in the store.
    path : str
        Path of the array in the data set.
    metadata : ArrayMetadata
        Its metadata.
    findings : Findings
        Where findings are counted.
    reads_indexes : bool
        Whether the indexes of shards will be read.
    """

    def __init__(
        self,
        key_path: str,
        path: str,
        metadata: ArrayMetadata,
        findings: Findings,
        *,
        reads_indexes: bool,
    ) -> None:
        grid = metadata.grid
        self.key_path = key_path
        self.path = path
        self.metadata = metadata
        self.present = ChunkSet(grid.count)
        self.broken = ChunkSet(grid.count)
        #: Size of the listed chunks; ``None`` once a chunk is listed without its size.
        self.bytes: int | None = 0
        self.findings = findings
        # After a further codec the index cannot be located.
        is_sharded = metadata.codecs.names[-1:] == ("sharding_indexed",)
        self._reads_indexes = reads_indexes and is_sharded
        below = join(key_path, "")
        # Possessive: one long match without a stack of places to return to.
        self._run = re.compile(f"(?:{re.escape(below)}{grid.pattern}\n)*+")
        self._before_numbers = below + ("" if grid.encoding == "v2" else f"c{grid.separator}")
        # The other axes of an empty grid may be of any length.
        counts = grid.counts if grid.count else (0,) * len(grid.counts)
        self._counts = np.array(counts, np.int64)
        self._steps = np.cumprod([1, *counts[:0:-1]], dtype=np.int64)[::-1]

    def end_of_run(self, text: str, start: int) -> int:
        """Where in the lines of keys from ``start`` the keys of chunks of this array end."""
        match = self._run.match(text, start)
        return start if match is None else match.end()

    def add(self, text: str, keys: Sequence[str], sizes: Sequence[int | None]) -> list[Shard]:
        """Count keys that are all of chunks; ``text`` has one in each line.

        Returns the shards whose indexes are to be read.
        """
        numbers, inside = self._numbers(text, len(keys))
        if not inside.all():
            for place in np.flatnonzero(~inside).tolist():
                self.findings.add("outside_grid", self.path, keys[place])
            keys = [key for key, valid in zip(keys, inside, strict=True) if valid]
            sizes = [size for size, valid in zip(sizes, inside, strict=True) if valid]
            numbers = numbers[inside]
        self.present.add(numbers)
        bad = self._bad_sizes(sizes)
        for place in bad:
            reason = self._reason(sizes[place])
            self.add_broken("chunk_size", int(numbers[place]), keys[place], reason)
        if not self._reads_indexes:
            return []
        shards = zip(numbers.tolist(), keys, sizes, strict=True)
        return [Shard(self, *shard) for place, shard in enumerate(shards) if place not in bad]

    def add_broken(self, kind: Kind, number: int, key: str, reason: str) -> None:
        """Count a chunk that is damaged."""
        self.broken.add(number)
        self.findings.add(kind, self.path, key, reason)

    def key(self, number: int) -> str:
        """The key of a chunk in the store, from its number in C order."""
        return join(self.key_path, self.metadata.grid.numbered_key(number))

    def _numbers(
        self, text: str, count: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The places of chunks in C order, and which of them are inside of the grid."""
        if not len(self._counts):
            return np.zeros(count, np.int64), np.ones(count, np.bool_)
        # An array may be named like a number: only the beginnings of lines are removed.
        digits = f"\n{text}".replace(f"\n{self._before_numbers}", "\n")
        digits = digits.replace(self.metadata.grid.separator, " ")
        index = np.fromstring(digits, np.int64, sep=" ").reshape(count, len(self._counts))
        return index @ self._steps, (index < self._counts).all(axis=1)

    def _bad_sizes(self, sizes: Sequence[int | None]) -> dict[int, None]:
        """Places of impossible sizes, in order."""
        if None in sizes:
            self.bytes = None
            return {}
        known = [size for size in sizes if size is not None]
        if self.bytes is not None:
            self.bytes += sum(known)
        codecs = self.metadata.codecs
        if codecs.size is not None:
            if known.count(codecs.size) == len(known):
                return {}
            return {place: None for place, size in enumerate(known) if size != codecs.size}
        if not known or min(known) >= codecs.min_size:
            return {}
        return {place: None for place, size in enumerate(known) if size < codecs.min_size}

    def _reason(self, size: int | None) -> str:
        codecs = self.metadata.codecs
        if codecs.size is not None:
            return f"{size} bytes, {codecs.size} expected"
        return f"{size} bytes, at least {codecs.min_size} expected"
