"""Copies of files, made by the kernel where the file systems support it, with atomic writes."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from ..._core.failures import ChangedWhileReadError
from ..._core.versions import version_digest
from .paths import is_no_file, opened
from .reading import READ_FLAGS, size
from .writing import Write

if TYPE_CHECKING:
    import io

__all__ = ["Copy", "SourceMissingError"]

#: Bytes that one call copies: the thread can be interrupted between two calls.
_AT_ONCE = 256 * 2**20
_PIECE = 2**20
#: Errors of file systems, kernels and sandboxes that cannot copy between these two files.
_NOT_COPIED = frozenset(
    {
        errno.EBADF,
        errno.EINVAL,
        errno.ENOSYS,
        errno.ENOTSUP,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.ETXTBSY,
        errno.EXDEV,
    }
)


class SourceMissingError(Exception):
    """There is no file to copy."""


class Copy(Write):
    """Write the bytes of another file, with the attributes of the file that they replace.

    It raises `SourceMissingError`, and `ChangedWhileReadError` also for a file that another program
    changes in place meanwhile.
    """

    def __init__(self, source: str, path: str, version: str | None) -> None:
        super().__init__(path, memoryview(b""))
        self._source = source
        self._version = version

    def attempt(self) -> None:
        # First, so that no folder is made for the copy of a missing file.
        if size(self._source) is None:
            raise SourceMissingError
        super().attempt()

    def _fill(self, file: io.FileIO) -> None:
        try:
            with opened(self._source, READ_FLAGS) as source:
                before = os.fstat(source)
                if not stat.S_ISREG(before.st_mode):
                    raise SourceMissingError
                _copy_bytes(source, file)
                now, copied = os.fstat(source), os.fstat(file.fileno()).st_size
        except OSError as error:
            if is_no_file(error):
                raise SourceMissingError from error
            raise
        is_whole = before.st_size == copied == now.st_size
        if not is_whole or before.st_mtime_ns != now.st_mtime_ns:
            raise ChangedWhileReadError
        if self._version is not None and _version_of(file) != self._version:
            raise ChangedWhileReadError


def _copy_bytes(source: int, file: io.FileIO) -> None:
    """Copy a file up to its end."""
    copy = getattr(os, "copy_file_range", None)
    try:
        # It shares the blocks of the file where the file system supports that (a reflink).
        while copy is not None and copy(source, file.fileno(), _AT_ONCE):
            pass
    except OSError as error:
        if error.errno not in _NOT_COPIED:
            raise
    # What is left: some file systems copy nothing, without an error (copy_file_range(2)).
    while piece := os.read(source, _PIECE):
        written = 0
        while written < len(piece):
            written += file.write(memoryview(piece)[written:])


def _version_of(file: io.FileIO) -> str:
    """The version of the bytes in a file; see `content_version`."""
    digest = version_digest()
    with opened(str(file.name), READ_FLAGS) as copied:
        while piece := os.read(copied, _PIECE):
            digest.update(piece)
    return digest.hexdigest()
