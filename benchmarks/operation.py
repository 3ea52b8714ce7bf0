"""What one operation is: what is called, what it has to answer, and what it leaves in the bucket.

Does not know any operation, see `store_operations` and `zarr_operations`, nor who is called.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.scale import Scale

if TYPE_CHECKING:
    from benchmarks.subjects import Subject

#: How often an operation is called while its answers are checked, when it is run for some seconds.
CHECKED_CALLS = 3

Call: TypeAlias = "Callable[[Subject, Scale, int], Awaitable[Any]]"
BlockingCall: TypeAlias = Callable[[Any, Scale, int], Any]


@dataclass(frozen=True)
class Effect:
    """What an operation finds below a folder, and what it leaves there.

    Attributes
    ----------
    folder
        Nobody else's, in the root of the operation.
    before
        Keys that are written anew before each round, and before the check.
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
        By which it is asked for.
    title
        What tables and plots call it; fields in braces are of the run's scale.
    root
        Of the store that it is called on.
    call, blocking
        One of the two: an operation on a store, or a function that uses zarr on one, with the
        scale and the number of the call. The others are called through zarr alone.
    expected
        The answer to a call, of plain objects.
    unit, amount
        What is counted, and how much of it one call is.
    calls
        How many calls a round makes; None for as many as its seconds allow.
    at_once
        Calls under way at any time; None for the run's own number.
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


def plain(answer: Any) -> Any:
    """An answer as plain objects, names in order: the same for each candidate that is right."""
    if answer is None or isinstance(answer, bool | int | str | bytes | tuple):
        return answer
    if isinstance(answer, list):
        parts = [plain(part) for part in answer]
        return sorted(parts) if all(isinstance(part, str) for part in parts) else parts
    to_bytes = getattr(answer, "to_bytes", None) or getattr(answer, "tobytes", None)
    return to_bytes() if to_bytes else bytes(answer)
