"""Values that are read and written in parts: what a backend supplies for streams. No I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

__all__ = ["OpenValue", "ReadPart", "ValueWriter", "in_memory"]

#: ``await read(start, end)`` returns these bytes of one version of a value, or raises
#: `fsspec_store._core.failures.ChangedWhileReadError`.
ReadPart: TypeAlias = "Callable[[int, int], Awaitable[bytes | memoryview]]"


def _do_nothing() -> None:
    """Close a value that needs no closing."""


@dataclass(frozen=True, slots=True)
class OpenValue:
    """One version of a value, to be read in parts.

    Attributes
    ----------
    size : int
        Size of the whole value in bytes.
    first : bytes or memoryview
        The bytes from the start of the stream that are read already.
    parts_ahead : int
        Maximum number of concurrent calls of ``read``; 0 where it runs without an event loop.
    version : str or None
        Version as in `Backend.read_version`; ``None`` if unknown.
    checksums : Mapping
        Digests of the whole value, by the name of the algorithm.
    """

    size: int
    read: ReadPart
    part_bytes: int
    first: bytes | memoryview = b""
    parts_ahead: int = 0
    version: str | None = None
    modified: datetime | None = None
    checksums: Mapping[str, bytes] = field(default_factory=dict)
    close: Callable[[], None] = _do_nothing


class ValueWriter(ABC):
    """One write of one value, whose bytes arrive in parts.

    The calls are sequential. After an error or a cancellation only `abandon` is called.
    """

    @abstractmethod
    async def write(self, data: memoryview) -> None:
        """Add bytes to the value. The caller may change the memory afterwards."""

    @abstractmethod
    async def finish(self) -> str | None:
        """Make the value visible; return its version, ``None`` if unknown."""

    @abstractmethod
    async def abandon(self, error: BaseException | None) -> None:
        """Remove all that was written. ``error`` is the exception that ended the write, if any."""


def in_memory(
    data: bytes | memoryview,
    *,
    part_bytes: int,
    version: str | None = None,
    modified: datetime | None = None,
) -> OpenValue:
    """A value that is in memory as a whole."""
    view = memoryview(data)

    async def read(start: int, end: int) -> memoryview:
        return view[start:end]

    return OpenValue(view.nbytes, read, part_bytes, version=version, modified=modified)
