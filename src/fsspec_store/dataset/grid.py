"""The regular chunk grid of an array: from a key to the index of its chunk, and back. No I/O."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ChunkGrid"]

#: Without leading zeros, and less than 2**63.
_NUMBER = "(?:0|[1-9][0-9]{0,17})"


@dataclass(frozen=True)
class ChunkGrid:  # numpydoc ignore=PR02
    """The chunks of an array, and their keys relative to the array.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    chunk_shape : tuple of int
        Shape of the chunk, or shard, of one key.
    encoding : str
        ``"default"``: keys begin with ``c``. ``"v2"``: they do not.
    separator : str
        ``"/"`` or ``"."``, between the numbers of a key.
    """

    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    encoding: str = "default"
    separator: str = "/"

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        pairs = zip(self.shape, self.chunk_shape, strict=True)
        return tuple(-(-size // chunk) if size else 0 for size, chunk in pairs)

    @cached_property
    def count(self) -> int:
        """Number of chunks. It is 1 for an array without axes."""
        return math.prod(self.counts)

    @cached_property
    def pattern(self) -> str:
        """A regular expression of the keys of this encoding, inside and outside of the grid."""
        numbers = re.escape(self.separator).join([_NUMBER] * len(self.shape))
        if self.encoding == "v2":
            return numbers or "0"
        return f"c{re.escape(self.separator)}{numbers}" if numbers else "c"

    def key(self, index: Sequence[int]) -> str:
        """The key of a chunk, relative to the array."""
        prefix = ["c"] if self.encoding == "default" else []
        return self.separator.join([*prefix, *map(str, index)]) or "0"

    def index(self, key: str) -> tuple[int, ...] | None:
        """The index of the chunk of a key, which may be outside of the grid.

        ``None`` if it is not the key of a chunk in this encoding.
        """
        if self._regex.fullmatch(key) is None:
            return None
        return tuple(map(int, re.findall("[0-9]+", key))) if self.shape else ()

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def all_keys(self) -> Iterator[str]:
        """Yield the keys of all chunks in C order."""
        # Not itertools.product, which has a list of each axis in memory.
        return map(self.numbered_key, range(self.count))

    def unravel(self, number: int) -> tuple[int, ...]:
        """The index of a chunk from its number in C order."""
        index = []
        for count in reversed(self.counts):
            number, place = divmod(number, count)
            index.append(place)
        return tuple(reversed(index))

    def numbered_key(self, number: int) -> str:
        """The key of a chunk from its number in C order."""
        return self.key(self.unravel(number))

    def region(self, number: int) -> tuple[slice, ...]:
        """The part of the array that a chunk covers, from its number in C order."""
        places = zip(self.unravel(number), self.chunk_shape, self.shape, strict=True)
        return tuple(
            slice(place * chunk, min((place + 1) * chunk, size)) for place, chunk, size in places
        )
