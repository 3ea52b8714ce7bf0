"""Reads and writes of files in parts.

An open file is one version of a value, as long as other programs replace it and do not change it in
place. Its size and modification time are compared after each read.
"""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from functools import partial

from ..._core.failures import ChangedWhileReadError, RangeNotSatisfiableError
from ..._core.streams import OpenValue, ValueWriter
from ..._core.versions import version_digest
from ..._runtime.threads import in_thread
from .locks import run_locked
from .paths import is_no_file
from .reading import READ_FLAGS, read_between
from .writing import StreamedWrite

__all__ = ["LocalWriter", "open_value"]


def open_value(path: str, start: int, version: str | None, part_bytes: int) -> OpenValue | None:
    """Open a file; see `Backend.open_value`."""
    descriptors: list[int] = []
    try:
        # Opened and stored in a single step: see `paths`.
        descriptors.extend(map(os.open, (path,), (READ_FLAGS,)))
        descriptor = descriptors[0]
        opened = os.fstat(descriptor)
        size = opened.st_size
        if not stat.S_ISREG(opened.st_mode):
            _close(descriptors)
            return None
        if version is not None and _digest(descriptor, size, part_bytes) != version:
            raise ChangedWhileReadError
        if start > size:
            raise RangeNotSatisfiableError(size)
    except BaseException as error:
        if not descriptors and isinstance(error, OSError) and is_no_file(error):
            return None
        _close(descriptors)
        raise

    def read_part(start: int, end: int) -> bytes | memoryview:
        try:
            data = read_between(descriptor, start, end)
        except EOFError:
            raise ChangedWhileReadError from None
        now = os.fstat(descriptor)
        if (now.st_size, now.st_mtime_ns) != (size, opened.st_mtime_ns):
            raise ChangedWhileReadError
        return data

    async def read(start: int, end: int) -> bytes | memoryview:
        return await in_thread(read_part, start, end)

    return OpenValue(
        size,
        read,
        part_bytes,
        version=version,
        modified=datetime.fromtimestamp(opened.st_mtime, UTC),
        close=partial(_close, descriptors),
    )


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


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
