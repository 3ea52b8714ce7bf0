"""Memory that the bytes of one body fill, by an event loop or by a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Sink"]


class Sink:
    """Memory, and how much of it is filled.

    Parameters
    ----------
    add_chunk : callable or None
        Called with each piece of the memory that is filled.

    Attributes
    ----------
    count : int
        Number of bytes that are filled.
    """

    __slots__ = ("_add_chunk", "_memory", "_size", "count")

    def __init__(
        self, memory: memoryview, add_chunk: Callable[[memoryview], object] | None = None
    ) -> None:
        self._memory = memory
        self._size = memory.nbytes
        self._add_chunk = add_chunk
        self.count = 0

    def room(self, most: int | None = None) -> memoryview:
        """Return the memory that is not filled, or its first ``most`` bytes."""
        return self._memory[self.count : self._size if most is None else self.count + most]

    def copy(self, data: bytes | memoryview) -> bool:
        """Copy the next bytes, and return whether all are filled."""
        self._memory[self.count : self.count + len(data)] = data
        return self.added(len(data))

    def added(self, count: int) -> bool:
        """Note that bytes are written into the memory of `room`; return whether all are."""
        start = self.count
        if self._add_chunk is not None:
            self._add_chunk(self._memory[start : start + count])
        self.count = start + count
        return self.count == self._size

    def release(self) -> None:
        """Refer to the memory no longer."""
        self._memory = memoryview(b"")
        self._add_chunk = None
