"""Bounds the memory of the values that one transfer holds at once."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .._store.store_reading import ReadableStore

__all__ = ["DEFAULT_BYTES", "Memory", "reads_whole"]

DEFAULT_BYTES = 80 * 2**20

_MIB = 2**20
#: Smaller values are not counted: as many as are copied at once need little memory.
_SMALL = _MIB
#: Largest memory of one value on its way in parts: four parts of 16 MiB that are written, and one
#: that is read.
_MOST = 80 * _MIB


def reads_whole(store: ReadableStore, version: str | None) -> bool:
    """Whether `open_reader` has the whole value in memory, given its version in the listing."""
    return not store._streams or (version is None and not store.reads_locally)


class Memory:
    """Grants memory in the order of the requests. A value that needs more than all is alone.

    Parameters
    ----------
    size : int
        Number of bytes of all values together, ``>= 1``.

    Attributes
    ----------
    size : int
        The same.

    Raises
    ------
    ValueError
        When ``size`` is not positive.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"memory_bytes must be at least 1, got {size!r}")
        self.size = size
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @staticmethod
    def counts(size: int) -> bool:
        """Whether a value of this size in bytes needs memory that is counted."""
        return size >= _SMALL

    @asynccontextmanager
    async def of_value(self, size: int, *, copies: int = 0) -> AsyncGenerator[None, None]:
        """Wait for the memory that a value of this size in bytes needs, and return it after use.

        ``copies`` of the whole value are in memory, besides the parts on their way.
        """
        need = max(min(size, _MOST), size * copies) if self.counts(size) else 0
        if need:
            await self._acquire(need)
        try:
            yield
        finally:
            if need:
                self._used -= need
                self._wake()

    async def _acquire(self, need: int) -> None:
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((need, granted))
        self._wake()
        try:
            await granted
        except asyncio.CancelledError:
            if not granted.cancelled():
                self._used -= need
            self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting:
            need, granted = self._waiting[0]
            if granted.cancelled():
                self._waiting.popleft()
                continue
            if self._used and self._used + need > self.size:
                return
            self._waiting.popleft()
            self._used += need
            granted.set_result(None)
