"""Listings of random keys in random order, compared with a model that looks at each key alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dataset.generated import GeneratedStore, array
from fsspec_store.dataset import ChunkGrid, check

ARRAYS = {
    "0": ChunkGrid((3, 2), (1, 1), "v2", "/"),
    "a": ChunkGrid((4,), (1,), "default", "/"),
    "a.b": ChunkGrid((2, 2, 2), (1, 1, 1), "default", "."),
    "scalar": ChunkGrid((), ()),
    "empty": ChunkGrid((0, 10**30), (1, 1), "v2", "."),
}
SIZE = 4


class ListedStore(GeneratedStore):
    """Lists the given keys, and the metadata."""

    def __init__(self, entries: Sequence[tuple[str, int]]) -> None:
        super().__init__(
            {
                name: array(
                    grid.shape,
                    chunk_key_encoding={
                        "name": grid.encoding,
                        "configuration": {"separator": grid.separator},
                    },
                )
                for name, grid in ARRAYS.items()
            }
        )
        self._listed = entries

    async def list_sizes(
        self, prefix: str = "", *, fan_out: int = 1
    ) -> AsyncGenerator[tuple[str, int | None], None]:
        for entry in self._listed:
            yield entry


@st.composite
def keys_of_chunks(draw: st.DrawFn) -> str:
    """Inside of the grid, or just outside."""
    name = draw(st.sampled_from(list(ARRAYS)))
    grid = ARRAYS[name]
    return f"{name}/{grid.key([draw(st.integers(0, count)) for count in grid.counts])}"


numbers = st.sampled_from(["0", "1", "2", "9", "00", "01", "99999999999", str(10**20), "x", ""])
names = st.builds(
    lambda name, parts, separator: f"{name}/{separator.join(parts)}",
    st.sampled_from(list(ARRAYS)),
    st.lists(st.one_of(numbers, st.just("c")), min_size=1, max_size=4),
    st.sampled_from("/."),
).filter(lambda key: "//" not in key and key[-1] != "/")
sizes = st.sampled_from([SIZE, SIZE, SIZE, 0, 5])


@given(
    st.dictionaries(st.one_of(keys_of_chunks(), names), sizes, max_size=40),
    st.randoms(use_true_random=False),
)
async def test_counts_are_those_of_the_model(chunks: dict[str, int], shuffle: Any) -> None:
    store = ListedStore([])
    metadata = [(key, len(value)) for key, value in store.documents.items()]
    entries = [*chunks.items(), *metadata]
    shuffle.shuffle(entries)
    report = await check(ListedStore(entries), allow_missing=["empty"])
    expected: dict[tuple[str, str], int] = {}

    def add(kind: str, path: str, count: int = 1) -> None:
        if count:
            expected[kind, path] = expected.get((kind, path), 0) + count

    present: dict[str, set[tuple[int, ...]]] = {name: set() for name in ARRAYS}
    for key, size in chunks.items():
        path, _, name = key.partition("/")
        grid = ARRAYS[path]
        index = grid.index(name)
        if index is None:
            add("unknown_key", path)
        elif not all(place < count for place, count in zip(index, grid.counts, strict=True)):
            add("outside_grid", path)
        else:
            present[path].add(index)
            add("chunk_size", path, int(size != SIZE))
    for path, grid in ARRAYS.items():
        add("missing_chunk", path, grid.count - len(present[path]))
    assert {(found.kind, found.path): found.count for found in report.findings} == expected
    for found in report.arrays:
        grid = found.metadata.grid
        assert {grid.unravel(number) for number in found.present} == present[found.path]
        assert all(number in found.present for number in found.broken)
