"""Reads and writes of files in parts.

An open file is one version of a value, as long as other programs replace it and do not change it in
place. Its size and modification time are compared after each read.
"""

from __future__ import annotations

import io
import os
import stat
from typing import Any

from ..._core.failures import ChangedWhileReadError, RangeNotSatisfiableError
from ..._core.streams import OpenValue, ValueWriter
from ..._core.versions import version_digest
from ..._runtime.threads import in_thread
from .locks import run_locked
from .paths import is_no_file
from .reading import READ_FLAGS, read_between
from .walking import modified
from .writing import StreamedWrite

__all__ = ["LocalWriter", "open_value"]


def open_value(path: str, start: int, version: str | None, part_bytes: int) -> OpenValue | None:
    """Open a file; see `Backend.open_value`."""
    opened: list[Any] = []
    try:
        # Opened and stored in a single step: see `paths`.
        opened.extend(map(os.open, (path,), (READ_FLAGS,)))
        status = os.fstat(opened[0])
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            os.close(opened.pop())
            return None
        # The garbage collector closes it if the caller is interrupted. Again in a single step.
        opened[:] = map(io.FileIO, opened)
        file: io.FileIO = opened[0]
        if version is not None and _digest(file.fileno(), size, part_bytes) != version:
            raise ChangedWhileReadError
        if start > size:
            raise RangeNotSatisfiableError(size)
    except BaseException as error:
        if not opened and isinstance(error, OSError) and is_no_file(error):
            return None
        for each in opened:
            each.close() if isinstance(each, io.FileIO) else os.close(each)
        raise

    def read_part(start: int, end: int) -> bytes | memoryview:
        try:
            data = read_between(file.fileno(), start, end)
        except EOFError:
            raise ChangedWhileReadError from None
        now = os.fstat(file.fileno())
        if (now.st_size, now.st_mtime_ns) != (size, status.st_mtime_ns):
            raise ChangedWhileReadError
        return data

    async def read(start: int, end: int) -> bytes | memoryview:
        return await in_thread(read_part, start, end)

    return OpenValue(
        size,
        read,
        part_bytes,
        version=version,
        modified=modified(status),
        close=file.close,
    )


def _digest(descriptor: int, size: int, part_bytes: int) -> str:
    """The version of a file's content, as `content_version`."""
    digest = version_digest()
    for start in range(0, size, part_bytes):
        digest.update(read_between(descriptor, start, min(start + part_bytes, size)))
    return digest.hexdigest()


class LocalWriter(ValueWriter):
    """Writes a temporary file in parts, and renames it."""

    def __init__(self, path: str, timeout: float) -> None:
        self._write = StreamedWrite(path)
        self._timeout = timeout

    async def write(self, data: memoryview) -> None:
        await in_thread(self._write.write, data)

    async def finish(self) -> None:
        await run_locked(self._write.attempt, self._timeout)

    async def abandon(self, error: BaseException | None) -> None:
        self._write.discard()
