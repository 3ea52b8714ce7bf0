"""Runs the operations of a plan in an order that is safe for readers."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from .._runtime.concurrency import for_each
from ..errors import StoreError, VersionMismatchError
from .key_order import parents, rank
from .memory import DEFAULT_BYTES, Memory, reads_whole
from .operations import Operation, State
from .planning import described
from .refusals import check_deletes
from .results import Failure, Result
from .spool import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .._store.contract import Store
    from .._store.entries import Entry
    from .planning import Differences

__all__ = ["Applying", "check_states", "current_entry", "run_operation"]

#: Number of keys that are deleted in bulk, and of such batches at once.
_BATCH = 1000
_BATCHES = 4


class Applying:
    """Copies and deletes keys.

    Parameters
    ----------
    check_states : bool
        Whether the source and the target must be as the operation states, which costs one listing
        request for each.
    fail_fast : bool
        Whether the first failure is raised.
    """

    def __init__(
        self,
        source: Store | None,
        target: Store,
        *,
        result: Result,
        concurrency: int,
        memory: Memory | None = None,
        check_states: bool = False,
        fail_fast: bool = False,
        on_progress: Callable[[Result], object] | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._result = result
        self._concurrency = concurrency
        self._memory = memory or Memory(DEFAULT_BYTES)
        self._check_states = check_states
        self._fail_fast = fail_fast
        self._on_progress = on_progress
        self._copies, self._deletes = Waiting(), Waiting()
        #: Prefixes below which a copy failed.
        self._incomplete: set[str] = set()

    @property
    def deletes(self) -> int:
        """Number of deletes that wait."""
        return len(self._deletes)

    async def take(self, operation: Operation) -> None:
        """Copy a chunk now. Metadata and deletes wait."""
        if not self._waits(operation):
            await self._run(operation)

    async def take_planned(self, operations: Iterable[Operation]) -> None:
        """Take all operations of a plan."""
        await for_each(self.take, operations, limit=self._concurrency)

    async def take_differences(self, differences: Differences) -> None:
        """Take all operations of two stores while they are found."""
        await differences.visit(self.take, concurrency=self._concurrency)

    async def copy_metadata(self, *, of_root: bool) -> None:
        """Copy the metadata of the root, or all other metadata, from the leaves on."""
        for position, operations in self._copies.in_order():
            if position.is_root == of_root:
                await self._run_all(filter(self._is_complete, operations))

    def hold_root_back(self) -> None:
        """Do not copy the metadata of the root."""
        self._incomplete.add("")

    async def finish_deletes(self, *, keys: int, max_delete: float) -> None:
        """Delete metadata from the root to the leaves, and chunks last, unless a copy failed.

        Raises `RefusedError` for too many deletes; see `check_deletes`.
        """
        if self._result.failed or self._result.held_back:
            self._result.deletes_skipped = self.deletes
            return
        check_deletes(self.deletes, keys, max_delete)
        for _, operations in self._deletes.in_order(reverse=True):
            await self._delete_all(operations)

    def close(self) -> None:
        """Forget the operations that wait."""
        self._copies.close()
        self._deletes.close()

    def _waits(self, operation: Operation) -> bool:
        """Put metadata and deletes aside; ``False`` for the copy of a chunk."""
        position = rank(operation.key)
        if operation.action == "delete":
            self._deletes.add(position, operation)
        elif position.is_metadata:
            self._copies.add(position, operation)
        else:
            return False
        return True

    def _is_complete(self, operation: Operation) -> bool:
        """Whether all below the node of this metadata was copied; if not, it is held back."""
        node = operation.key.rpartition("/")[0]
        if (f"{node}/" if node else "") not in self._incomplete:
            return True
        self._result.held_back += 1
        self._result.add_not_copied(operation)
        return False

    async def _run_all(self, operations: Iterable[Operation]) -> None:
        await for_each(self._run, operations, limit=self._concurrency)

    async def _delete_all(self, operations: Iterable[Operation]) -> None:
        if self._check_states:
            await self._run_all(operations)
            return
        at_once = min(_BATCHES, self._concurrency)
        delete = partial(self._delete_batch, limit=self._concurrency // at_once)
        remaining = iter(operations)
        batches = iter(lambda: tuple(islice(remaining, _BATCH)), ())
        await for_each(delete, batches, limit=at_once)

    async def _delete_batch(self, operations: tuple[Operation, ...], *, limit: int) -> None:
        """Delete keys in bulk, and one by one if this fails, so that each failure is known."""
        try:
            await self._target._delete_many([each.key for each in operations], limit=limit)
        except (StoreError, OSError):
            await for_each(self._run, operations, limit=limit)
            return
        self._result.deleted += len(operations)
        if self._on_progress is not None:
            self._on_progress(self._result)

    async def _run(self, operation: Operation) -> None:
        failure: Exception | None = None
        try:
            if self._check_states:
                await check_states(self._source, self._target, operation)
            await run_operation(self._source, self._target, operation, self._memory)
        except (StoreError, OSError) as error:
            failure = error
        self._add(operation, failure)

    def _add(self, operation: Operation, failure: Exception | None) -> None:
        """Count an operation that was done, or failed."""
        result = self._result
        if failure is not None:
            if self._fail_fast:
                raise failure
            if operation.action == "copy":
                self._incomplete.update(parents(operation.key))
                result.add_not_copied(operation)
            result.add_failure(Failure(operation.key, operation.action, described(failure)))
        elif operation.action == "copy":
            result.copied += 1
            result.copied_bytes += operation.size
        else:
            result.deleted += 1
        if self._on_progress is not None:
            self._on_progress(result)


async def run_operation(
    source: Store | None, target: Store, operation: Operation, memory: Memory
) -> None:
    """Copy or delete a key."""
    if operation.action == "copy":
        assert source is not None
        version = None if operation.source is None else operation.source.version
        passes = not target._copies_on_service(source, operation.size)
        copies = reads_whole(source, version) + (not target._streams)
        async with memory.of_value(operation.size if passes else 0, copies=copies):
            await target.copy_from(source, operation.key, version=version)
    else:
        await target.delete(operation.key)


async def check_states(source: Store | None, target: Store, operation: Operation) -> None:
    """Raise `VersionMismatchError` when a store is not as an operation states."""
    expected = [(target, operation.target)]
    if operation.action == "copy":
        assert source is not None
        expected.insert(0, (source, operation.source))
    for store, state in expected:
        if State.of(await current_entry(store, operation.key)) != state:
            raise VersionMismatchError(
                f"{operation.key!r} in {store!r} has changed since the plan was made",
                key=operation.key,
            )


async def current_entry(store: Store, key: str) -> Entry | None:
    """What a listing shows of a key now; ``None`` if it is missing."""
    async with aclosing(store.list_entries(key)) as entries:
        entry = await anext(entries, None)
    return entry if entry is not None and entry.key == key else None
