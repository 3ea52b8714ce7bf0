"""What is at a path: descriptors that are always closed, and errors that mean "no file".

Python may raise ``KeyboardInterrupt`` as soon as a call has returned, before what it returned is
bound to a name: a descriptor from ``os.open`` would then stay open for ever. Here ``list.extend``
opens the file and keeps its descriptor in one step.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FOLDER", "is_folder_link", "is_no_file", "opened", "parent"]

#: How a folder is opened: ``O_NONBLOCK``, for what may turn out to be a pipe or a device.
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK

#: Errors of a path that leads to no file: missing, a file where a folder would have to be, a link
#: that leads back to itself, a name that is too long.
_NO_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})


@contextmanager
def opened(path: str, flags: int, *, folder: int | None = None) -> Iterator[int]:
    """Open a path, and close its descriptor at the end, also after an interruption.

    Parameters
    ----------
    path : str
        Absolute, or relative to ``folder``.
    flags : int
        As for ``os.open``.
    folder : int, optional
        Descriptor of a folder.
    """
    held: list[int] = []
    try:
        held.extend(map(partial(os.open, dir_fd=folder), (path,), (flags,)))
        yield held[0]
    finally:
        for descriptor in held:
            os.close(descriptor)


def is_no_file(error: OSError) -> bool:
    """Whether the error says that there is no file at a path."""
    return error.errno in _NO_FILE


def is_folder_link(path: str) -> bool:
    """Whether a path is a link to a folder."""
    return os.path.islink(path) and os.path.isdir(path)


def parent(path: str) -> str:
    """The folder of a path."""
    return path.rpartition("/")[0] or "/"
