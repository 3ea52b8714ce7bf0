"""One operation: its call, the expected result, and what it leaves in the bucket.

The operations are in `store_operations` and `zarr_operations`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.scale import Scale

if TYPE_CHECKING:
    from benchmarks.subjects import Subject

#: Number of checked calls of an operation that is run for some seconds.
CHECKED_CALLS = 3

Call: TypeAlias = "Callable[[Subject, Scale, int], Awaitable[Any]]"
BlockingCall: TypeAlias = Callable[[Any, Scale, int], Any]


@dataclass(frozen=True)
class Effect:
    """The keys below a folder before an operation, and after it.

    Attributes
    ----------
    folder
        In the root of the operation, and used by no other.
    before
        Keys that are written before each round, and before the check.
    after
        Keys and values that are there after the check, and no others.
    """

    folder: str
    after: Callable[[Scale], Mapping[str, bytes]]
    before: Callable[[Scale], list[str]] = lambda scale: []


@dataclass(frozen=True)
class Operation:
    """One operation of a store, or of zarr on a store.

    Attributes
    ----------
    name
        Its name on the command line.
    title
        What tables and plots call it; fields in braces are of the run's scale.
    root
        Of the store that it is called on.
    call, blocking
        One of the two: an operation on a store, or a function that uses zarr on one, with the
        scale and the number of the call. The others are called through zarr alone.
    expected
        The result of a call, as plain objects.
    unit, amount
        What is counted, and how much of it one call is.
    calls
        How many calls a round makes; None for as many as its seconds allow.
    at_once
        Concurrent calls; None for the number of the run.
    most_rounds
        No more rounds than this, for operations that take long.
    method
        A method of zarr's `Store` which early releases do not have, where it needs one.
    is_large
        Whether it reads or writes whole values of 4 MiB and more.
    writes_much
        Whether a run of it writes hundreds of megabytes.
    """

    name: str
    title: str
    root: str
    expected: Callable[[Scale, int], Any]
    call: Call | None = None
    blocking: BlockingCall | None = None
    unit: str = "operation"
    amount: Callable[[Scale], float] = lambda scale: 1
    calls: Callable[[Scale], int] | None = None
    at_once: int | None = None
    most_rounds: int | None = None
    effect: Effect | None = None
    method: str = ""
    is_large: bool = False
    writes_much: bool = False

    def title_at(self, scale: Scale) -> str:
        """The title with the numbers of a scale in it."""
        return self.title.format_map(_Grouped(vars(scale)))


class _Grouped(dict[str, int]):
    """Numbers with their thousands apart."""

    def __getitem__(self, name: str) -> str:  # type: ignore[override]
        return f"{super().__getitem__(name):,}"


def plain(result: Any) -> Any:
    """A result as plain objects, names in order: equal for all candidates with correct results."""
    if result is None or isinstance(result, bool | int | str | bytes | tuple):
        return result
    if isinstance(result, list):
        parts = [plain(part) for part in result]
        return sorted(parts) if all(isinstance(part, str) for part in parts) else parts
    to_bytes = getattr(result, "to_bytes", None) or getattr(result, "tobytes", None)
    return to_bytes() if to_bytes else bytes(result)
