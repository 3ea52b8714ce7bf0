"""Atomic writes, atomic creation, compare and swap, and removal of files.

A value is written to a temporary file in the key's folder, which is then renamed. Its name is
stored before the file is created, so that it is removed after any interruption.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ..temporary_names import temporary_name
from .file_attributes import copy_attributes, replaced_status
from .locks import FolderLockedError, folder_lock
from .paths import is_folder_link, is_no_file, parent
from .reading import read_version, size
from .removing import remove_empty

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Removal", "Replacement", "Write", "create"]

T = TypeVar("T")

#: Errors of file systems without hard links.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
#: Maximum number of tries if the folder is removed between its creation and the write.
_FOLDER_TRIES = 100
#: Maximum number of tries if an existing file is removed between the failed link and its check.
_LINK_TRIES = 100

# Implemented in C: they open a file and return it in a single step, see `paths`.
_open_default = partial(os.open, mode=0o666)
_open_private = partial(os.open, mode=0o600)


class _Temporary:
    """A value in a temporary file in the folder of its path."""

    def __init__(self, path: str, data: memoryview) -> None:
        self._folder = parent(path).rstrip("/")
        self._path = path
        self._data = data
        self.name: str | None = None

    def make(self, old: os.stat_result | None) -> str:
        """Write the file, with the owner and permissions of the file that it replaces.

        If it replaces none, it has the default mode of new files: 0666 without the umask.
        """
        opener = _open_default if old is None else _open_private
        for attempt in range(_FOLDER_TRIES):
            self.name = name = f"{self._folder}/{temporary_name()}"
            try:
                with io.FileIO(name, "xb", opener=opener) as file:
                    _write_all(file, self._data)
                    if old is not None:
                        copy_attributes(file.fileno(), self._path, old)
                return name
            except FileNotFoundError:
                self._make_folder(is_last=attempt == _FOLDER_TRIES - 1)
        reason = "the folder was removed each time it was made"
        raise FileNotFoundError(errno.ENOENT, reason, self._folder)

    def _make_folder(self, *, is_last: bool) -> None:
        try:
            os.makedirs(self._folder, exist_ok=True)
        except (FileNotFoundError, FileExistsError):
            # Removed meanwhile, possibly during makedirs; or a broken link.
            if is_last:
                raise

    def discard(self) -> None:
        if self.name is not None:
            with suppress(OSError):
                os.unlink(self.name)
            self.name = None

    def rename_with(self, move: Callable[[], T]) -> T:
        """Call ``move``, again if another program removed the temporary file.

        ``shutil.rmtree`` on the folder, for example, removes it.
        """
        for _ in range(_FOLDER_TRIES - 1):
            try:
                return move()
            except FileNotFoundError:
                if self.name is not None and os.path.lexists(self.name):
                    raise
                self.name = None
        return move()


class Write:
    """Write a value; see `Backend.write` and `locks.LockedOperation`."""

    def __init__(self, path: str, data: memoryview) -> None:
        self._path = path
        self._temporary = _Temporary(path, data)

    def attempt(self) -> None:
        try:
            self._temporary.rename_with(self._move)
        except FolderLockedError:
            raise
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        self._temporary.discard()

    def _move(self) -> None:
        name = self._temporary.name or self._temporary.make(replaced_status(self._path))
        with folder_lock(self._path, exclusive=False):
            try:
                os.replace(name, self._path)
            except IsADirectoryError:
                # Folders without files are not keys and may be replaced.
                remove_empty(self._path)
                os.replace(name, self._path)
        self._temporary.name = None


class Replacement:
    """Replace one version of a value; see `Backend.replace` and `locks.LockedOperation`."""

    def __init__(self, path: str, data: memoryview, version: str) -> None:
        self._path = path
        self._version = version
        self._temporary = _Temporary(path, data)

    def attempt(self) -> bool:
        try:
            is_same = self._temporary.rename_with(self._move)
            self.discard()
        except FolderLockedError:
            raise
        except BaseException:
            self.discard()
            raise
        return is_same

    def discard(self) -> None:
        self._temporary.discard()

    def _move(self) -> bool:
        if self._temporary.name is None:
            if size(self._path) is None:
                return False
            self._temporary.make(replaced_status(self._path))
        with folder_lock(self._path, exclusive=True):
            current = read_version(self._path)
            is_same = current is not None and current[1] == self._version
            if is_same and self._temporary.name is not None:
                os.replace(self._temporary.name, self._path)
                self._temporary.name = None
        return is_same


class Removal:
    """Remove files that exist; see `Backend.remove_many` and `locks.LockedOperation`."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._remaining = list(reversed(paths))

    def attempt(self) -> None:
        while self._remaining:
            _remove(self._remaining[-1])
            self._remaining.pop()

    def discard(self) -> None:
        """Do nothing: removed files stay removed."""


def create(path: str, data: memoryview) -> bool:
    """Write a file unless it exists; see `Backend.create`."""
    temporary = _Temporary(path, data)
    try:
        is_created = temporary.rename_with(lambda: _link(temporary.make(None), path, data))
        # Not in a "finally", which an interruption could skip.
        temporary.discard()
    except BaseException:
        temporary.discard()
        raise
    return is_created


def _link(name: str, path: str, data: memoryview) -> bool:
    is_emptied = False
    for _ in range(_LINK_TRIES):
        try:
            os.link(name, path)
        except FileExistsError:
            if size(path) is not None:
                return False
            try:
                mode = os.lstat(path).st_mode
            except FileNotFoundError:
                # The file was removed meanwhile.
                continue
            if stat.S_ISREG(mode):
                # The file was removed and another one created.
                continue
            if not stat.S_ISDIR(mode):
                raise
            if is_emptied:
                break
            remove_empty(path)
            is_emptied = True
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_in_place(path, data)
        else:
            return True
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)


def _create_in_place(path: str, data: memoryview) -> bool:
    """Create a file atomically without hard links; readers may see it before it is complete."""
    made: list[io.FileIO] = []
    try:
        # A single step, see `paths`: only a file that this call created is removed below.
        made.extend(map(io.FileIO, (path,), ("xb",)))
        with made[0] as file:
            _write_all(file, data)
    except BaseException as error:
        if made:
            with suppress(OSError):
                os.unlink(path)
        elif isinstance(error, FileExistsError):
            return False
        raise
    return True


def _write_all(file: io.FileIO, data: memoryview) -> None:
    written = 0
    while written < data.nbytes:
        written += file.write(data[written:])


def _remove(path: str) -> None:
    if is_folder_link(path):
        return
    try:
        with folder_lock(path, exclusive=False):
            os.unlink(path)
    except OSError as error:
        # macOS returns EPERM for a folder.
        if not is_no_file(error) and not (error.errno == errno.EPERM and os.path.isdir(path)):
            raise
