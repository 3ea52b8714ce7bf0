"""The pictures of chunks: where each chunk is, what a cell shows, and the data for zooming."""

from __future__ import annotations

import base64
import math
import re
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store.dataset import ChunkSet
from fsspec_store.reports.chunk_map import KINDS, ChunkMap, Layout, bars
from reports.samples import array_report

_COUNTS = st.lists(st.integers(1, 40), max_size=4).filter(lambda counts: math.prod(counts) < 20_000)


@pytest.mark.parametrize(
    ("counts", "columns", "caption"),
    [
        ((), 1, "One chunk."),
        ((1, 1), 1, "One chunk."),
        ((12,), 12, "Columns: dimension 0."),
        ((1, 12, 1), 12, "Columns: dimension 1."),
        ((100,), 64, "Rows: 64 consecutive chunks each."),
        ((10**6,), 1414, "Rows: 1,414 consecutive chunks each."),
        ((8, 12), 12, "Rows: dimension 0. Columns: dimension 1."),
        ((2, 10_000), 10_000, "Rows: dimension 0. Columns: dimension 1."),
        ((48, 20, 4), 80, "Rows: dimension 0. Columns: dimensions 1, 2."),
        ((10, 9, 1, 80), 80, "Rows: dimensions 0, 1. Columns: dimension 3."),
        ((10_000, 2), 200, "Rows: 200 consecutive chunks each."),
    ],
)
def test_layouts(counts: tuple[int, ...], columns: int, caption: str) -> None:
    layout = Layout.of(counts)
    assert (layout.columns, layout.caption) == (columns, caption)


@given(_COUNTS)
def test_every_chunk_has_a_place_of_its_own(counts: list[int]) -> None:
    layout = Layout.of(counts)
    assert layout.count == math.prod(counts)
    assert (layout.rows - 1) * layout.columns < layout.count <= layout.rows * layout.columns


def _sets(count: int, seed: int) -> dict[str, ChunkSet]:
    kinds = np.random.default_rng(seed).integers(0, 6, count)
    sets = {}
    for number, kind in enumerate(KINDS):
        sets[kind] = ChunkSet(count)
        sets[kind].add(np.flatnonzero(kinds == number))
    return sets


def _areas(svg: str) -> dict[str, dict[tuple[int, int], int]]:
    """The height of each kind in each cell, from the rectangles of a picture."""
    areas: dict[str, dict[tuple[int, int], int]] = {}
    for kind, data in re.findall(r'<path class="(\w+)" d="([^"]*)"/>', svg):
        cells = areas.setdefault(kind, {})
        for x, y, width, height in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)h-\d+z", data):
            for column in range(int(x) // 10, (int(x) + int(width)) // 10):
                cells[int(y) // 10, column] = int(height)
    return areas


@given(_COUNTS, st.integers(0, 2**32 - 1))
def test_a_cell_shows_the_kinds_of_its_chunks(counts: list[int], seed: int) -> None:
    layout = Layout.of(counts)
    sets = _sets(layout.count, seed)
    found = _areas(ChunkMap(layout, sets).svg("label"))
    kinds = np.full(layout.rows * layout.columns, -1)
    kinds[: layout.count] = len(KINDS)
    for number, kind in enumerate(KINDS):
        kinds[: layout.count][sets[kind].bools()] = number
    kinds = kinds.reshape(layout.rows, layout.columns)
    row_step, column_step = -(-layout.rows // 48), -(-layout.columns // 64)
    seen: dict[str, dict[tuple[int, int], int]] = {}
    for row in range(-(-layout.rows // row_step)):
        for column in range(-(-layout.columns // column_step)):
            cell = kinds[
                row * row_step : (row + 1) * row_step,
                column * column_step : (column + 1) * column_step,
            ]
            total = int((cell >= 0).sum())
            numbers = [int((cell == number).sum()) for number in range(len(KINDS))]
            for kind, _, height in bars(total, *numbers):
                seen.setdefault(kind, {})[row, column] = height
    assert found == seen


@given(st.tuples(*[st.integers(0, 10**6)] * 4))
def test_parts_fill_a_cell_and_none_is_invisible(counts: tuple[int, int, int, int]) -> None:
    _, *others = counts
    parts = bars(sum(counts), *others)
    heights = {part.kind: part.height for part in parts}
    assert sum(heights.values()) == (10 if any(counts) else 0)
    assert all(height >= 2 for height in heights.values())
    expected = {kind for kind, count in zip(("present", *KINDS), counts, strict=True) if count}
    assert set(heights) == expected


def _decoded(text: str, size: int) -> np.ndarray:
    if text in ("all", "none"):
        return np.full(size, text == "all")
    packed = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.unpackbits(packed, bitorder="little")[:size].astype(bool)


def test_the_data_has_every_chunk() -> None:
    layout = Layout.of((30, 50))
    sets = _sets(layout.count, 1)
    data = ChunkMap(layout, sets).data(10**6)
    assert data["step"] == 1
    for kind in KINDS:
        assert np.array_equal(_decoded(data[kind], layout.count), sets[kind].bools())


def test_too_much_data_is_combined() -> None:
    layout = Layout.of((1501, 2001))
    sets = _sets(layout.count, 1)
    limit = 250_000
    data = ChunkMap(layout, sets).data(limit)
    assert sum(len(data[kind]) for kind in KINDS) < limit
    step = data["step"]
    columns = -(-layout.columns // step)
    assert step > 1
    for kind in KINDS:
        padded = np.zeros((layout.rows, columns * step), bool)
        padded[:, : layout.columns] = sets[kind].bools().reshape(layout.rows, layout.columns)
        units = padded.reshape(layout.rows, columns, step).any(axis=2)
        assert np.array_equal(_decoded(data[kind], units.size), units.ravel())


def test_arrays_of_numbers() -> None:
    numbers = [0, 7, 8, 300_000, 2_999_999]
    chunks = array_report("a", (3_000_000,), numbers).missing
    assert np.concatenate(list(chunks.arrays())).tolist() == numbers
    assert list(ChunkSet(100).arrays()) == []
