"""What has to be copied or deleted, so that one store becomes equal to another."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

from .._core.redaction import public_text
from .._runtime.concurrency import for_each, map_unordered, read_ahead
from .._runtime.io_threads import default_count
from ..errors import KeyNotFoundError, RefusedError, StoreError
from .comparing import Comparison
from .digests import matching
from .merging import Pair, merged
from .operations import Operation, State
from .outage import Outage
from .results import Failure, Result

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from .._store.entries import Entry
    from .._store.store_listing import ListableStore
    from .comparing import Compare
    from .digests import Check
    from .memory import Memory
    from .operations import Reason
    from .selection import Selection

    #: Keys of both stores, each with a check of its small local value, or one key without.
    _Group = list[tuple[Pair, Check | None]]

__all__ = ["Differences", "described"]

#: Number of operations that are found before they are run: a progress bar then knows how many.
_AHEAD = 10_000
#: Number of local values that one thread reads, one after another.
_MOST_CHECKS = 32


class Differences:
    """The operations that make ``target`` equal to ``source``.

    Parameters
    ----------
    delete : bool
        Whether keys that only the target has are deleted.
    allow_empty : bool
        Whether a source without any selected key is accepted.
    result : Result
        Counts what is found.
    on_progress : callable, optional
        Called with ``result`` for each key that has no operation.
    """

    def __init__(
        self,
        source: ListableStore,
        target: ListableStore,
        *,
        selection: Selection,
        compare: Compare,
        memory: Memory,
        delete: bool,
        allow_empty: bool,
        result: Result,
        on_progress: Callable[[Result], object] | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._selection = selection
        self._comparison = Comparison(source, target, compare, memory)
        self._delete = delete
        self._allow_empty = allow_empty
        self._result = result
        self._outage = Outage(result, source, target)
        self._on_progress = on_progress
        #: Called with the key and the error of each failed comparison.
        self.on_failure: Callable[[str, Exception], object] | None = None
        #: Number of selected keys of the source and of the target.
        self._in_source = self.in_target = 0

    async def visit(
        self, handle: Callable[[Operation], Awaitable[object]], *, concurrency: int
    ) -> None:
        """Await ``handle`` for each operation, in no order, while the listings are read.

        If the transfer stops, no further key is listed.

        Raises
        ------
        RefusedError
            At the end, when the source has no selected key and ``allow_empty`` is false.
        """

        async def find(put: Callable[[Operation], Awaitable[None]]) -> None:
            read = partial(self._read_both, put, concurrency)
            groups = self._undecided(put)
            async with aclosing(groups), aclosing(self._unproven(groups, concurrency)) as pairs:
                await for_each(read, pairs, limit=concurrency)
            self._end()

        async with aclosing(read_ahead(find, most=_AHEAD)) as operations:
            await for_each(handle, operations, limit=concurrency)

    def _entries(self, *, is_source: bool) -> AsyncGenerator[Entry, None]:
        if is_source:
            return self._source.list_entries(on_left_out=self._note_left_out)
        return self._target.list_entries()

    def _note_left_out(self, name: str) -> None:
        if name in self._selection:
            self._result.add_left_out(name)

    async def _pairs(self) -> AsyncGenerator[Pair, None]:
        """Yield the selected keys of both listings."""
        found = merged(self._entries(is_source=True), self._entries(is_source=False))
        async with aclosing(found):
            async for pair in found:
                if self._outage.is_stopped:
                    return
                if _key(pair) in self._selection:
                    self._result.listed += 1
                    self._in_source += pair[0] is not None
                    self.in_target += pair[1] is not None
                    yield pair

    async def _undecided(
        self, put: Callable[[Operation], Awaitable[None]]
    ) -> AsyncGenerator[_Group, None]:
        """Put the operations that the listings show, and yield the pairs that have to be read.

        One pair, or several of which one thread reads the local values.
        """
        group: _Group = []
        async with aclosing(self._pairs()) as pairs:
            async for source, target in pairs:
                is_known, reason, check = True, None, None
                if source is not None and target is not None:
                    is_known, reason = self._comparison.listed(source, target)
                    check = None if is_known else self._comparison.check(source, target)
                if is_known:
                    operation = self._counted(source, target, reason)
                    if operation is not None:
                        await put(operation)
                elif check is None:
                    yield [((source, target), None)]
                else:
                    group.append(((source, target), check))
                    if len(group) == _MOST_CHECKS:
                        yield group
                        group = []
        if group:
            yield group

    async def _unproven(
        self, groups: AsyncGenerator[_Group, None], concurrency: int
    ) -> AsyncGenerator[Pair, None]:
        """Count the pairs that are proven equal by their checks, and yield the others."""

        async def unproven(group: _Group) -> list[Pair]:
            checks = [check for _, check in group if check is not None]
            are_equal = await matching(checks) if checks else [False]
            left = []
            for (pair, _), is_equal in zip(group, are_equal, strict=True):
                if is_equal:
                    self._counted(*pair, None)
                else:
                    left.append(pair)
            return left

        # Python runs one thread at a time: more of them mostly wait for each other.
        found = map_unordered(unproven, groups, limit=min(concurrency, default_count()))
        async with aclosing(found):
            async for pairs in found:
                for pair in pairs:
                    yield pair

    async def _read_both(
        self, put: Callable[[Operation], Awaitable[None]], concurrency: int, pair: Pair
    ) -> None:
        source, target = pair
        assert source is not None
        assert target is not None
        if self._outage.is_stopped:
            self._result.not_tried += 1
            return
        try:
            reason = await self._comparison.unlisted_difference(source, target)
        except (StoreError, OSError) as error:
            self._outage.note(error, concurrency)
            self._add_failure(pair, error)
            return
        self._outage.note(None, concurrency)
        operation = self._counted(source, target, reason)
        if operation is not None:
            await put(operation)

    def _add_failure(self, pair: Pair, error: Exception) -> None:
        key = _key(pair)
        if self.on_failure is not None:
            self.on_failure(key, error)
        self._result.add_failure(Failure(key, "compare", described(error)))
        self._report()

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._result)

    def _end(self) -> None:
        """All keys were visited, unless the transfer has stopped."""
        if self._outage.is_stopped:
            return
        if not self._in_source and not self._allow_empty:
            which = "no key" if self._selection.is_all else "no selected key"
            raise RefusedError(f"{self._source!r} has {which}; allow_empty=True accepts that")
        self._result.is_listed = True

    def _counted(
        self, source: Entry | None, target: Entry | None, reason: Reason | None
    ) -> Operation | None:
        """Count a key; return what has to be done. ``reason`` is how its two values differ."""
        operation: Operation | None = None
        if source is None:
            assert target is not None
            if self._delete:
                operation = Operation("delete", target.key, "extra", None, State.of(target))
            else:
                self._result.extra += 1
        elif target is None or reason is not None:
            operation = Operation(
                "copy", source.key, reason or "missing", State.of(source), State.of(target)
            )
        else:
            self._result.equal += 1
        if operation is None:
            self._report()
        else:
            self._result.planned += 1
            self._result.planned_bytes += operation.size
        return operation


def _key(pair: Pair) -> str:
    entry = pair[0] or pair[1]
    assert entry is not None
    return entry.key


def described(error: BaseException) -> str:
    """An error as text for a report. The messages of this package have no secrets."""
    if isinstance(error, KeyNotFoundError):
        return f"it was removed after it was listed, or is a broken link: {error}"
    return public_text(f"{type(error).__name__}: {error}")
