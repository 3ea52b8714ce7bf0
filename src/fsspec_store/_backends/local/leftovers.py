"""Temporary files that killed writers left below a local folder.

These functions block. Links to folders are not followed: their targets are outside the store.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime

from ..._core.leftovers import TEMPORARY, Leftover
from ..temporary_names import is_temporary
from .paths import FOLDER_FLAGS, is_no_file, opened, parent

__all__ = ["remove_temporary", "temporary_files"]


def temporary_files(directory: str) -> list[Leftover]:
    """The files below a directory that have temporary names; ``directory`` ends in ``/``."""
    found = []
    for folder, _, names in os.walk(directory, onerror=_raise_unless_gone):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            # It may have been renamed to the value meanwhile.
            with suppress(FileNotFoundError):
                if is_temporary(name):
                    modified = datetime.fromtimestamp(os.lstat(path).st_mtime, UTC)
                    found.append(Leftover(path, TEMPORARY, modified))
    return found


def _raise_unless_gone(error: OSError) -> None:
    if not is_no_file(error):
        raise error


def remove_temporary(path: str) -> None:
    """Remove a file found by `temporary_files`, unless its folder was replaced by a link."""
    with suppress(FileNotFoundError), opened(parent(path), FOLDER_FLAGS | os.O_NOFOLLOW) as folder:
        os.unlink(path.rpartition("/")[2], dir_fd=folder)
