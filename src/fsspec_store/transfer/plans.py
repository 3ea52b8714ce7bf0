"""A plan: operations that can be reviewed, kept in a file, and applied later."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from ..errors import PlanError
from .key_order import rank
from .operations import Operation
from .spool import Waiting

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from .._store.contract import Store
    from .results import Failure, LeftOut

__all__ = ["Plan", "location"]

_FORMAT = "fsspec-store plan 1"


class Plan:
    """Operations that make a target equal to a source.

    It is an iterable of `Operation`, in the order in which they are applied. Many operations are in
    a temporary file, which `close` removes.

    Parameters
    ----------
    source, target : str
        The stores that were compared, without secrets.
    keys : int, optional
        Number of keys of the target, for the bound of deletes.

    Attributes
    ----------
    copies, copy_bytes, deletes : int
        Number of operations, and of bytes to copy.
    equal, extra : int
        Keys without operation: equal in both stores, and only in the target.
    failed : int
        Keys that could not be compared, and have no operation. `failures` lists the first 10,000.
        A file of a plan contains neither them nor ``equal`` and ``extra``.
    left_out : int
        Names of the source that are no valid keys; see `Result`. They are not in a file either.
    """

    def __init__(self, source: str, target: str, keys: int = 0) -> None:
        self.source = source
        self.target = target
        self.keys = keys
        self.copies = self.copy_bytes = self.deletes = 0
        self.equal = self.extra = self.failed = 0
        self.failures: list[Failure] = []
        self.left_out = 0
        self.names_left_out: list[LeftOut] = []
        self._copies, self._deletes = Waiting(), Waiting()

    def __len__(self) -> int:
        return self.copies + self.deletes

    def __iter__(self) -> Iterator[Operation]:
        for _, operations in self._copies.in_order():
            yield from operations
        for _, operations in self._deletes.in_order(reverse=True):
            yield from operations

    def __repr__(self) -> str:
        return f"<Plan: {self.copies} to copy, {self.deletes} to delete>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @classmethod
    def of(cls, source: Store, target: Store, operations: Iterable[Operation]) -> Self:
        """Make a plan of some operations, such as `Result.not_copied`.

        Parameters
        ----------
        source, target : Store
            The stores for which the operations were found.
        operations : iterable of Operation
            One for each key.

        Returns
        -------
        Plan
            Close it after use.
        """
        plan = cls(location(source), location(target))
        for operation in operations:
            plan.add(operation)
        return plan

    def add(self, operation: Operation) -> None:
        """Add an operation.

        Parameters
        ----------
        operation : Operation
            One for each key.
        """
        if operation.action == "copy":
            self.copies += 1
            self.copy_bytes += operation.size
            self._copies.add(rank(operation.key), operation)
        else:
            self.deletes += 1
            self._deletes.add(rank(operation.key), operation)

    def close(self) -> None:
        """Remove the operations."""
        self._copies.close()
        self._deletes.close()

    def write(self, file: str | os.PathLike[str]) -> None:
        """Write the plan as JSON lines: one for the plan, and one for each operation.

        Parameters
        ----------
        file : str or os.PathLike
            Path of the file. It is replaced.
        """
        head = {
            "format": _FORMAT,
            "source": self.source,
            "target": self.target,
            "keys": self.keys,
            "copies": self.copies,
            "copy_bytes": self.copy_bytes,
            "deletes": self.deletes,
        }
        with open(file, "w", encoding="utf-8") as lines:
            lines.write(json.dumps(head) + "\n")
            for operation in self:
                lines.write(json.dumps(operation.as_plain()) + "\n")

    @classmethod
    def read(cls, file: str | os.PathLike[str]) -> Plan:
        """Read a plan that `write` wrote.

        Parameters
        ----------
        file : str or os.PathLike
            Path of the file.

        Returns
        -------
        Plan
            Equal to the one that was written.

        Raises
        ------
        PlanError
            When the file is not a plan, or is incomplete. The message states the invalid line.
        """
        number = 1
        with ExitStack() as opened:
            try:
                lines = opened.enter_context(open(file, encoding="utf-8"))
                head = json.loads(lines.readline())
                if head["format"] != _FORMAT:
                    raise PlanError(f"{file} has the format {head['format']!r}, not {_FORMAT!r}")
                if type(head["keys"]) is not int:
                    raise TypeError(f"keys must be an int, got {head['keys']!r}")
                plan = opened.enter_context(cls(head["source"], head["target"], head["keys"]))
                for line in lines:
                    number += 1
                    plan.add(Operation.from_plain(json.loads(line)))
                if (plan.copies, plan.deletes) != (head["copies"], head["deletes"]):
                    raise PlanError(
                        f"{file} is incomplete: {len(plan)} of "
                        f"{head['copies'] + head['deletes']} operations"
                    )
            except PlanError:
                raise
            except (ValueError, KeyError, TypeError) as error:
                reason = f"no {error}" if isinstance(error, KeyError) else error
                raise PlanError(
                    f"{file} is not a plan of this package: line {number}: {reason}"
                ) from error
            lines.close()
            opened.pop_all()
        return plan


def location(store: Store) -> str:  # numpydoc ignore=PR01
    """The URL of a store, without secrets; its representation if it has none."""
    return str(getattr(store, "url", store))
