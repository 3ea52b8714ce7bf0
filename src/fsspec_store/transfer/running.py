"""Runs one operation, and finds out whether an earlier run has done it."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from ..errors import VersionMismatchError
from .comparing import Comparison
from .memory import Memory, reads_whole
from .operations import Operation, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._store.contract import Store
    from .._store.entries import Entry

__all__ = ["current_entry", "is_done", "is_done_as_planned", "run_operation"]


async def run_operation(
    source: Store | None,
    target: Store,
    operation: Operation,
    memory: Memory,
    on_written: Callable[[int], object] | None = None,
) -> None:
    """Copy or delete a key. ``on_written`` gets the bytes so far of a value in parts."""
    if operation.action == "copy":
        assert source is not None
        state = operation.source
        version = None if state is None else state.version
        # Without a version, a file that another program writes again may be empty now.
        size = state.size if state is not None and version is None else None
        passing = operation.size
        if memory.counts(passing) and target._copies_on_service(source, passing):
            passing = 0
        copies = reads_whole(source, version) + (not target._streams)
        async with memory.of_value(passing, copies=copies):
            await target._copy(source, operation.key, operation.key, version, size, on_written)
    else:
        target._check_no_links([operation.key])
        await target.delete(operation.key)


async def is_done_as_planned(
    source: Store | None, target: Store, operation: Operation, memory: Memory
) -> bool:
    """Whether an earlier run of a plan has done an operation.

    Raises `VersionMismatchError` if it has not, and a store is not as the operation states.
    """
    # A key that is to be deleted may be in the source again.
    entry = None if source is None else await current_entry(source, operation.key)
    found = await current_entry(target, operation.key)
    if State.of(entry) != operation.source:
        changed = source
    elif State.of(found) != operation.target:
        changed = target
    else:
        return False
    if await _has_done(source, target, operation, entry, found, memory):
        return True
    raise VersionMismatchError(
        f"{operation.key!r} in {changed!r} has changed since the plan was made", key=operation.key
    )


async def is_done(
    source: Store | None, target: Store, operation: Operation, memory: Memory
) -> bool:
    """Whether an earlier run has done an operation: its worker was lost."""
    found = await current_entry(target, operation.key)
    entry = None
    if operation.action == "copy" and found is not None:
        assert source is not None
        entry = await current_entry(source, operation.key)
    return await _has_done(source, target, operation, entry, found, memory)


async def _has_done(
    source: Store | None,
    target: Store,
    operation: Operation,
    entry: Entry | None,
    found: Entry | None,
    memory: Memory,
) -> bool:
    """Whether an operation explains the current entries of the source and of the target."""
    if operation.action == "delete":
        return found is None
    if entry is None or State.of(entry) != operation.source:
        return False
    if found is None or State.of(found) == operation.target:
        return False
    assert source is not None
    return await Comparison(source, target, "checksum", memory).difference(entry, found) is None


async def current_entry(store: Store, key: str) -> Entry | None:
    """What a listing shows of a key now; ``None`` if it is missing."""
    async with aclosing(store.list_entries(key)) as entries:
        entry = await anext(entries, None)
    return entry if entry is not None and entry.key == key else None
