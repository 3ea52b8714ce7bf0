"""Transfers whose values are compared, copied and deleted by the workers of a Dask cluster.

The client merges the listings and keeps the order of the operations. Tasks get batches of keys.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from .._runtime.cluster import TaskError
from .._runtime.concurrency import batches, for_each, map_unordered
from ..errors import StoreError
from .applying import Applying
from .cluster_listing import split_listing
from .cluster_tasks import NotTriedError, compare_values, run_operations
from .planning import Differences

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable

    from .._runtime.cluster import Cluster
    from .._store.entries import Entry
    from .._store.store_listing import ListableStore
    from .comparing import Compare
    from .merging import Pair
    from .operations import Operation, Reason

__all__ = ["ClusterApplying", "ClusterDifferences"]

#: Most keys and bytes of one task. A worker that is lost loses its tasks.
_KEYS, _BYTES = 100, 64 * 2**20


class ClusterDifferences(Differences):
    """Differences whose listings are split, and whose values are read, by workers.

    Parameters
    ----------
    cluster : Cluster
        It shares the source and the target.
    """

    def __init__(self, cluster: Cluster, *stores: ListableStore, **options: Any) -> None:
        super().__init__(*stores, **options)
        self._cluster = cluster
        self._compare: Compare = options["compare"]
        self._memory_bytes: int = options["memory"].size

    async def visit(
        self, handle: Callable[[Operation], Awaitable[object]], *, concurrency: int
    ) -> None:
        """See `Differences.visit`."""
        async with aclosing(self.operations(concurrency)) as found:
            async for operation in found:
                await handle(operation)

    async def operations(self, concurrency: int) -> AsyncGenerator[Operation, None]:
        """Yield the operations in no order; ``concurrency`` is that of one task."""

        async def compared(batch: list[Pair]) -> list[Operation]:
            return await self._compared(batch, concurrency)

        pairs = self._pairs()
        batches_of_pairs = _batches(pairs, _pair_bytes)
        found = map_unordered(compared, batches_of_pairs, limit=self._cluster.tasks)
        async with aclosing(pairs), aclosing(batches_of_pairs), aclosing(found):
            async for operations in found:
                for operation in operations:
                    yield operation
        self._end()

    def _entries(self, *, is_source: bool) -> AsyncGenerator[Entry, None]:
        return split_listing(
            self._cluster,
            self._source if is_source else self._target,
            is_source=is_source,
            on_left_out=self._note_left_out if is_source else None,
        )

    async def _compared(self, batch: list[Pair], concurrency: int) -> list[Operation]:
        """The operations of some keys. Those whose values have to be read are one task."""
        found: list[tuple[Pair, Reason | StoreError | None]] = []
        unread: list[tuple[Entry, Entry]] = []
        for source, target in batch:
            is_known, reason = True, None
            if source is not None and target is not None:
                is_known, reason = self._comparison.listed(source, target)
                if not is_known:
                    unread.append((source, target))
            if is_known:
                found.append(((source, target), reason))
        if unread:
            try:
                reasons = await self._outage.unless_stopped(
                    self._cluster.run(
                        compare_values, unread, self._compare, concurrency, self._memory_bytes
                    )
                )
            except TaskError as error:
                reasons = [error] * len(unread)
            if reasons is None:
                self._result.not_tried += len(unread)
                reasons, unread = [], []
            for outcome in reasons:
                self._outage.note(outcome if isinstance(outcome, StoreError) else None, concurrency)
            found += zip(unread, reasons, strict=True)
        operations = []
        for pair, outcome in found:
            if isinstance(outcome, NotTriedError):
                self._outage.stop(outcome.reason)
                self._result.not_tried += 1
            elif isinstance(outcome, StoreError):
                self._add_failure(pair, outcome)
            elif (operation := self._counted(*pair, outcome)) is not None:
                operations.append(operation)
        return operations


class ClusterApplying(Applying):
    """Copies and deletes keys on workers, in the order of `Applying`.

    Parameters
    ----------
    cluster : Cluster
        It shares the source and the target.
    """

    def __init__(self, cluster: Cluster, *stores: Any, **options: Any) -> None:
        super().__init__(*stores, **options)
        self._cluster = cluster

    async def take_planned(self, operations: Iterable[Operation]) -> None:
        """See `Applying.take_planned`."""
        await self._run_all(each for each in operations if not self._waits(each))

    async def take_differences(self, differences: Differences) -> None:
        """See `Applying.take_differences`."""
        assert isinstance(differences, ClusterDifferences)
        differences.on_failure = self._note_failed_comparison
        async with aclosing(differences.operations(self._concurrency)) as found:
            await self._run_all(
                each async for each in found if not self._waits(each, for_listing=self._has_deletes)
            )

    async def _run_all(self, operations: Iterable[Operation] | AsyncIterable[Operation]) -> None:
        found = _batches(operations, lambda operation: operation.size)
        async with aclosing(found):
            await for_each(self._run_batch, found, limit=self._cluster.tasks)

    async def _run_batch(self, batch: list[Operation]) -> None:
        if self._outage.is_stopped:
            self._skip_all(batch)
            return
        outcomes: list[StoreError | bool]
        try:
            found = await self._outage.unless_stopped(
                self._cluster.run(
                    run_operations,
                    batch,
                    self._check_states,
                    self._concurrency,
                    self._memory.size,
                )
            )
            if found is None:
                self._skip_all(batch)
                return
            outcomes = found
            await self._check_shared(batch, outcomes)
        except TaskError as error:
            outcomes = [error] * len(batch)
        for operation, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, NotTriedError):
                self._outage.stop(outcome.reason)
                self._skip(operation)
            else:
                self._add(operation, outcome)

    def _skip_all(self, batch: list[Operation]) -> None:
        for operation in batch:
            self._skip(operation)

    async def _check_shared(
        self, batch: list[Operation], outcomes: list[StoreError | bool]
    ) -> None:
        """Raise `TaskError` when workers do not write to the local files of this machine."""
        if not self._target.reads_locally:
            return
        for operation, outcome in zip(batch, outcomes, strict=True):
            # A key that was there before shows nothing.
            if outcome is False and operation.action == "copy" and operation.target is None:
                if not await self._target.exists(operation.key):
                    raise TaskError(
                        f"{self._target!r} is not the same place on the workers and on the client"
                    )
                return


def _batches(items: Any, size_of: Callable[[Any], int]) -> AsyncGenerator[list[Any], None]:
    return batches(items, max_items=_KEYS, max_bytes=_BYTES, size_of=size_of)


def _pair_bytes(pair: Pair) -> int:
    return max(entry.size for entry in pair if entry is not None)
