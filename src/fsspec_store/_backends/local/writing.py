"""Atomic writes, atomic creation, compare and swap, and removal of files.

A value is written to a temporary file in the key's folder, which is then renamed. Its name is
stored before the file is created, so that it is removed after any interruption.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from ..temporary_names import temporary_name
from .file_attributes import copy_attributes, replaced_status
from .locks import folder_lock
from .paths import is_no_file, parent
from .reading import read_version, size
from .removing import remove_empty

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Creation", "Replacement", "StreamedWrite", "TemporaryFile", "Write", "remove_files"]

T = TypeVar("T")
R = TypeVar("R")

#: Errors of file systems without hard links.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
#: Maximum number of attempts if another program removes the folder or the file meanwhile.
_ATTEMPTS = 100

# Implemented in C: they open a file and return it in a single step, see `paths`.
_open_default = partial(os.open, mode=0o666)
_open_private = partial(os.open, mode=0o600)


class TemporaryFile(ABC, Generic[T]):
    """A value in a temporary file in the folder of its path, and the operation that moves it."""

    def __init__(self, path: str, data: memoryview) -> None:
        self._folder = parent(path).rstrip("/")
        self._path = path
        self._data = data
        self._name: str | None = None

    def attempt(self) -> T:
        """Run the operation, and remove the temporary file if there still is one.

        After an error `discard` must be called.
        """
        result = self._in_folder(self._move)
        self.discard()
        return result

    def _in_folder(self, operation: Callable[[], R]) -> R:
        """Run an operation; make the folder and the file again if another program removed them.

        ``shutil.rmtree`` on the folder, for example, removes the temporary file.
        """
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                return operation()
            except FileNotFoundError:
                if self._name is not None and os.path.lexists(self._name):
                    raise
            self._name = None
            try:
                os.makedirs(self._folder, exist_ok=True)
            except (FileNotFoundError, FileExistsError):
                # Removed meanwhile, possibly during makedirs; or a broken link.
                if not attempts_left:
                    raise
        reason = "the folder was removed each time it was made"
        raise FileNotFoundError(errno.ENOENT, reason, self._folder)

    def discard(self) -> None:
        """Remove the temporary file, if there is one."""
        if self._name is not None:
            with suppress(OSError):
                os.unlink(self._name)
            self._name = None

    @abstractmethod
    def _move(self) -> T:
        """Make the temporary file if there is none, and move it to the path."""

    def _made(self, old: os.stat_result | None) -> str:
        """Write the file, with the owner and permissions of the file that it replaces.

        If it replaces none, it has the default mode of new files: 0666 without the umask.
        """
        self._name = name = f"{self._folder}/{temporary_name()}"
        with _opened(name, old) as file:
            self._fill(file)
            if old is not None:
                copy_attributes(file.fileno(), self._path, old)
        return name

    def _fill(self, file: io.FileIO) -> None:
        """Write the value to the temporary file."""
        _write_all(file, self._data)


class Write(TemporaryFile[None]):
    """Write a value; see `Backend.write`."""

    def _move(self) -> None:
        name = self._name or self._made(replaced_status(self._path))
        with folder_lock(self._path, exclusive=False):
            try:
                os.replace(name, self._path)
            except IsADirectoryError:
                # Folders without files are not keys and may be replaced.
                remove_empty(self._path)
                os.replace(name, self._path)
        self._name = None


class StreamedWrite(Write):
    """Write a value whose bytes arrive in parts."""

    def __init__(self, path: str) -> None:
        super().__init__(path, memoryview(b""))
        self._file: io.FileIO | None = None

    def write(self, part: memoryview) -> None:
        """Add bytes to the temporary file. After an error `discard` must be called."""
        if self._file is None:
            self._file = self._in_folder(self._open)
        _write_all(self._file, part)

    def attempt(self) -> None:
        """Rename the temporary file."""
        self.write(memoryview(b""))
        if self._file is not None:
            self._file.close()
        # Without `_in_folder`: a file that another program removed cannot be made again.
        self._move()

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
        super().discard()

    def _open(self) -> io.FileIO:
        self._name = name = f"{self._folder}/{temporary_name()}"
        old = replaced_status(self._path)
        file = _opened(name, old)
        try:
            if old is not None:
                copy_attributes(file.fileno(), self._path, old)
        except BaseException:
            file.close()
            raise
        return file


class Replacement(TemporaryFile[bool]):
    """Replace one version of a value; see `Backend.replace`."""

    def __init__(self, path: str, data: memoryview, version: str) -> None:
        super().__init__(path, data)
        self._version = version

    def _move(self) -> bool:
        if self._name is None and size(self._path) is None:
            return False
        name = self._name or self._made(replaced_status(self._path))
        with folder_lock(self._path, exclusive=True):
            current = read_version(self._path)
            if current is None or current[1] != self._version:
                return False
            os.replace(name, self._path)
        self._name = None
        return True


class Creation(TemporaryFile[bool]):
    """Write a file unless it exists; see `Backend.create`."""

    def _move(self) -> bool:
        name = self._name or self._made(None)
        is_emptied = False
        for _ in range(_ATTEMPTS):
            try:
                os.link(name, self._path)
                return True
            except FileExistsError:
                if size(self._path) is not None:
                    return False
                try:
                    mode = os.lstat(self._path).st_mode
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
                remove_empty(self._path)
                is_emptied = True
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return _create_in_place(self._path, self._data)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self._path)


def remove_files(remaining: list[str]) -> None:
    """Remove files from the end of a list, and remove their paths from the list."""
    while remaining:
        _remove(remaining[-1])
        remaining.pop()


def _create_in_place(path: str, data: memoryview) -> bool:
    """Create a file atomically without hard links; readers may see it before it is complete."""
    made: list[io.FileIO] = []
    try:
        # Opened and stored in a single step (see `paths`): only a file of this call is removed.
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


def _opened(name: str, old: os.stat_result | None) -> io.FileIO:
    """A new temporary file, private if it replaces a file."""
    return io.FileIO(name, "xb", opener=_open_default if old is None else _open_private)


def _write_all(file: io.FileIO, data: memoryview) -> None:
    written = 0
    while written < data.nbytes:
        written += file.write(data[written:])


def _remove(path: str) -> None:
    if os.path.islink(path) and os.path.isdir(path):
        return
    try:
        with folder_lock(path, exclusive=False):
            os.unlink(path)
    except OSError as error:
        # macOS returns EPERM for a folder.
        if not is_no_file(error) and not (error.errno == errno.EPERM and os.path.isdir(path)):
            raise
