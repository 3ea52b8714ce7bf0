"""Keys with their sizes, also where a service lists keys without sizes, and their details."""

from __future__ import annotations

from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .. import FsspecStore
    from ..contract import Entry

__all__ = ["described", "listed_sizes"]

#: Keys that are listed without a size are looked up in batches of this length.
_BATCH = 1000


def listed_sizes(store: FsspecStore, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Every key that starts with a prefix, with its size in bytes, as they are listed."""
    entries = store.sync.list_sizes(prefix)
    while batch := list(islice(entries, _BATCH)):
        unknown = [key for key, size in batch if size is None]
        found = dict(zip(unknown, _sizes_of(store, unknown), strict=True)) if unknown else {}
        for key, listed in batch:
            size = found[key] if listed is None else listed
            # A key without a size was deleted after it was listed.
            if size is not None:
                yield key, size


def described(entry: Entry | None) -> dict[str, Any]:
    """What a service states about a key, for JSON; ``None`` for what it does not state."""
    if entry is None:
        return {"size": None, "modified": None, "version": None, "checksums": {}}
    return {
        "size": entry.size,
        "modified": None if entry.modified is None else entry.modified.isoformat(),
        "version": entry.version,
        "checksums": {name: digest.hex() for name, digest in entry.checksums.items()},
    }


def _sizes_of(store: FsspecStore, keys: Iterable[str]) -> Sequence[int | None]:
    """The sizes of keys in bytes; ``None`` for a missing key."""
    import asyncio

    from ..errors import KeyNotFoundError

    async def size(key: str) -> int | None:
        try:
            return await store.getsize(key)
        except KeyNotFoundError:
            return None

    async def sizes() -> Sequence[int | None]:
        async with aclosing(store):
            return await asyncio.gather(*map(size, keys))

    return asyncio.run(sizes())
