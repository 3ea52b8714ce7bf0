"""The map of an array's chunks: a picture of cells, and the data from which a script zooms."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..dataset.chunk_set import ChunkSet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

__all__ = ["KINDS", "ChunkMap", "Layout"]

#: What a chunk is if it is not present and intact: ``absent`` is neither present nor required.
#: The names are classes of the style.
KINDS = ("broken", "missing", "absent")

#: Most cells of a picture.
_ROWS, _COLUMNS = 48, 64
#: Side of a cell in the units of a picture.
_SIDE = 10
#: Part of a side that shows the smallest share, so that one chunk of a million is visible.
_LEAST = 2
#: Chunks whose data a script gets; consecutive ones of larger grids are combined.
_MAX_UNITS = 2**24


@dataclass(frozen=True)
class Layout:  # numpydoc ignore=PR02
    """Rows of chunks in C order: a chunk's number is ``row * columns + column``.

    Parameters
    ----------
    count : int
        Number of chunks.
    columns : int
        Chunks of a row.
    caption : str
        What rows and columns are.
    """

    count: int
    columns: int
    caption: str

    @property
    def rows(self) -> int:
        """Number of rows. The last one may be shorter."""
        return -(-self.count // self.columns)

    @classmethod
    def of(cls, counts: Sequence[int]) -> Layout:
        """The layout of a grid: its leading dimensions are the rows, the others the columns.

        The dimensions are divided so that the map is most like a square. A grid of one dimension,
        and one that is much taller than wide, is wrapped like the lines of a text.
        """
        count = math.prod(counts)
        axes = [axis for axis, length in enumerate(counts) if length > 1]
        if not axes:
            return cls(count, 1, "One chunk.")
        widths = {
            place: math.prod(counts[axis] for axis in axes[place:])
            for place in range(1, len(axes) + 1)
        }
        place = min(widths, key=lambda place: abs(math.log(widths[place] ** 2 / count)))
        columns = widths[place]
        rows = count // columns
        if len(axes) == 1 or (rows > _ROWS and rows > 4 * columns):
            columns *= min(rows, max(math.isqrt(2 * rows // columns), _COLUMNS // columns))
            if columns < count:
                return cls(count, columns, f"Rows: {columns:,} consecutive chunks each.")
            return cls(count, columns, f"Columns: {_names(axes)}.")
        text = f"Rows: {_names(axes[:place])}. Columns: {_names(axes[place:])}."
        return cls(count, columns, text)


def _names(axes: Sequence[int]) -> str:
    return f"dimension{'s' if len(axes) > 1 else ''} {', '.join(map(str, axes))}"


class _Bar(NamedTuple):
    """A part of a cell: its kind, and where it is from the top of the cell."""

    kind: str
    top: int
    height: int


@dataclass(frozen=True)
class ChunkMap:  # numpydoc ignore=PR02
    """The map of one array.

    Parameters
    ----------
    layout : Layout
        Where each chunk is.
    chunks : mapping of str to ChunkSet
        The chunks of each of `KINDS`. All others are present.
    """

    layout: Layout
    chunks: Mapping[str, ChunkSet]

    @cached_property
    def _steps(self) -> tuple[int, int]:
        """Rows and columns of a cell."""
        return -(-self.layout.rows // _ROWS), -(-self.layout.columns // _COLUMNS)

    @cached_property
    def _shape(self) -> tuple[int, int]:
        rows, columns = self._steps
        return -(-self.layout.rows // rows), -(-self.layout.columns // columns)

    @property
    def cell_text(self) -> str:
        """How many chunks a cell has."""
        rows, columns = self._steps
        if rows == columns == 1:
            return "A cell is a chunk."
        return f"A cell is {rows:,} by {columns:,} chunks; its parts are the shares of each kind."

    def svg(self, label: str) -> str:
        """The picture. The fill of each kind is a class of the style.

        Parameters
        ----------
        label : str
            The text for readers who do not see it, without markup.
        """
        rows, columns = self._shape
        width, height = columns * _SIDE, rows * _SIDE
        pixels = max(8, min(24, 640 // columns, 480 // rows)) / _SIDE
        paths = "".join(
            f'<path class="{kind}" d="{data}"/>' for kind, data in self._paths().items() if data
        )
        return (
            f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {height}"'
            f' width="{width * pixels:g}" height="{height * pixels:g}">{paths}'
            f'<rect class="lines" width="{width}" height="{height}"/></svg>'
        )

    def _paths(self) -> dict[str, str]:
        """Data of a path for each kind; equal parts of neighbouring cells are one rectangle."""
        rows, columns = self._shape
        totals = self._totals()
        counts = [self._counts(self.chunks[kind], totals).tolist() for kind in KINDS]
        cells = zip(totals.tolist(), *counts, strict=True)
        data: dict[str, list[str]] = {kind: [] for kind in ("present", *KINDS)}
        for row in range(rows):
            places = [(bars(*next(cells)), column) for column in range(columns)]
            for cell, run in groupby(places, key=lambda place: place[0]):
                first, *rest = [column for _, column in run]
                width = _SIDE * (1 + len(rest))
                for kind, top, height in cell:
                    x, y = _SIDE * first, _SIDE * row + top
                    data[kind].append(f"M{x} {y}h{width}v{height}h-{width}z")
        return {kind: "".join(parts) for kind, parts in data.items()}

    def _totals(self) -> npt.NDArray[np.int64]:
        """Number of chunks of each cell."""
        layout = self.layout
        (rows, columns), (row_step, column_step) = self._shape, self._steps
        heights = np.diff(np.minimum(np.arange(rows + 1) * row_step, layout.rows))
        edges = np.minimum(np.arange(columns + 1) * column_step, layout.columns)
        totals = np.outer(heights, np.diff(edges))
        end = layout.count - (layout.rows - 1) * layout.columns
        totals[-1] -= np.diff(np.maximum(edges, end))
        return totals.ravel()

    def _counts(self, chunks: ChunkSet, totals: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Number of chunks of a set in each cell."""
        if len(chunks) == self.layout.count:
            return totals
        counts = np.zeros_like(totals)
        row_step, column_step = self._steps
        for numbers in chunks.arrays():
            rows, columns = np.divmod(numbers, self.layout.columns)
            cells = rows // row_step * self._shape[1] + columns // column_step
            counts += np.bincount(cells, minlength=len(counts))
        return counts

    def data(self, limit: int) -> dict[str, Any]:
        """The kind of every chunk, for the script.

        Chunks of large grids are combined: ``step`` consecutive ones of a row are a unit, which is
        of a kind if one of its chunks is.

        Parameters
        ----------
        limit : int
            Characters of JSON, as far as combined rows fit into them.
        """
        layout = self.layout
        step = -(-layout.count // _MAX_UNITS)
        while True:
            found = {kind: self._units(self.chunks[kind], step).to_json() for kind in KINDS}
            if len(json.dumps(found)) <= limit or step >= layout.columns:
                return {"count": layout.count, "columns": layout.columns, "step": step, **found}
            step *= 2

    def _units(self, chunks: ChunkSet, step: int) -> ChunkSet:
        if step == 1:
            return chunks
        columns = -(-self.layout.columns // step)
        units = ChunkSet(self.layout.rows * columns)
        for numbers in chunks.arrays():
            rows, places = np.divmod(numbers, self.layout.columns)
            units.add(rows * columns + places // step)
        return units


@lru_cache(maxsize=2**12)
def bars(total: int, *counts: int) -> tuple[_Bar, ...]:
    """The parts of a cell from its bottom: those of `KINDS`, and the present chunks above.

    Parameters
    ----------
    total : int
        Chunks of the cell. It is 0 behind the end of the last row.
    *counts : int
        Chunks of each of `KINDS`.
    """
    if not total:
        return ()
    present = total - sum(counts)
    heights = [max(_LEAST, _SIDE * count // total) if count else 0 for count in counts]
    room = _SIDE - (_LEAST if present else 0)
    while sum(heights) > room:
        heights[heights.index(max(heights))] -= 1
    if not present:
        heights[heights.index(max(heights))] += room - sum(heights)
    found, top = [], _SIDE
    for kind, height in zip(KINDS, heights, strict=True):
        if height:
            top -= height
            found.append(_Bar(kind, top, height))
    if top:
        found.append(_Bar("present", 0, top))
    return tuple(found)
