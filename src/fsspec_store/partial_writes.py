"""Writes of parts of values: which belong together, and what a value is after them.

Pure functions, no I/O.
"""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any

from .buffer import as_view
from .keys import check_key

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["group_writes", "patched"]


def group_writes(
    key_start_values: Iterable[tuple[str, int, Any]],
) -> dict[str, list[tuple[int, memoryview]]]:
    """The writes of each key, sorted by start.

    Raises
    ------
    TypeError
        When a start is not an integer, or what is written is not bytes.
    ValueError
        When a key is none, a start is negative, or two writes of one key overlap.
    """
    writes: dict[str, list[tuple[int, memoryview]]] = {}
    for key, start, value in key_start_values:
        if index(start) < 0:
            raise ValueError(f"a part of {key!r} starts at {start}, before the value")
        writes.setdefault(check_key(key), []).append((index(start), as_view(value)))
    for key, parts in writes.items():
        parts.sort(key=lambda part: (part[0], part[1].nbytes))
        end = 0
        for start, data in parts:
            if start < end and data.nbytes:
                raise ValueError(f"parts of {key!r} overlap at byte {start}")
            end = max(end, start + data.nbytes)
    return writes


def patched(old: memoryview | None, parts: list[tuple[int, memoryview]]) -> bytearray:
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
