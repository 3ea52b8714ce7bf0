"""Operations that wait for their turn, in memory while they are few and in a file otherwise."""

from __future__ import annotations

import json
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

from .operations import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .key_order import Rank

__all__ = ["Spool", "Waiting"]

_BYTES_IN_MEMORY = 4 * 2**20


class Spool:
    """A sequence of operations that is written once, and can be read several times."""

    def __init__(self) -> None:
        # The file has no name in the file system, and is private to the user.
        self._file = SpooledTemporaryFile(max_size=_BYTES_IN_MEMORY)  # noqa: SIM115
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, operation: Operation) -> None:
        """Add an operation."""
        self._file.write(json.dumps(operation.as_plain()).encode() + b"\n")
        self._count += 1

    def __iter__(self) -> Iterator[Operation]:
        self._file.seek(0)
        for line in self._file:
            yield Operation.from_plain(json.loads(line))

    def close(self) -> None:
        """Remove the operations."""
        self._file.close()


class Waiting:
    """Operations by rank."""

    def __init__(self) -> None:
        self._spools: dict[Rank, Spool] = {}

    def add(self, rank: Rank, operation: Operation) -> None:
        """Add an operation."""
        if rank not in self._spools:
            self._spools[rank] = Spool()
        self._spools[rank].append(operation)

    def __len__(self) -> int:
        return sum(map(len, self._spools.values()))

    def in_order(self, *, reverse: bool = False) -> Iterator[tuple[Rank, Spool]]:
        """Yield the operations of each rank, ascending or descending."""
        for rank in sorted(self._spools, reverse=reverse):
            yield rank, self._spools[rank]

    def close(self) -> None:
        """Remove the operations."""
        for spool in self._spools.values():
            spool.close()
