"""Pipelined SFTP reads and writes with paramiko, the library below fsspec's SFTP filesystem.

These functions block. Broken connections are handled by `methods`.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

from ..._core.ranges import bounds
from .errors import is_broken

if TYPE_CHECKING:
    from ..._core.byte_requests import ByteRequest

__all__ = ["copy_mode", "disconnect", "limit_waiting", "read_pipelined", "write_pipelined"]

#: Maximum bytes per request of paramiko.
_CHUNK = 1 << 15
#: Maximum number of tries if a value becomes shorter while it is read.
_TRIES = 5


def limit_waiting(fs: Any, timeout: float) -> None:
    """Set a timeout for responses in seconds; paramiko's default is none."""
    fs.ftp.get_channel().settimeout(timeout)


def disconnect(fs: Any) -> None:
    """Close the connection without waiting."""
    fs.client.close()


def read_pipelined(fs: Any, path: str, request: ByteRequest | None) -> bytes:
    """Read a part of a file: all requests are sent before the first response arrives."""
    for _ in range(_TRIES):
        with fs.open(path, "rb") as file:
            size = file.stat().st_size
            start, end = bounds(request, size)
            if start == end:
                return b""
            # Split here: for longer ranges paramiko's own splitting takes quadratic time.
            offsets = range(start, end, _CHUNK)
            data = b"".join(file.readv([(at, min(_CHUNK, end - at)) for at in offsets]))
        if len(data) == end - start:
            return data
    raise OSError(f"received {len(data)} bytes for bytes {start} to {end} of {path!r}")


def copy_mode(fs: Any, path: str, file: Any) -> None:
    """Copy the permissions of the file to be replaced, if there is one, to an open file."""
    try:
        mode = fs.ftp.stat(path).st_mode
        if mode is not None and stat.S_ISREG(mode):
            file.chmod(mode & 0o777)
    except OSError as error:
        # The file is missing, or the server does not support permissions.
        if is_broken(error):
            raise


def write_pipelined(file: Any, content: bytes) -> None:
    """Write to an open file: the responses are awaited at the end."""
    view = memoryview(content)
    # paramiko checks the responses of earlier writes only in a write that is not pipelined.
    file.set_pipelined(True)
    file.write(view[:-1])
    file.set_pipelined(False)
    file.write(view[-1:])
    size = file.stat().st_size
    if size != len(content):
        raise OSError(f"{size} of {len(content)} bytes were written")
