"""Atomic write: a temporary file renamed over the value, so that readers see the old or the new.

For filesystems that rename a file over another one. Blocks. Missing folders are made by `folders`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ..temporary_names import temporary_name
from .errors import is_broken
from .sftp import copy_mode, write_pipelined

__all__ = ["write_and_rename"]


def write_and_rename(fs: Any, path: str, content: bytes) -> None:
    """Write a value atomically, or in place if the server does not rename over a file."""
    folder = path.rpartition("/")[0]
    temporary = f"{folder}/{temporary_name()}"
    try:
        with fs.open(temporary, "wb") as file:
            if hasattr(file, "set_pipelined"):
                copy_mode(fs, path, file)
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
