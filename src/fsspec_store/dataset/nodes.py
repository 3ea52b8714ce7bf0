"""The groups and arrays of a data set, found by the prefixes of its keys.

Knows where metadata is, and no chunks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .errors import DatasetError, InvalidMetadataError
from .metadata import ArrayMetadata, GroupMetadata, parse_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._store.contract import Store

__all__ = ["METADATA_NAMES", "Node", "Nodes", "join", "read_many"]

#: Last segments of keys with metadata.
METADATA_NAMES: Final = frozenset({"zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"})

#: The documents that are nodes, by the zarr format. The first one that a prefix has counts.
_NODE_NAMES: Final = {3: ("zarr.json",), 2: (".zarray", ".zgroup")}

#: Prefixes that are looked up below one without metadata: they may be those of many chunks.
_MAX_LOOKUPS: Final = 200

#: Values that are read at once.
_BATCH = 500


def join(path: str, name: str) -> str:
    """The key of a name below a path; the path of the root is ``""``."""
    return f"{path}/{name}" if path else name


async def read_many(store: Store, keys: Iterable[str]) -> dict[str, bytes]:
    """The values of keys. Those that are missing are left out."""
    keys = list(keys)
    found: dict[str, bytes] = {}
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        values = await store.get_partial_values(None, [(key, None) for key in batch])
        pairs = zip(batch, values, strict=True)
        found.update((key, value.to_bytes()) for key, value in pairs if value is not None)
    return found


@dataclass
class Node:  # numpydoc ignore=PR02
    """A group, an array, or a prefix that is neither.

    Parameters
    ----------
    path : str
        Relative to the store's root.
    metadata : ArrayMetadata, GroupMetadata, DatasetError or None
        ``None`` for a prefix without metadata; the error of metadata that cannot be read.
    documents : dict
        The values that were read, by the last segment of their key.
    parent : Node or None
        ``None`` for the root of the data set.
    lookups : int
        Number of prefixes below that were looked up, if it has no metadata.
    """

    path: str
    metadata: ArrayMetadata | GroupMetadata | DatasetError | None
    documents: dict[str, bytes] = field(default_factory=dict)
    parent: Node | None = None
    lookups: int = 0

    @property
    def may_have_children(self) -> bool:
        """Whether nodes may be below: it is a group, or a prefix without metadata."""
        return self.metadata is None or isinstance(self.metadata, GroupMetadata)


class Nodes:
    """The nodes of a data set that are known so far.

    A prefix is looked up once, when a listed key has it. So there is one request for each node of
    zarr v3, and two for each of zarr v2.

    Parameters
    ----------
    store : Store
        The store.
    root : str
        Path of the root of the data set.
    """

    def __init__(self, store: Store, root: str) -> None:
        self._store = store
        self._known: dict[str, Node] = {}
        self.root = Node(root, None)
        self.zarr_format = 3

    def __iter__(self) -> Iterator[Node]:
        return iter(self._known.values())

    def get(self, path: str) -> Node | None:
        """The known node at a path."""
        return self._known.get(path)

    async def open(self) -> None:
        """Read the metadata of the root, which determines the format of all nodes."""
        path = self.root.path
        for self.zarr_format in _NODE_NAMES:
            await self.look_up([path])
            self.root = self._known[path]
            if isinstance(error := self.root.metadata, DatasetError):
                raise error
            if self.root.metadata is not None:
                return
        where = f"{self._store!r} at {path!r}" if path else repr(self._store)
        if await self._store.is_empty(path):
            raise InvalidMetadataError(f"{where} is not a zarr data set: it is empty", key=path)
        raise InvalidMetadataError(
            f"{where} is not a zarr data set: it has no zarr.json, .zarray or .zgroup", key=path
        )

    async def look_up(self, paths: Iterable[str]) -> None:
        """Read the metadata at paths whose parents are known."""
        paths = list(paths)
        names = _NODE_NAMES[self.zarr_format]
        found = await read_many(self._store, [join(path, name) for path in paths for name in names])
        for path in paths:
            parent = None if path == self.root.path else self._known.get(path.rpartition("/")[0])
            node = self._known[path] = Node(path, None, parent=parent or None)
            for name in names:
                key = join(path, name)
                if key in found:
                    node.documents[name] = found[key]
                    try:
                        node.metadata = parse_metadata(key, found[key])
                    except DatasetError as error:
                        node.metadata = error.with_traceback(None)
                    break

    def owner(self, key: str, unknown: set[str]) -> Node | str:
        """The deepest node or prefix that a key belongs to.

        Or a path that must be looked up first, which is then also in ``unknown``.
        """
        node = self.root
        lost: Node | None = None
        start = len(node.path) + 1 if node.path else 0
        while node.may_have_children:
            slash = key.find("/", start)
            if slash < 0:
                break
            path = key[:slash]
            if node.metadata is None:
                lost = lost or node
                # The chunks of an array without metadata.
                if key[start:slash] == "c":
                    break
            child = self._known.get(path)
            if child is None:
                if path not in unknown and lost is not None:
                    if lost.lookups == _MAX_LOOKUPS:
                        break
                    lost.lookups += 1
                unknown.add(path)
                return path
            node, start = child, slash + 1
        return node
