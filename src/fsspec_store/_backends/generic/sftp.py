"""Files of paramiko's, the library below fsspec's SFTP filesystem, used without waiting in between.

Functions that run in a thread, on the filesystem or the file they are given. They know paramiko's
files, and nothing of connections that break or of where a value belongs.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

from ..._core.failures import RangeNotSatisfiableError
from ..._core.ranges import is_out_of_range, resolve
from .errors import is_broken

if TYPE_CHECKING:
    from ..._core.byte_requests import ByteRequest

__all__ = ["disconnect", "keep_mode", "limit_waiting", "read_pipelined", "write_pipelined"]

#: The most that paramiko asks for in one request.
_PIECE = 1 << 15
#: A value that got shorter while it was read is read again so often.
_TRIES = 5


def limit_waiting(fs: Any, timeout: float) -> None:
    """Give up after so many seconds without an answer, where paramiko would wait for ever."""
    fs.ftp.get_channel().settimeout(timeout)


def disconnect(fs: Any) -> None:
    """Close its connection, without waiting."""
    fs.client.close()


def read_pipelined(fs: Any, path: str, request: ByteRequest | None) -> bytes:
    """Read a part of a file, asking for all its pieces before the first one has come."""
    for _ in range(_TRIES):
        with fs.open(path, "rb") as file:
            size = file.stat().st_size
            if is_out_of_range(request, size):
                raise RangeNotSatisfiableError(size)
            start, end = resolve(request, size)
            if start == end:
                return b""
            # Cut up here: of a longer piece, paramiko searches all it holds for each next part.
            pieces = range(start, end, _PIECE)
            data = b"".join(file.readv([(at, min(_PIECE, end - at)) for at in pieces]))
        if len(data) == end - start:
            return data
    raise OSError(f"{len(data)} bytes came for bytes {start} to {end} of {path!r}")


def keep_mode(fs: Any, path: str, file: Any) -> None:
    """Give an open file the permissions of the one that it will replace, if there is one."""
    try:
        mode = fs.ftp.stat(path).st_mode
        if mode is not None and stat.S_ISREG(mode):
            file.chmod(mode & 0o777)
    except OSError as error:
        # Missing; or a server that sets no permissions.
        if is_broken(error):
            raise


def write_pipelined(file: Any, content: bytes) -> None:
    """Write to an open file, waiting for all answers in the end and not for each."""
    view = memoryview(content)
    # paramiko looks at the answers of what went before only in a write that is not pipelined.
    file.set_pipelined(True)
    file.write(view[:-1])
    file.set_pipelined(False)
    file.write(view[-1:])
    size = file.stat().st_size
    if size != len(content):
        raise OSError(f"{size} of {len(content)} bytes were written")
