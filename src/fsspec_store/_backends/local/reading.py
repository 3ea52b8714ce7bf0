"""Reads of whole files and of ranges."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ..._core.ranges import bounds
from ..._core.versions import content_version
from ..._http.http1.buffer_pool import allocate
from .paths import is_no_file

if TYPE_CHECKING:
    from ..._core.byte_requests import ByteRequest

__all__ = ["READ_FLAGS", "read", "read_between", "read_version", "size"]

#: ``O_NONBLOCK``: opening a pipe would wait for a writer.
READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
#: Larger reads have pooled memory. That of others stays with the threads that read, one part each.
_POOLED = 256 * 2**10
#: Maximum size of one read: on Linux it returns at most 2 GiB.
_MOST = 256 * 2**20


def read(path: str, request: ByteRequest | None) -> bytes | memoryview | None:
    """Read a file, or a part of it; see `Backend.read`."""
    descriptors: list[int] = []
    try:
        # Opened and stored in a single step: see `paths`.
        descriptors.extend(map(os.open, (path,), (READ_FLAGS,)))
        descriptor = descriptors[0]
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        return read_between(descriptor, *bounds(request, status.st_size))
    except OSError as error:
        if not descriptors and is_no_file(error):
            return None
        raise
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def read_between(descriptor: int, start: int, end: int) -> bytes | memoryview:
    """Read these bytes of an open file; ``EOFError`` if it has become shorter."""
    if end - start <= _POOLED:
        data = os.pread(descriptor, end - start, start)
        if len(data) == end - start:
            return data
        # A signal interrupted the read, or the file became shorter.
    memory = allocate(end - start)
    done = 0
    while done < len(memory):
        count = os.preadv(descriptor, [memory[done : done + _MOST]], start + done)
        if not count:
            raise EOFError(
                f"the file became shorter while it was read: {len(memory) - done} bytes are missing"
            )
        done += count
    return memory


def read_version(path: str) -> tuple[bytes | memoryview, str] | None:
    """Read a file and its version; see `Backend.read_version`."""
    data = read(path, None)
    return None if data is None else (data, content_version(data))


def size(path: str) -> int | None:
    """Size of a file; see `Backend.size`."""
    status = status_of(path)
    return None if status is None else status.st_size


def status_of(path: str) -> os.stat_result | None:
    """The status of a file; ``None`` when there is no file at this path."""
    try:
        status = os.stat(path)
    except OSError as error:
        if is_no_file(error):
            return None
        raise
    return status if stat.S_ISREG(status.st_mode) else None
