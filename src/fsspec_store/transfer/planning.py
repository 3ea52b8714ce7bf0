"""What has to be copied or deleted, so that one store becomes equal to another."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from .._core.redaction import public_text
from .._runtime.concurrency import for_each
from ..errors import KeyNotFoundError, RefusedError, StoreError
from .comparing import Comparison
from .merging import Pair, merged
from .operations import Operation, State
from .results import Failure, Result

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from .._store.entries import Entry
    from .._store.store_listing import ListableStore
    from .comparing import Compare
    from .memory import Memory
    from .selection import Selection

__all__ = ["Differences", "described"]


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
    ) -> None:
        self._source = source
        self._target = target
        self._selection = selection
        self._comparison = Comparison(source, target, compare, memory)
        self._delete = delete
        self._allow_empty = allow_empty
        self._result = result
        #: Number of selected keys of the target.
        self.in_target = 0

    async def visit(
        self, handle: Callable[[Operation], Awaitable[object]], *, concurrency: int
    ) -> None:
        """Await ``handle`` for each operation, in no order, while the listings are read.

        Raises
        ------
        RefusedError
            At the end, when the source has no selected key and ``allow_empty`` is false.
        """
        in_source = 0
        result = self._result

        async def pairs() -> AsyncGenerator[Pair, None]:
            nonlocal in_source
            found = merged(self._source.list_entries(), self._target.list_entries())
            async with aclosing(found):
                async for pair in found:
                    if _key(pair) in self._selection:
                        result.listed += 1
                        in_source += pair[0] is not None
                        self.in_target += pair[1] is not None
                        yield pair

        async def work(pair: Pair) -> None:
            try:
                operation = await self._operation(*pair)
            except (StoreError, OSError) as error:
                result.add_failure(Failure(_key(pair), "compare", described(error)))
                return
            if operation is None:
                result.equal += pair[0] is not None
                return
            result.planned += 1
            result.planned_bytes += operation.size
            await handle(operation)

        async with aclosing(pairs()) as found:
            await for_each(work, found, limit=concurrency)
        if not in_source and not self._allow_empty:
            which = "no key" if self._selection.is_all else "no selected key"
            raise RefusedError(
                f"{self._source!r} has {which}; allow_empty=True accepts an empty source"
            )
        result.is_listed = True

    async def _operation(self, source: Entry | None, target: Entry | None) -> Operation | None:
        if source is None:
            assert target is not None
            if not self._delete:
                return None
            return Operation("delete", target.key, "extra", None, State.of(target))
        if target is None:
            return Operation("copy", source.key, "missing", State.of(source), None)
        reason = await self._comparison.difference(source, target)
        if reason is None:
            return None
        return Operation("copy", source.key, reason, State.of(source), State.of(target))


def _key(pair: Pair) -> str:
    entry = pair[0] or pair[1]
    assert entry is not None
    return entry.key


def described(error: BaseException) -> str:
    """An error as text for a report. The messages of this package have no secrets."""
    if isinstance(error, KeyNotFoundError):
        return f"it was removed after it was listed: {error}"
    return public_text(f"{type(error).__name__}: {error}")
