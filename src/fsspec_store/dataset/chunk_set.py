"""A set of the chunks of one grid: one bit for each chunk."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["ChunkSet"]

#: Bytes of the bitmap that are expanded at once.
_BLOCK_BYTES = 2**15


class ChunkSet:
    """A set of chunks by their numbers in C order: one bit for each chunk of the grid.

    Parameters
    ----------
    size : int
        Number of chunks of the grid.
    full : bool, optional
        Contain all chunks.
    """

    def __init__(self, size: int, *, full: bool = False) -> None:
        self.size = size
        # Memory of zeros is not used before it is written.
        self._bits = np.zeros(-(-size // 8), np.uint8)
        if full:
            self._bits[:] = 0xFF
            self._clear_end()

    def _clear_end(self) -> None:
        if self.size % 8:
            self._bits[-1] &= (1 << self.size % 8) - 1

    def add(self, numbers: npt.NDArray[np.int64] | int) -> None:
        """Add chunks by their numbers, ``0 <= number < size``."""
        places = np.asarray(numbers)
        np.bitwise_or.at(self._bits, places >> 3, np.left_shift(1, places & 7).astype(np.uint8))

    def __contains__(self, number: int) -> bool:
        return bool(self._bits[number >> 3] >> (number & 7) & 1)

    def __len__(self) -> int:
        blocks = range(0, len(self._bits), _BLOCK_BYTES)
        return sum(
            int.from_bytes(self._bits[start : start + _BLOCK_BYTES].tobytes()).bit_count()
            for start in blocks
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ChunkSet):
            return NotImplemented
        return self.size == other.size and np.array_equal(self._bits, other._bits)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} of {self.size} chunks>"

    def __sub__(self, other: ChunkSet) -> ChunkSet:
        """The chunks that are not in another set of the same grid."""
        rest = ChunkSet(self.size)
        np.bitwise_and(self._bits, ~other._bits, out=rest._bits)
        return rest

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers in ascending order."""
        for start, stop in self.ranges():
            yield from range(start, stop)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the maximal ranges ``start <= number < stop`` in ascending order."""
        begin: int | None = None
        for first in range(0, len(self._bits), _BLOCK_BYTES):
            block = self._bits[first : first + _BLOCK_BYTES]
            bits = np.unpackbits(block, bitorder="little").view(np.int8)
            before = np.int8(begin is not None)
            for edge in np.flatnonzero(np.diff(bits, prepend=before)).tolist():
                number = 8 * first + edge
                if begin is None:
                    begin = number
                else:
                    yield begin, number
                    begin = None
        if begin is not None:
            yield begin, self.size

    def arrays(self) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the numbers in ascending order, many in each array."""
        for first in range(0, len(self._bits), _BLOCK_BYTES):
            block = self._bits[first : first + _BLOCK_BYTES]
            if block.any():
                yield np.flatnonzero(np.unpackbits(block, bitorder="little")) + 8 * first

    def bools(self) -> npt.NDArray[np.bool_]:
        """One item for each chunk in C order, true for those in the set."""
        return np.unpackbits(self._bits, count=self.size, bitorder="little").view(np.bool_)

    def to_json(self) -> str:
        """``"all"``, ``"none"``, or the bitmap: compressed by zlib, in base64."""
        count = len(self)
        if count in (0, self.size):
            return "all" if count else "none"
        return base64.b64encode(zlib.compress(self._bits.tobytes())).decode()

    @classmethod
    def from_json(cls, text: Any, size: int) -> ChunkSet:
        """The set of a result of `to_json`; ``ValueError`` for other values and grids."""
        if text in ("all", "none"):
            return cls(size, full=text == "all")
        chunks = cls(size)
        try:
            inflate = zlib.decompressobj()
            data = inflate.decompress(base64.b64decode(text, validate=True), len(chunks._bits) + 1)
        except (TypeError, ValueError, zlib.error) as error:
            raise ValueError(f"not a bitmap: {error}") from error
        if len(data) != len(chunks._bits):
            raise ValueError(f"not a bitmap of {size} chunks")
        chunks._bits[:] = np.frombuffer(data, np.uint8)
        chunks._clear_end()
        return chunks
