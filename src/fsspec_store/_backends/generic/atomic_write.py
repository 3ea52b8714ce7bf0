"""Atomic write: a temporary file renamed over the value, so that readers see the old or the new.

For filesystems that rename a file over another one. With paramiko, the library below fsspec's SFTP
filesystem, writes are pipelined. Blocks. Missing folders are made by `folders`.
"""

from __future__ import annotations

import stat
from contextlib import suppress
from typing import Any

from ..temporary_names import temporary_name
from .errors import is_broken

__all__ = ["write_and_rename"]

#: fsspec's files copy all bytes of one write.
_WRITTEN_BYTES = 4 * 2**20


def write_and_rename(fs: Any, path: str, content: memoryview) -> None:
    """Write a value atomically, or in place if the server does not rename over a file."""
    folder = path.rpartition("/")[0]
    temporary = f"{folder}/{temporary_name()}"
    try:
        with fs.open(temporary, "wb") as file:
            if hasattr(file, "set_pipelined"):
                _copy_mode(fs, path, file)
                _write_pipelined(file, content)
            else:
                for start in range(0, len(content), _WRITTEN_BYTES):
                    file.write(bytes(content[start : start + _WRITTEN_BYTES]))
        try:
            fs.mv(temporary, path)
            return
        except Exception as error:
            if is_broken(error) or not fs.isfile(path):
                raise
        fs.pipe_file(path, bytes(content))
        fs.rm_file(temporary)
    except BaseException:
        with suppress(Exception):
            fs.rm_file(temporary)
        raise


def _copy_mode(fs: Any, path: str, file: Any) -> None:
    """Copy the permissions of the file to be replaced, if there is one, to an open file."""
    try:
        mode = fs.ftp.stat(path).st_mode
        if mode is not None and stat.S_ISREG(mode):
            file.chmod(mode & 0o777)
    except OSError as error:
        # The file is missing, or the server does not support permissions.
        if is_broken(error):
            raise


def _write_pipelined(file: Any, view: memoryview) -> None:
    """Write to an open file: the responses are awaited at the end."""
    # paramiko checks the responses of earlier writes only in a write that is not pipelined.
    file.set_pipelined(True)
    file.write(view[:-1])
    file.set_pipelined(False)
    file.write(view[-1:])
    size = file.stat().st_size
    if size != len(view):
        raise OSError(f"the server stored {size} of the {len(view)} bytes that were written")
