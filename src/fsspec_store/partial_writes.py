"""Writes of parts of values: what a value is after them, and no other writer's change undone.

Knows backends, and nothing of stores.
"""

from __future__ import annotations

import asyncio
from operator import index
from typing import TYPE_CHECKING, Any, TypeAlias

from .buffer import as_view
from .keys import check_key
from .retries import CHANCE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .backends.base import Backend

__all__ = ["WRITE_TRIES", "Parts", "group_writes", "patched", "write_parts"]

#: Parts to be written into one value, by their start.
Parts: TypeAlias = list[tuple[int, memoryview]]

#: Files and objects end far below it; Python's own bytes cannot be longer.
_MAX_START = 2**62

#: Of many writers of one key each round lets one through.
WRITE_TRIES = 200


def group_writes(key_start_values: Iterable[tuple[str, int, Any]]) -> dict[str, Parts]:
    """The writes of each key, sorted by start.

    Raises
    ------
    TypeError
        When a start is not an integer, or what is written is not bytes.
    ValueError
        When a key is none, a start is negative, or two writes of one key overlap.
    """
    writes: dict[str, Parts] = {}
    for key, start, value in key_start_values:
        if index(start) < 0:
            raise ValueError(f"a part of {key!r} starts at {start}, before the value")
        if index(start) > _MAX_START:
            raise ValueError(f"a part of {key!r} starts at {start}, further than any value reaches")
        writes.setdefault(check_key(key), []).append((index(start), as_view(value)))
    for key, parts in writes.items():
        parts.sort(key=lambda part: (part[0], part[1].nbytes))
        end = 0
        for start, data in parts:
            if start < end and data.nbytes:
                raise ValueError(f"parts of {key!r} overlap at byte {start}")
            end = max(end, start + data.nbytes)
    return writes


def patched(old: memoryview | None, parts: Parts) -> bytearray:
    """The value after its parts were overwritten; zeros where it was never written.

    Parameters
    ----------
    old : memoryview or None
        The value before, ``None`` when there was none.
    parts : list of (int, memoryview)
        Starts and bytes, as `group_writes` returns them. Writing no bytes changes nothing.
    """
    value = bytearray(old or b"")
    for start, data in parts:
        if not data.nbytes:
            continue
        missing = start + data.nbytes - len(value)
        if missing > 0:
            value.extend(bytes(missing))
        value[start : start + data.nbytes] = data
    return value


async def write_parts(backend: Backend, path: str, parts: Parts) -> bool:
    """Read a value, overwrite its parts, and write it, as often as other writers get in between.

    Parameters
    ----------
    backend : Backend
        Reads and writes.
    path : str
        Of the value.
    parts : list of (int, memoryview)
        As `group_writes` returns them.

    Returns
    -------
    bool
        False when others changed it `WRITE_TRIES` times.
    """
    for attempt in range(WRITE_TRIES):
        if await _try_to_write(backend, path, parts):
            return True
        # Whoever else writes parts of this value got in between: let them finish.
        await asyncio.sleep(CHANCE.uniform(0, min(0.01 * 2**attempt, 1)))
    return False


async def _try_to_write(backend: Backend, path: str, parts: Parts) -> bool:
    """As `write_parts`, once; false when another writer got in between."""
    if backend.supports_replace:
        try:
            found = await backend.read_version(path)
            if found is None:
                return await backend.create(path, memoryview(patched(None, parts)))
            data, version = found
            value = memoryview(patched(memoryview(data), parts))
            return await backend.replace(path, value, version)
        except NotImplementedError:
            # Found out just now.
            if backend.supports_replace and backend.supports_atomic_create:
                raise
    found_data = await backend.read(path, None)
    old = None if found_data is None else memoryview(found_data)
    await backend.write(path, memoryview(patched(old, parts)))
    return True
