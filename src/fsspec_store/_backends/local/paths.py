"""Paths and descriptors that are always closed, and errors that mean "no file".

Python may raise ``KeyboardInterrupt`` after ``os.open`` returns and before its result is bound to a
name: the descriptor would leak. Here ``list.extend`` opens the file and stores the descriptor in a
single step.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FOLDER_FLAGS", "is_no_file", "opened", "parent"]

#: Flags to open a folder; ``O_NONBLOCK`` because the path may be a pipe or a device.
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK

#: Errors of a path without a file: missing, a file in place of a folder, a folder, a link to
#: itself, a name that is too long.
_NO_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})


@contextmanager
def opened(path: str, flags: int, *, folder: int | None = None) -> Iterator[int]:
    """Open a path, and close its descriptor at the end, also after ``KeyboardInterrupt``.

    A relative path is opened in the folder with the descriptor ``folder``.
    """
    descriptors: list[int] = []
    try:
        descriptors.extend(map(partial(os.open, dir_fd=folder), (path,), (flags,)))
        yield descriptors[0]
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def is_no_file(error: OSError) -> bool:
    """Whether an error means that there is no file at the path."""
    return error.errno in _NO_FILE


def parent(path: str) -> str:
    """The parent folder of a path."""
    return path.rpartition("/")[0] or "/"
