"""A listing by several workers of a cluster, in the order of the keys' bytes.

The keys are split into ranges. Any text may be the end of a range, so a split is right for all
keys. Names of prefixes make ranges of similar sizes. A range of too many keys is split again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from .cluster_tasks import list_keys

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from .._runtime.cluster import Cluster
    from .._store.entries import Entry
    from .._store.store_listing import ListableStore

__all__ = ["split_listing"]

#: Number of keys that the client lists alone, and then the most that one task lists.
_KEYS_OF_TASK = 10_000
#: Number of ranges of one split, and of those that are listed at once: their entries are in memory.
_RANGES = 16
#: Number of names of one prefix that are read for a split.
_NAMES = 1000


@dataclass(eq=False)
class _Range:
    """Keys after ``after``, up to and including ``stop``; without end if that is ``None``."""

    after: str
    stop: str | None
    listing: asyncio.Task[tuple[list[Entry], list[str]]] | None = None


async def split_listing(
    cluster: Cluster,
    store: ListableStore,
    *,
    is_source: bool,
    on_left_out: Callable[[str], object] | None = None,
    keys_of_task: int = _KEYS_OF_TASK,
) -> AsyncGenerator[Entry, None]:
    """Yield the entries of a store, which is the source or the target of the cluster's transfer.

    The client lists the first keys, all keys of a store that does not list in order, and those of
    local files, which are read folder by folder.
    """
    note = on_left_out or _ignore
    count, last = 0, ""
    left_out: list[str] = []
    async with aclosing(store.list_entries(on_left_out=left_out.append)) as entries:
        async for entry in entries:
            yield entry
            count += 1
            if count >= keys_of_task and store.lists_in_order and not store.reads_locally:
                last = entry.key
                break
    for name in left_out:
        # A worker finds those that follow again.
        if not last or name < last:
            note(name)
    if not last:
        return
    ranges = deque(await _split(store, _Range(last, None)))
    try:
        while ranges:
            for each in islice(ranges, _RANGES):
                if each.listing is None:
                    work = cluster.run(list_keys, is_source, each.after, each.stop, keys_of_task)
                    each.listing = asyncio.create_task(work)
            first = ranges[0]
            assert first.listing is not None
            found, left_out = await first.listing
            ranges.popleft()
            for name in left_out:
                note(name)
            for entry in found:
                yield entry
            if len(found) == keys_of_task:
                ranges.extendleft(reversed(await _split(store, _Range(found[-1].key, first.stop))))
    finally:
        running = [each.listing for each in ranges if each.listing is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _ignore(name: str) -> None:
    """Nothing is noted of the target."""


async def _split(store: ListableStore, keys: _Range) -> list[_Range]:
    """Consecutive ranges of the same keys."""
    ends: set[str] = set()
    names = keys.after.split("/")
    # From the root on: the names of a prefix above split more keys than those of one below.
    for depth, name in enumerate(names):
        prefix = "".join(f"{above}/" for above in names[:depth])
        for following in await _following(store, prefix, name):
            end = prefix + following
            if end > keys.after and (keys.stop is None or end < keys.stop):
                ends.add(end)
        if len(ends) >= _RANGES:
            break
    chosen = sorted(ends)
    step = -(-len(chosen) // _RANGES) or 1
    points = [keys.after, *chosen[step - 1 :: step]]
    stops = [*points[1:], keys.stop]
    return [_Range(*each) for each in zip(points, stops, strict=True)]


async def _following(store: ListableStore, prefix: str, name: str) -> list[str]:
    """Names directly below a prefix; of a prefix with many names, texts that are between them."""
    found: list[str] = []
    async with aclosing(store.list_dir(prefix)) as names:
        async for each in names:
            found.append(each)
            if len(found) > _NAMES:
                break
    if len(found) <= _NAMES:
        return found
    # Many names are numbers, or hexadecimal.
    characters = "0123456789" + ("abcdef" if set("abcdef") & set(name) else "")
    return [
        name[:place] + character
        for place, current in enumerate(name)
        for character in characters
        if character > current
    ]
