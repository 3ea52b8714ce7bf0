"""Writes a value whose bytes arrive in parts with one call of `Backend.write`.

For services and filesystems without uploads in parts. A large value is collected in a temporary
file of this machine, which is mapped into memory for the write.
"""

from __future__ import annotations

import mmap
import tempfile
from typing import IO, TYPE_CHECKING

from .._core.streams import ValueWriter
from .._runtime.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["CollectedValue"]


class CollectedValue(ValueWriter):
    """Collects the parts, and awaits ``write(value)`` at the end.

    A value of more than ``max_bytes`` is collected in a file; ``None`` for no limit.
    """

    def __init__(
        self, write: Callable[[memoryview], Awaitable[str | None]], *, max_bytes: int | None
    ) -> None:
        self._write = write
        self._max_bytes = max_bytes
        self._memory = bytearray()
        self._file: IO[bytes] | None = None

    async def write(self, data: memoryview) -> None:
        if self._file is None:
            size = len(self._memory) + data.nbytes
            if self._max_bytes is None or size <= self._max_bytes:
                self._memory += data
                return
            # It has no name: the operating system removes it when it is closed.
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            await in_thread(_write_all, self._file, memoryview(self._memory))
            self._memory = bytearray()
        await in_thread(_write_all, self._file, data)

    async def finish(self) -> str | None:
        if self._file is None:
            return await self._write(memoryview(self._memory))
        with self._file as file:
            # Not closed: the traceback of an error may refer to it.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return await self._write(memoryview(mapped))

    async def abandon(self, error: BaseException | None) -> None:
        self._memory = bytearray()
        if self._file is not None:
            self._file.close()


def _write_all(file: IO[bytes], data: memoryview) -> None:
    written = 0
    while written < data.nbytes:
        written += file.write(data[written:])
