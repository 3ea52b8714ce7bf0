"""Runs the operations of a plan in an order that is safe for readers."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from .._runtime.concurrency import for_each
from ..errors import KeyConflictError, StoreError
from .key_order import parents, rank
from .memory import DEFAULT_BYTES, Memory
from .outage import Outage
from .planning import described
from .results import Failure, Result
from .running import is_done_as_planned, run_operation
from .spool import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .._store.contract import Store
    from .operations import Operation
    from .planning import Differences

__all__ = ["Applying"]

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
    deletes : bool
        Whether keys of the target are deleted: `permit_deletes` is called after all are known.
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
        deletes: bool = False,
        on_progress: Callable[[Result], object] | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._result = result
        self._outage = Outage(result, source, target)
        self._concurrency = concurrency
        self._memory = memory or Memory(DEFAULT_BYTES)
        self._check_states = check_states
        self._fail_fast = fail_fast
        self._on_progress = on_progress
        self._copies, self._deletes = Waiting(), Waiting()
        #: Copies that failed by a file in the place of a folder, or the reverse. They are retried.
        self._conflicts: list[tuple[Operation, KeyConflictError]] = []
        self._retries_conflicts = self._has_deletes = deletes
        self._may_delete = False
        #: Prefixes below which a key could not be compared or copied.
        self._incomplete: set[str] = set()
        #: Bytes so far of the values in parts whose copy has not ended, by key.
        self._moving: dict[str, int] = {}

    @property
    def deletes(self) -> int:
        """Number of deletes that wait."""
        return len(self._deletes)

    async def take(self, operation: Operation, *, for_listing: bool = False) -> None:
        """Copy a chunk now, unless it waits for the end of the listings; all others wait."""
        if not self._waits(operation, for_listing=for_listing):
            await self._run(operation)

    async def take_planned(self, operations: Iterable[Operation]) -> None:
        """Take all operations of a plan."""
        await for_each(self.take, operations, limit=self._concurrency)

    async def take_differences(self, differences: Differences) -> None:
        """Take all operations of two stores while they are found.

        If keys are to be deleted, all operations wait: a transfer with too many deletes is refused
        before anything is copied.
        """
        differences.on_failure = self._note_failed_comparison
        take = partial(self.take, for_listing=self._has_deletes)
        await differences.visit(take, concurrency=self._concurrency)

    async def copy_waiting(self, *, of_root: bool) -> None:
        """Copy the metadata of the root; or else chunks, then other metadata from the leaves on.

        Chunks wait for the end of the listings if keys are to be deleted.
        """
        await self._resolve_conflicts()
        for position, operations in self._copies.in_order():
            if position.is_root == of_root:
                is_metadata = position.is_metadata
                await self._run_all(
                    filter(self._is_complete, operations) if is_metadata else operations
                )
                await self._resolve_conflicts()

    def permit_deletes(self) -> None:
        """Permit the deletes that wait. The caller has compared their number with the bound."""
        self._may_delete = True

    def hold_root_back(self) -> None:
        """Do not copy the metadata of the root."""
        self._incomplete.add("")

    async def finish_deletes(self) -> None:
        """Delete metadata from the root to the leaves, and chunks last, unless a copy failed."""
        if self._result.failed or self._result.held_back:
            self._result.deletes_skipped = self.deletes
            return
        for _, operations in self._deletes.in_order(reverse=True):
            await self._delete_all(operations)

    def close(self) -> None:
        """Forget the operations that wait."""
        self._copies.close()
        self._deletes.close()

    async def _resolve_conflicts(self) -> None:
        """Delete extra keys in the place of copies, and copy again, unless another copy failed."""
        conflicts, self._conflicts = self._conflicts, []
        if not conflicts:
            return
        self._retries_conflicts = False
        if self._may_delete and not (self._result.failed or self._result.held_back):
            await self._delete_in_place_of({operation.key for operation, _ in conflicts})
            await self._run_all([operation for operation, _ in conflicts])
        else:
            for operation, error in conflicts:
                self._add(operation, error)
        self._retries_conflicts = True

    async def _delete_in_place_of(self, keys: set[str]) -> None:
        """Delete the waiting keys that are above or below one of these."""
        above = {prefix[:-1] for key in keys for prefix in parents(key)}
        with closing(self._deletes) as waiting:
            self._deletes = Waiting()
            for position, operations in waiting.in_order(reverse=True):
                in_place: list[Operation] = []
                for each in operations:
                    if each.key in above or any(at[:-1] in keys for at in parents(each.key)):
                        in_place.append(each)
                    else:
                        self._deletes.add(position, each)
                await self._delete_all(in_place)

    def _note_failed_comparison(self, key: str, error: Exception) -> None:
        """Hold back the metadata above a key that could not be compared: it may differ."""
        if self._fail_fast:
            raise error
        self._incomplete.update(parents(key))

    def _waits(self, operation: Operation, *, for_listing: bool = False) -> bool:
        """Put an operation aside; ``False`` for the copy of a chunk, unless it waits too."""
        position = rank(operation.key)
        if operation.action == "delete":
            self._deletes.add(position, operation)
        elif position.is_metadata or for_listing:
            self._copies.add(position, operation)
        else:
            return False
        return True

    def _is_complete(self, operation: Operation) -> bool:
        """Whether no key below the node of this metadata failed; else it is held back."""
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
        if self._outage.is_stopped:
            self._result.not_tried += len(operations)
            return
        keys = [each.key for each in operations]
        try:
            self._target._check_no_links(keys)
            await self._target._delete_many(keys, limit=limit)
        except (StoreError, OSError):
            await for_each(self._run, operations, limit=limit)
            return
        self._outage.note(None, self._concurrency)
        self._result.deleted += len(operations)
        self._report()

    async def _run(self, operation: Operation) -> None:
        if self._outage.is_stopped:
            self._skip(operation)
            return
        outcome: Exception | bool = False
        try:
            if self._check_states:
                outcome = await is_done_as_planned(
                    self._source, self._target, operation, self._memory
                )
            if not outcome:
                await run_operation(
                    self._source,
                    self._target,
                    operation,
                    self._memory,
                    partial(self._note_written, operation.key)
                    if self._memory.counts(operation.size)
                    else None,
                )
        except (StoreError, OSError) as error:
            outcome = error
        self._add(operation, outcome)

    def _note_written(self, key: str, written: int) -> None:
        """Count the bytes so far of a value."""
        self._result.moving_bytes += written - self._moving.get(key, 0)
        self._moving[key] = written
        self._report()

    def _skip(self, operation: Operation) -> None:
        """Count an operation that is not tried, because the transfer has stopped."""
        self._result.not_tried += 1
        if operation.action == "copy":
            self._result.add_not_copied(operation)

    def _add(self, operation: Operation, outcome: Exception | bool) -> None:
        """Count an operation that failed or is done, by an earlier run if ``outcome`` is true."""
        failure = outcome if isinstance(outcome, Exception) else None
        result = self._result
        # An interruption does not get here: the bytes that were moved are in its totals.
        result.moving_bytes -= self._moving.pop(operation.key, 0)
        is_copy = operation.action == "copy"
        self._outage.note(failure, self._concurrency)
        if self._retries_conflicts and is_copy and isinstance(failure, KeyConflictError):
            self._conflicts.append((operation, failure))
            return
        if failure is not None:
            if self._fail_fast:
                raise failure
            if is_copy:
                self._incomplete.update(parents(operation.key))
                result.add_not_copied(operation)
            result.add_failure(Failure(operation.key, operation.action, described(failure)))
        elif outcome:
            result.equal += 1
        elif is_copy:
            result.copied += 1
            result.copied_bytes += operation.size
        else:
            result.deleted += 1
        self._report()

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._result)
