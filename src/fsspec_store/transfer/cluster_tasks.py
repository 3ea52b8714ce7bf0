"""What a worker of a cluster does in one task. Each function may run again after a lost worker."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

from .._core.redaction import public_text
from .._runtime.concurrency import for_each
from ..errors import BackendError, StoreError
from .comparing import Comparison
from .memory import Memory
from .outage import Outage
from .results import Result
from .running import is_done, is_done_as_planned, run_operation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .._store.contract import Store
    from .._store.entries import Entry
    from .comparing import Compare
    from .operations import Operation, Reason

__all__ = ["NotTriedError", "compare_values", "list_keys", "run_operations"]

T = TypeVar("T")
R = TypeVar("R")

#: Size from which a value is not copied again without a look at the target.
_LARGE_BYTES = 8 * 2**20


class NotTriedError(StoreError):
    """A key is not tried, because the service of the keys before it is away; see `Outage`."""

    def __init__(self, reason: StoreError) -> None:
        super().__init__(str(reason))
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason,)


async def list_keys(
    source: Store, target: Store, is_source: bool, after: str, stop: str | None, limit: int
) -> tuple[list[Entry], list[str]]:
    """The first entries of a store whose keys are after ``after``, up to and including ``stop``.

    Also the names in this range that are no valid keys.
    """
    found: list[Entry] = []
    left_out: list[str] = []
    store = source if is_source else target
    listing = store.list_entries(start_after=after, on_left_out=left_out.append)
    async with aclosing(listing) as entries:
        async for entry in entries:
            if stop is not None and entry.key > stop:
                break
            found.append(entry)
            if len(found) == limit:
                stop = entry.key
                break
    return found, [name for name in left_out if stop is None or name <= stop]


async def compare_values(
    source: Store,
    target: Store,
    pairs: Sequence[tuple[Entry, Entry]],
    compare: Compare,
    concurrency: int,
    memory_bytes: int,
) -> list[Reason | StoreError | None]:
    """How the two values of each pair differ, or why they cannot be compared."""
    comparison = Comparison(source, target, compare, Memory(memory_bytes))

    async def compared(pair: tuple[Entry, Entry]) -> Reason | None:
        return await comparison.difference(*pair)

    return await _outcomes(compared, pairs, concurrency, source, target)


async def run_operations(
    source: Store,
    target: Store,
    operations: Sequence[Operation],
    checks_states: bool,
    concurrency: int,
    memory_bytes: int,
) -> list[StoreError | bool]:
    """Copy and delete keys. Returns the error of each, or whether an earlier run has done it.

    A large value that a lost worker has copied is not copied again, and counts as done here.
    """
    memory = Memory(memory_bytes)

    async def run(operation: Operation) -> bool:
        if checks_states:
            if await is_done_as_planned(source, target, operation, memory):
                return True
        elif operation.size >= _LARGE_BYTES and await is_done(source, target, operation, memory):
            return False
        await run_operation(source, target, operation, memory)
        return False

    return await _outcomes(run, operations, concurrency, source, target)


async def _outcomes(
    func: Callable[[T], Awaitable[R]], items: Sequence[T], concurrency: int, *stores: Store
) -> list[R | StoreError]:
    """The results for all items in their order; an error in place of a result."""
    found: dict[int, R | StoreError] = {}
    result = Result()
    outage = Outage(result, *stores)

    async def run(numbered: tuple[int, T]) -> None:
        number, item = numbered
        if result.stopped_by is not None:
            found[number] = NotTriedError(result.stopped_by)
            return
        try:
            found[number] = await func(item)
            outage.note(None, concurrency)
        except StoreError as error:
            # Its causes are the errors of libraries, which may have secrets.
            error.__cause__ = error.__context__ = None
            found[number] = error
            outage.note(error, concurrency)
        except OSError as error:
            found[number] = BackendError(public_text(f"{type(error).__name__}: {error}"))

    await for_each(run, list(enumerate(items)), limit=concurrency)
    return [found[number] for number in range(len(items))]
