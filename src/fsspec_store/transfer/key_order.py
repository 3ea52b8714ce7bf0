"""The order in which keys are copied and deleted, so that no reader opens incomplete data.

A zarr node is visible as soon as its metadata exists. Chunks are copied first, then metadata from
the leaves to the root, and consolidated metadata last at each level (zarr specification version 2
and 3, "Stores"). Deletes run the other way round.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ROOT_METADATA", "Rank", "parents", "rank"]

#: Names of metadata. ``.zattrs`` precedes the key that makes the node visible, and consolidated
#: metadata is the last.
_METADATA = {".zattrs": 0, ".zarray": 1, ".zgroup": 1, "zarr.json": 1, ".zmetadata": 2}
#: Patterns of the metadata of the root.
ROOT_METADATA = tuple(f"/{name}" for name in _METADATA)


class Rank(NamedTuple):
    """Position of a key in a transfer: smaller ones are copied first and deleted last."""

    #: Whether the key is metadata of a zarr node.
    is_metadata: bool
    #: Number of ``/`` in the key, negative, of metadata; 0 of chunks.
    level: int
    #: Position within the metadata of one node.
    within: int

    @property
    def is_root(self) -> bool:
        """Whether the key is metadata of the store's root."""
        return self.is_metadata and self.level == 0


_CHUNK = Rank(is_metadata=False, level=-(2**31), within=0)


def rank(key: str) -> Rank:
    """Return the position of a key. Keys of equal rank may be copied in any order."""
    name = key.rpartition("/")[2]
    within = _METADATA.get(name)
    if within is None:
        return _CHUNK
    return Rank(is_metadata=True, level=-key.count("/"), within=within)


def parents(key: str) -> list[str]:
    """Return the prefixes of the nodes above a key: ``""`` is the root, others end in ``/``."""
    parts = key.split("/")[:-1]
    return ["".join(f"{part}/" for part in parts[:count]) for count in range(len(parts) + 1)]
