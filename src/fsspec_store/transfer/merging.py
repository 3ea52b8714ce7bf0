"""Two listings side by side."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from ..errors import BackendError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .._store.entries import Entry

__all__ = ["Pair", "merged"]

#: A key of either listing, with its entry in the source and in the target.
Pair = tuple["Entry | None", "Entry | None"]


async def merged(
    source: AsyncGenerator[Entry, None], target: AsyncGenerator[Entry, None]
) -> AsyncGenerator[Pair, None]:
    """Yield each key of two listings once, with the entries of both.

    Memory does not grow with the number of keys.

    Raises
    ------
    BackendError
        When a listing is not in the order of the keys' bytes: the difference would be wrong.
    """
    async with (
        aclosing(_ascending(source, "source")) as ours,
        aclosing(_ascending(target, "target")) as theirs,
    ):
        left, right = await anext(ours, None), await anext(theirs, None)
        while left is not None or right is not None:
            if right is None or (left is not None and _less(left, right)):
                yield left, None
                left = await anext(ours, None)
            elif left is None or _less(right, left):
                yield None, right
                right = await anext(theirs, None)
            else:
                yield left, right
                left, right = await anext(ours, None), await anext(theirs, None)


async def _ascending(
    entries: AsyncGenerator[Entry, None], which: str
) -> AsyncGenerator[Entry, None]:
    last: Entry | None = None
    async with aclosing(entries):
        async for entry in entries:
            if last is not None and not _less(last, entry):
                raise BackendError(
                    f"the listing of the {which} has {entry.key!r} after {last.key!r}: it is not "
                    "in the order of the keys' bytes",
                    key=entry.key,
                )
            yield entry
            last = entry


def _less(one: Entry, other: Entry) -> bool:
    # UTF-8 has the order of the code points, in which str compares.
    return one.key < other.key
