"""Fail when a zarr v3 data set is incomplete: for CI, and after copying one.

    python examples/check_dataset.py s3://bucket/climate.zarr --option anon=true
    python examples/check_dataset.py /data/climate.zarr --json

Walks the groups and arrays, works out the keys each array's chunks (or shards) have, and compares
them with one listing per array: nothing is requested for a single chunk, so that a data set of a
million chunks takes as long as listing it. Exits with 0 when the data set is complete, 1 when it
is not, 2 when it could not be judged.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from array_reader import join, parse_grid, parse_metadata
from open_by_url import parse_option
from zarr_codecs import ShardCodecs, UnsupportedMetadataError, parse_codecs, parse_data_type

from fsspec_store import FsspecStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

#: How many names of missing or damaged chunks a report holds.
_FIRST_FEW = 5

COLUMNS = ("array", "expected", "present", "missing", "damaged", "bytes")


class SizeBounds(NamedTuple):
    """How many bytes a chunk can take; ``most`` is ``None`` where that depends on its content."""

    least: int
    most: int | None


@dataclass
class ArrayReport:
    """What was found of one array; ``bytes`` is ``None`` where no sizes are listed."""

    path: str
    expected: int = 0
    present: int = 0
    missing: int = 0
    damaged: int = 0
    bytes: int | None = 0
    first_missing: list[str] = field(default_factory=list)
    first_damaged: list[str] = field(default_factory=list)

    def add(self, key: str, size: int | None, bounds: SizeBounds) -> None:
        """Count a chunk that is there."""
        self.present += 1
        if size is None or self.bytes is None:
            # Many web servers list names alone.
            self.bytes = None
            return
        self.bytes += size
        if size < bounds.least or (bounds.most is not None and size > bounds.most):
            self.damaged += 1
            if len(self.first_damaged) < _FIRST_FEW:
                wanted = "" if bounds.most is None else f" where {bounds.most} were expected"
                self.first_damaged.append(f"{key} ({size} bytes{wanted})")

    def add_missing(self, key: str) -> None:
        """Count a chunk that is not there."""
        self.missing += 1
        if len(self.first_missing) < _FIRST_FEW:
            self.first_missing.append(key)


@dataclass
class Report:
    """What was found of a data set."""

    url: str
    arrays: list[ArrayReport]
    #: Prefixes that hold keys and no ``zarr.json``: an array or group whose metadata was lost.
    without_metadata: list[str]
    missing_chunks_allowed: bool

    @property
    def complete(self) -> bool:
        """Whether everything is there that has to be."""
        missing = any(array.missing for array in self.arrays) and not self.missing_chunks_allowed
        damaged = any(array.damaged for array in self.arrays)
        return not (missing or damaged or self.without_metadata)


async def check_dataset(store: FsspecStore, *, allow_missing_chunks: bool = False) -> Report:
    """Compare the chunks of every array in a store with what its metadata says.

    Parameters
    ----------
    store : FsspecStore
        A zarr v3 group or array at its root.
    allow_missing_chunks : bool, optional
        Count a missing chunk without calling the data set incomplete: zarr reads it as fill
        values, and writers may leave chunks out that hold nothing else.

    Returns
    -------
    Report
        One entry per array, and whether the data set is complete.

    Raises
    ------
    UnsupportedMetadataError
        When there is no zarr v3 metadata, or metadata that cannot be judged.
    StoreError
        When the store cannot be read.
    """
    report = Report(store.url, [], [], allow_missing_chunks)
    async for path, metadata in walk(store):
        if metadata is None:
            report.without_metadata.append(path)
        elif metadata["node_type"] == "array":
            report.arrays.append(await check_array(store, path, metadata))
    report.arrays.sort(key=lambda array: array.path)
    report.without_metadata.sort()
    return report


async def walk(store: FsspecStore) -> AsyncIterator[tuple[str, dict[str, Any] | None]]:
    """Yield the path and metadata of every group and array, ``None`` where they are lost."""
    [(_, root)] = await read_nodes(store, [""])
    if root is None:
        found = "it is empty" if await store.is_empty("") else "it has no zarr.json"
        raise UnsupportedMetadataError(f"{store.url} is not a zarr v3 data set: {found}")
    waiting: list[tuple[str, dict[str, Any] | None]] = [("", root)]
    while waiting:
        path, metadata = waiting.pop()
        if metadata is not None:
            yield path, metadata
            if metadata["node_type"] == "group":
                names = [name async for name in store.list_dir(path) if name != "zarr.json"]
                waiting += await read_nodes(store, [join(path, name) for name in sorted(names)])
        elif not await store.is_empty(path):
            # A name that holds nothing is a key beside the nodes, such as a README.
            yield path, None


async def read_nodes(
    store: FsspecStore, paths: Sequence[str]
) -> list[tuple[str, dict[str, Any] | None]]:
    """Read the metadata at many paths at once."""
    keys = [join(path, "zarr.json") for path in paths]
    values = await store.get_partial_values(None, [(key, None) for key in keys])
    return [
        (path, None if value is None else parse_metadata(key, value.to_bytes()))
        for path, key, value in zip(paths, keys, values, strict=True)
    ]


async def check_array(store: FsspecStore, path: str, metadata: Mapping[str, Any]) -> ArrayReport:
    """Compare what is listed below an array with the keys of its chunk grid."""
    report = ArrayReport(path or "/")
    bounds = size_bounds(metadata)
    below = f"{path}/" if path else ""
    sizes = {key: size async for key, size in store.list_sizes(below)}
    for name in parse_grid(metadata).all_keys():
        key = join(path, name)
        report.expected += 1
        if key in sizes:
            report.add(key, sizes[key], bounds)
        else:
            report.add_missing(key)
    return report


def size_bounds(metadata: Mapping[str, Any]) -> SizeBounds:
    """The sizes a chunk of this array can have; nothing is known of codecs that are not read."""
    try:
        dtype = parse_data_type(metadata["data_type"])
        codecs = parse_codecs(metadata["codecs"], parse_grid(metadata).chunks, dtype)
    except UnsupportedMetadataError:
        return SizeBounds(1, None)
    if isinstance(codecs, ShardCodecs):
        return SizeBounds(codecs.index_size, None)
    return SizeBounds(codecs.encoded_size or 1, codecs.encoded_size)


def format_report(report: Report, columns: Sequence[str] = COLUMNS) -> str:
    """A table of the arrays, and below it what is wrong with each."""
    rows = [[format_cell(array, column) for column in columns] for array in report.arrays]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in (columns, *rows)
    ]
    for array in report.arrays:
        lines += [f"missing: {key}" for key in array.first_missing]
        lines += [f"damaged: {key}" for key in array.first_damaged]
        unnamed = array.missing + array.damaged
        unnamed -= len(array.first_missing) + len(array.first_damaged)
        if unnamed:
            lines.append(f"... and {unnamed:,} more in {array.path}")
    lines += [f"no zarr.json: {path}" for path in report.without_metadata]
    lines.append("complete" if report.complete else "INCOMPLETE")
    return "\n".join(lines)


def format_cell(array: ArrayReport, column: str) -> str:
    value = array.path if column == "array" else getattr(array, column)
    return f"{value:,}" if isinstance(value, int) else value or "?"


async def _run(given: argparse.Namespace) -> int:
    storage_options = dict(given.option)
    async with FsspecStore.from_url(given.url, storage_options, read_only=True) as store:
        report = await check_dataset(store, allow_missing_chunks=given.allow_missing_chunks)
    if given.json:
        print(json.dumps({"complete": report.complete, **asdict(report)}, indent=2))
    else:
        print(format_report(report))
    return 0 if report.complete else 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fail when a zarr v3 data set is incomplete.")
    parser.add_argument("url")
    parser.add_argument(
        "--option", action="append", default=[], type=parse_option, metavar="NAME=VALUE"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--allow-missing-chunks", action="store_true", help="count missing chunks, but do not fail"
    )
    given = parser.parse_args(arguments)
    try:
        return asyncio.run(_run(given))
    except Exception as error:
        # Whatever it was, nothing was judged: Python's own exit code of 1 would say "incomplete".
        print("error:", *str(error).split(), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
