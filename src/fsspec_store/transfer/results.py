"""What a transfer did: counts, bytes, failures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from .._store.keys import check_key
from ..errors import InvalidKeyError

if TYPE_CHECKING:
    from ..errors import StoreError
    from .operations import Operation

__all__ = ["Failure", "LeftOut", "Result"]

#: Number of failures that a result lists. All are counted.
MAX_LISTED = 10_000

Action: TypeAlias = Literal["copy", "delete", "compare"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One key that could not be copied, deleted or compared.

    Attributes
    ----------
    key : str
        Relative to the store's root.
    action : {"copy", "delete", "compare"}
        What failed.
    error : str
        Name and message of the exception, without secrets.
    """

    key: str
    action: Action
    error: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    r"""A name of the source that is no valid key, so that it cannot be copied.

    Attributes
    ----------
    name : str
        Relative to the store's root. Bytes that are not UTF-8 are written as ``\xe9``.
    reason : str
        The rule for keys that it breaks.
    """

    name: str
    reason: str

    @classmethod
    def of(cls, name: str) -> Self:
        """Find the reason of a name.

        Parameters
        ----------
        name : str
            As `Store.list_entries` finds it.

        Returns
        -------
        LeftOut
            With a name that can be encoded as UTF-8.
        """
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        try:
            check_key(name)
        except InvalidKeyError as error:
            return cls(shown, str(error).partition(", got ")[0])
        return cls(shown, "the service does not list it as a key")


@dataclass
class Result:
    """What a transfer did, or has done so far.

    Attributes
    ----------
    listed : int
        Keys of either store that were visited.
    is_listed : bool
        Whether all keys were visited, so that the planned numbers are final.
    planned, planned_bytes : int
        Keys to copy or delete, and bytes to copy.
    copied, copied_bytes, deleted, equal : int
        Keys that were copied with their bytes, deleted, and left because they are equal.
    moving_bytes : int
        Bytes of values in parts whose copy has not ended. `copied_bytes` has them when it ends. On
        a cluster, and for copies within a service, it is 0.
    extra : int
        Keys that only the target has, and that are neither deleted nor a difference.
    differing : int
        Keys that differ, of a comparison. `differences` lists the first 10,000.
    failed : int
        Keys that failed. `failures` lists the first 10,000.
    held_back : int
        Metadata that was not copied, because a key below it failed.
    deletes_skipped : int
        Keys that were not deleted, because a copy failed.
    not_tried : int
        Keys that were found before the transfer stopped, and were neither copied nor deleted.
    left_out : int
        Names of the source that are no valid keys. `names_left_out` lists the first 10,000.
    stopped_by : StoreError or None
        The error after which no further key was tried: its service is away, or denies access. Keys
        that were not listed yet are not counted.
    not_copied : list of Operation
        The first 10,000 copies that failed, were held back or not tried; `Plan.of` makes a plan of
        them.
    seconds : float
        Duration.
    """

    listed: int = 0
    is_listed: bool = False
    planned: int = 0
    planned_bytes: int = 0
    copied: int = 0
    copied_bytes: int = 0
    moving_bytes: int = 0
    deleted: int = 0
    equal: int = 0
    extra: int = 0
    differing: int = 0
    failed: int = 0
    held_back: int = 0
    deletes_skipped: int = 0
    not_tried: int = 0
    left_out: int = 0
    stopped_by: StoreError | None = None
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    not_copied: list[Operation] = field(default_factory=list)
    names_left_out: list[LeftOut] = field(default_factory=list)
    differences: list[Operation] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every key is as requested."""
        undone = self.failed or self.held_back or self.deletes_skipped or self.not_tried
        return not (undone or self.differing or self.left_out or self.stopped_by)

    def add_failure(self, failure: Failure) -> None:
        """Count a failure.

        Parameters
        ----------
        failure : Failure
            Of one key.
        """
        self.failed += 1
        if len(self.failures) < MAX_LISTED:
            self.failures.append(failure)

    def add_not_copied(self, operation: Operation) -> None:
        """Note a copy that failed, was held back or not tried.

        Parameters
        ----------
        operation : Operation
            The copy.
        """
        if len(self.not_copied) < MAX_LISTED:
            self.not_copied.append(operation)

    def add_left_out(self, name: str) -> None:
        """Count a name of the source that is no valid key.

        Parameters
        ----------
        name : str
            As `Store.list_entries` finds it.
        """
        self.left_out += 1
        if len(self.names_left_out) < MAX_LISTED:
            self.names_left_out.append(LeftOut.of(name))

    def add_difference(self, operation: Operation) -> None:
        """Count a key that differs.

        Parameters
        ----------
        operation : Operation
            What would make the key equal.
        """
        self.differing += 1
        if len(self.differences) < MAX_LISTED:
            self.differences.append(operation)

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        return {
            "ok": self.ok,
            "copied": self.copied,
            "copied_bytes": self.copied_bytes,
            "moving_bytes": self.moving_bytes,
            "deleted": self.deleted,
            "equal": self.equal,
            "extra": self.extra,
            "differing": self.differing,
            "failed": self.failed,
            "held_back": self.held_back,
            "deletes_skipped": self.deletes_skipped,
            "not_tried": self.not_tried,
            "left_out": self.left_out,
            "stopped_by": None if self.stopped_by is None else str(self.stopped_by),
            "seconds": round(self.seconds, 3),
            "failures": [
                {"key": one.key, "action": one.action, "error": one.error} for one in self.failures
            ],
            "names_left_out": [
                {"name": one.name, "reason": one.reason} for one in self.names_left_out
            ],
            "differences": [{"key": one.key, "reason": one.reason} for one in self.differences],
        }
