"""Values moved into place: whole or not at all, and one winner where that is asked.

A value is written to a temporary file in the key's own folder. Its name is known before the file
is made, so that whatever interrupts the work finds it and removes it.
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
from .locks import FolderLockedError, folder_lock
from .paths import is_folder_link, is_no_file, parent
from .reading import read_version, size
from .removing import remove_empty
from .replaced import replaced_by, take_over

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Removal", "Replacement", "Write", "create"]

T = TypeVar("T")

#: Errors of file systems without hard links.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
#: A folder may be removed between making it and writing into it; then it is made again.
_FOLDER_TRIES = 100
#: A file in the way may be removed between the link that failed and the look at it.
_PLACE_TRIES = 100

# Functions of C, which open a file and hand it over in one step: see `paths`.
_for_everybody = partial(os.open, mode=0o666)
_for_the_owner = partial(os.open, mode=0o600)


class _Temporary:
    """A value in a temporary file beside its path."""

    def __init__(self, path: str, data: memoryview) -> None:
        self._folder = parent(path).rstrip("/")
        self._path = path
        self._data = data
        self.name: str | None = None

    def make(self, old: os.stat_result | None) -> str:
        """Write the file, with the owner and permissions of the one it is to replace.

        Where it replaces none it has the mode of any program's new file: 0666 less the umask.
        """
        opener = _for_everybody if old is None else _for_the_owner
        for attempt in range(_FOLDER_TRIES):
            self.name = name = f"{self._folder}/{temporary_name()}"
            try:
                with io.FileIO(name, "xb", opener=opener) as file:
                    _write_all(file, self._data)
                    if old is not None:
                        take_over(file.fileno(), self._path, old)
                return name
            except FileNotFoundError:
                self._make_folder(is_last=attempt == _FOLDER_TRIES - 1)
        reason = "the folder was removed each time it had been made"
        raise FileNotFoundError(errno.ENOENT, reason, self._folder)

    def _make_folder(self, *, is_last: bool) -> None:
        try:
            os.makedirs(self._folder, exist_ok=True)
        except (FileNotFoundError, FileExistsError):
            # Removed again meanwhile, in the middle of makedirs too; or a link to nothing.
            if is_last:
                raise

    def discard(self) -> None:
        if self.name is not None:
            with suppress(OSError):
                os.unlink(self.name)
            self.name = None

    def until_kept(self, move: Callable[[], T]) -> T:
        """The result of moving the file into place, repeated while other programs remove the file.

        A program that removes the folder with all its files (``shutil.rmtree``) removes this one.
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
    """A value in place of whatever is there; see `Backend.write` and `locks.Locking`."""

    def __init__(self, path: str, data: memoryview) -> None:
        self._path = path
        self._temporary = _Temporary(path, data)

    def attempt(self) -> None:
        try:
            self._temporary.until_kept(self._move)
        except FolderLockedError:
            raise
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        self._temporary.discard()

    def _move(self) -> None:
        name = self._temporary.name or self._temporary.make(replaced_by(self._path))
        with folder_lock(self._path, exclusive=False):
            try:
                os.replace(name, self._path)
            except IsADirectoryError:
                # Folders without a file are no keys and hold no place.
                remove_empty(self._path)
                os.replace(name, self._path)
        self._temporary.name = None


class Replacement:
    """A value in place of one version of it; see `Backend.replace` and `locks.Locking`."""

    def __init__(self, path: str, data: memoryview, version: str) -> None:
        self._path = path
        self._version = version
        self._temporary = _Temporary(path, data)

    def attempt(self) -> bool:
        try:
            is_same = self._temporary.until_kept(self._move)
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
            self._temporary.make(replaced_by(self._path))
        with folder_lock(self._path, exclusive=True):
            found = read_version(self._path)
            is_same = found is not None and found[1] == self._version
            if is_same and self._temporary.name is not None:
                os.replace(self._temporary.name, self._path)
                self._temporary.name = None
        return is_same


class Removal:
    """Files removed, if they are there; see `Backend.remove_many` and `locks.Locking`."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._left = list(reversed(paths))

    def attempt(self) -> None:
        while self._left:
            _remove(self._left[-1])
            self._left.pop()

    def discard(self) -> None:
        """What was removed stays so."""


def create(path: str, data: memoryview) -> bool:
    """Write a file that must not exist yet; see `Backend.create`."""
    temporary = _Temporary(path, data)
    try:
        is_created = temporary.until_kept(lambda: _link(temporary.make(None), path, data))
        # Here and not in a "finally", which would not be protected from an interruption itself.
        temporary.discard()
    except BaseException:
        temporary.discard()
        raise
    return is_created


def _link(name: str, path: str, data: memoryview) -> bool:
    is_emptied = False
    for _ in range(_PLACE_TRIES):
        try:
            os.link(name, path)
        except FileExistsError:
            if size(path) is not None:
                return False
            try:
                mode = os.lstat(path).st_mode
            except FileNotFoundError:
                # It was removed meanwhile.
                continue
            if stat.S_ISREG(mode):
                # It was removed, and another one created.
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
    """Where there are no hard links: one winner still, but readers may see it write."""
    made: list[io.FileIO] = []
    try:
        # In one step, see `paths`: what is removed below is surely this call's.
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
        # EPERM is what macOS answers for a folder.
        if not is_no_file(error) and not (error.errno == errno.EPERM and os.path.isdir(path)):
            raise
