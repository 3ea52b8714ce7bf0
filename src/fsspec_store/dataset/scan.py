"""One pass over the listing of a data set: which node each key belongs to."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from .array_scan import MAX_CHUNKS, ArrayScan, Shard
from .errors import DatasetError, UnsupportedMetadataError
from .findings import Findings
from .metadata import ArrayMetadata, GroupMetadata
from .nodes import METADATA_NAMES, Node, Nodes, join

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from .._store.contract import Store
    from .findings import Kind

__all__ = ["Scan"]

#: Keys that are processed at once.
_PAGE_KEYS = 4096


class _Run(NamedTuple):
    """Consecutive keys of one node: chunks of an array, or one other key."""

    node: Node
    array: ArrayScan | None
    start: int
    stop: int
    text: str


class Scan:
    """What a listing shows of a data set.

    Parameters
    ----------
    store : Store
        The store.
    root : str
        Path of the data set.
    reads_indexes : bool
        Whether the indexes of shards will be read.
    """

    def __init__(self, store: Store, root: str, *, reads_indexes: bool) -> None:
        self._store = store
        self._reads_indexes = reads_indexes
        self._root = root
        self.nodes = Nodes(store, root)
        self.findings = Findings()
        self.arrays: dict[str, ArrayScan] = {}
        #: Listed keys of ``.zattrs`` and ``.zmetadata``.
        self.v2_documents: list[str] = []
        self.keys = 0
        self.chunks = 0
        self.bytes: int | None = 0

    def relative(self, path: str) -> str:
        """The path of a node in the data set."""
        return path[len(join(self._root, "")) :]

    async def pages(self) -> AsyncGenerator[list[Shard], None]:
        """List all keys. Yields the shards of each page whose indexes are to be read."""
        await self.nodes.open()
        async with aclosing(_pages(self._store, join(self._root, ""))) as pages:
            async for keys, sizes in pages:
                yield await self._add(keys, sizes)
        self._add_nodes()

    async def _add(self, keys: Sequence[str], sizes: Sequence[int | None]) -> list[Shard]:
        self.keys += len(keys)
        if None in sizes or self.bytes is None:
            self.bytes = None
        else:
            self.bytes += sum(size for size in sizes if size is not None)
        text = "\n".join(keys) + "\n"
        if text.count("\n") != len(keys):
            # Keys with newlines are not of chunks. They have no NUL.
            text = "\n".join(key.replace("\n", "\0") for key in keys) + "\n"
        runs, unknown = self._runs(keys, text)
        while unknown:
            await self.nodes.look_up(unknown)
            runs, unknown = self._runs(keys, text)
        shards = []
        for node, array, start, stop, part in runs:
            if array is None:
                self._add_other(node, keys[start])
            else:
                self.chunks += stop - start
                shards += array.add(part, keys[start:stop], sizes[start:stop])
        return shards

    def _runs(self, keys: Sequence[str], text: str) -> tuple[list[_Run], set[str]]:
        """Assign keys to nodes. The second result is the paths to look up first."""
        runs: list[_Run] = []
        unknown: set[str] = set()
        place = position = 0
        while place < len(keys):
            node = self.nodes.owner(keys[place], unknown)
            if isinstance(node, str):
                below = f"{node}/"
                while place < len(keys) and keys[place].startswith(below):
                    position += len(keys[place]) + 1
                    place += 1
                continue
            array = self._array(node)
            end = position if array is None else array.end_of_run(text, position)
            if end > position:
                stop = place + text.count("\n", position, end)
                runs.append(_Run(node, array, place, stop, text[position:end]))
            else:
                stop, end = place + 1, position + len(keys[place]) + 1
                runs.append(_Run(node, None, place, stop, ""))
            place, position = stop, end
        return runs, unknown

    def _array(self, node: Node) -> ArrayScan | None:
        """The scan of a node, ``None`` if it is no array that can be checked."""
        if node.path in self.arrays:
            return self.arrays[node.path]
        metadata = node.metadata
        if not isinstance(metadata, ArrayMetadata):
            return None
        if metadata.grid.count > MAX_CHUNKS:
            reason = f"a grid of {metadata.grid.count} chunks is not supported"
            node.metadata = UnsupportedMetadataError(reason, key=node.path)
            return None
        scan = ArrayScan(
            node.path,
            self.relative(node.path),
            metadata,
            self.findings,
            reads_indexes=self._reads_indexes,
        )
        self.arrays[node.path] = scan
        return scan

    def _add_other(self, node: Node, key: str) -> None:
        """Count a key that is not of a chunk."""
        name = key[len(join(node.path, "")) :]
        if name in METADATA_NAMES:
            if name in (".zattrs", ".zmetadata") and self.nodes.zarr_format == 2:
                self.v2_documents.append(key)
        elif isinstance(node.metadata, ArrayMetadata | GroupMetadata):
            self.findings.add("unknown_key", self.relative(node.path), key)

    def _add_nodes(self) -> None:
        """Find metadata that is missing or cannot be read."""
        for node in sorted(self.nodes, key=lambda node: node.path):
            parent = node.parent
            if isinstance(node.metadata, DatasetError):
                error = node.metadata
                unsupported = isinstance(error, UnsupportedMetadataError)
                kind: Kind = "unsupported_metadata" if unsupported else "invalid_metadata"
                key = error.key or node.path
                self.findings.add(kind, self.relative(node.path), key, error.reason)
            elif node.metadata is None and parent is not None and parent.metadata is not None:
                path = self.relative(parent.path)
                self.findings.add("no_metadata", path, node.path, "keys without metadata")


async def _pages(
    store: Store, prefix: str
) -> AsyncGenerator[tuple[list[str], list[int | None]], None]:
    """The keys and sizes of a listing, many at once."""
    keys: list[str] = []
    sizes: list[int | None] = []
    async with aclosing(store.list_sizes(prefix)) as entries:
        async for key, size in entries:
            keys.append(key)
            sizes.append(size)
            if len(keys) == _PAGE_KEYS:
                yield keys, sizes
                keys, sizes = [], []
    if keys:
        yield keys, sizes
