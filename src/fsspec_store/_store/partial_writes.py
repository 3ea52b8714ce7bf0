"""Writes of parts of values that keep the changes of concurrent writers.

Knows backends, and no stores.
"""

from __future__ import annotations

import asyncio
from operator import index
from typing import TYPE_CHECKING, Any, TypeAlias

from .._http.retry_policy import JITTER
from .buffer import as_view
from .keys import check_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._backends.base import Backend

__all__ = ["WRITE_ATTEMPTS", "Parts", "group_writes", "patched", "write_parts"]

#: Parts to write into one value: first byte and new bytes.
Parts: TypeAlias = list[tuple[int, memoryview]]

#: Above the maximum size of files, objects and Python's ``bytes``.
_MAX_START = 2**62

#: Attempts to write the parts of one key. Of concurrent writers one succeeds in each round.
WRITE_ATTEMPTS = 200


def group_writes(key_start_values: Iterable[tuple[str, int, Any]]) -> dict[str, Parts]:
    """The writes of each key, sorted by start. Raises when two parts of one key overlap."""
    writes: dict[str, Parts] = {}
    for key, start, value in key_start_values:
        if index(start) < 0:
            raise ValueError(f"a part of {key!r} starts at {start}: a start must be >= 0")
        if index(start) > _MAX_START:
            raise ValueError(f"a part of {key!r} starts at {start}, above the maximum size")
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
    """The value after its parts were overwritten. Gaps are filled with zeros.

    ``old`` is ``None`` when the key was missing. A part without bytes changes nothing.
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
    """Read a value, overwrite its parts and write it; again when another writer changed it.

    Returns false when other writers changed the value in each of `WRITE_ATTEMPTS` attempts.
    """
    for attempt in range(WRITE_ATTEMPTS):
        if await _try_to_write(backend, path, parts):
            return True
        # Another writer changed the value. A random delay separates the writers.
        await asyncio.sleep(JITTER.uniform(0, min(0.01 * 2**attempt, 1)))
    return False


async def _try_to_write(backend: Backend, path: str, parts: Parts) -> bool:
    """Write the parts once; false when another writer changed the value meanwhile."""
    if backend.supports_replace:
        try:
            found = await backend.read_version(path)
            if found is None:
                return await backend.create(path, memoryview(patched(None, parts)))
            data, version = found
            value = memoryview(patched(memoryview(data), parts))
            return await backend.replace(path, value, version)
        except NotImplementedError:
            # This request has shown that the service ignores conditions.
            if backend.supports_replace and backend.supports_atomic_create:
                raise
    found_data = await backend.read(path, None)
    old = None if found_data is None else memoryview(found_data)
    await backend.write(path, memoryview(patched(old, parts)))
    return True
