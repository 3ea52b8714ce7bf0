"""A value written beside its place and renamed, so that readers see the old one or the new.

Runs in a thread, on filesystems that rename a
file over another one; what to do where a folder is missing is not known here.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ..temporary_names import temporary_name
from .errors import is_broken
from .sftp import keep_mode, write_pipelined

__all__ = ["write_and_move"]


def write_and_move(fs: Any, path: str, content: bytes) -> None:
    """Write a value whole or, where the server does not rename over a file, in place."""
    folder = path.rpartition("/")[0]
    temporary = f"{folder}/{temporary_name()}"
    try:
        with fs.open(temporary, "wb") as file:
            if hasattr(file, "set_pipelined"):
                keep_mode(fs, path, file)
                write_pipelined(file, content)
            else:
                file.write(content)
        try:
            fs.mv(temporary, path)
            return
        except Exception as error:
            if is_broken(error) or not fs.isfile(path):
                raise
        fs.pipe_file(path, content)
        fs.rm_file(temporary)
    except BaseException:
        with suppress(Exception):
            fs.rm_file(temporary)
        raise
