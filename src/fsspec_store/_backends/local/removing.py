"""Folders emptied by descriptors, so that no link is followed that takes a folder's place.

A path is looked up again by each call. A process that may write in the folder could replace it by
a link meanwhile, and files elsewhere would be removed. A descriptor stays with the folder that was
opened (``openat``, ``O_NOFOLLOW``). However deep the folders lie, few descriptors are open at a
time.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import nullcontext, suppress
from functools import partial

from ..._core.leftovers import ABANDONED_AFTER
from ..temporary_names import is_temporary
from .locks import FolderLockedError, shared_lock
from .paths import FOLDER, is_no_file, opened, parent

__all__ = ["Emptying", "remove_empty", "remove_empty_above"]

#: Descriptors of folders above the current one that stay open; others are opened again.
_MOST_OPEN = 32
#: Errors of opening what is no folder itself: a link, a file.
_NO_FOLDER = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})


class _Descent:
    """The way down from a folder to one below it, as descriptors."""

    def __init__(self, path: str, *, flags: int = FOLDER, folder: int | None = None) -> None:
        #: Name and identity of each folder on the way.
        self._way: list[tuple[str, tuple[int, int]]] = []
        #: Descriptors of the last of them.
        self._held: list[int] = []
        try:
            self._open(path, flags, folder)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> _Descent:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        while self._held:
            os.close(self._held.pop())

    @property
    def here(self) -> int:
        """Descriptor of the folder that was reached."""
        return self._held[-1]

    @property
    def depth(self) -> int:
        return len(self._way) - 1

    @property
    def below(self) -> str:
        """Names of the folders below the first one, joined by ``/``."""
        return "/".join(name for name, _ in self._way[1:])

    def enter(self, name: str) -> None:
        """Go into a folder that is no link.

        Raises
        ------
        OSError
            When it is one, or no folder, or missing.
        """
        self._open(name, FOLDER | os.O_NOFOLLOW, self.here)
        if len(self._held) > _MOST_OPEN:
            os.close(self._held.pop(0))

    def leave(self) -> bool:
        """Go back to the folder above; remove the one that was left, and say whether that could be.

        Raises
        ------
        OSError
            When it is not any more in the folder by which it was reached.
        """
        name, _ = self._way.pop()
        if len(self._held) == 1:
            self._held.insert(0, os.open("..", FOLDER, dir_fd=self._held[0]))
            if _identity(self._held[0]) != self._way[-1][1]:
                raise OSError(f"the folder {name!r} was moved while its files were removed")
        os.close(self._held.pop())
        try:
            os.rmdir(name, dir_fd=self.here)
        except OSError:
            # What holds something stays, and what took its place.
            return False
        return True

    def _open(self, name: str, flags: int, folder: int | None) -> None:
        self._held.extend(map(partial(os.open, dir_fd=folder), (name,), (flags,)))
        self._way.append((name, _identity(self._held[-1])))


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


class Emptying:
    """Remove every file below, links themselves and not what they lead to, then empty folders.

    Each folder is locked while its files are removed, as for a single removal: no replacement under
    way brings one of them back. A `fsspec_store._backends.local.locks.Locking`.

    Parameters
    ----------
    directory : str
        Stays. Nothing is done where it is missing. A link to a folder is removed itself, unless it
        is the store's root.
    is_root : bool
        Whether it is the store's root.
    """

    def __init__(self, directory: str, *, is_root: bool) -> None:
        self._path = directory.rstrip("/") or "/"
        self._is_root = is_root

    def attempt(self) -> None:
        """Remove what is left."""
        path = self._path
        try:
            if self._is_root:
                descent = _Descent(path)
            else:
                with opened(parent(path), FOLDER) as above:
                    name = path.rpartition("/")[2]
                    if _is_link_to_folder(name, above):
                        os.unlink(name, dir_fd=above)
                        return
                    descent = _Descent(name, flags=FOLDER | os.O_NOFOLLOW, folder=above)
        except OSError as error:
            if is_no_file(error):
                return
            raise
        with descent:
            try:
                _empty(descent, with_files=True)
            except FolderLockedError:
                raise FolderLockedError(f"{path}/{descent.below}".rstrip("/")) from None

    def discard(self) -> None:
        """Nothing is left to undo."""


def remove_empty(path: str) -> None:
    """Remove a folder, and the folders below it that hold no file, if none of them does."""
    with suppress(OSError), opened(parent(path), FOLDER) as above:
        name = path.rpartition("/")[2]
        with _Descent(name, flags=FOLDER | os.O_NOFOLLOW, folder=above) as descent:
            _empty(descent, with_files=False)
        os.rmdir(name, dir_fd=above)


def remove_empty_above(directory: str, root: str) -> None:
    """Remove a folder below the root if it is empty, and so each one above it.

    The root stays, and so does a link on the way.
    """
    names = directory[len(root) :].strip("/").split("/")
    with suppress(OSError):
        descent = _Descent(root)
        try:
            for name in names:
                try:
                    descent.enter(name)
                except OSError as error:
                    if error.errno not in _NO_FOLDER:
                        break
                    followed = _Descent(name, folder=descent.here)
                    descent.close()
                    descent = followed
            while descent.depth and descent.leave():
                pass
        finally:
            descent.close()


def _empty(descent: _Descent, *, with_files: bool) -> None:
    """Remove what is below the folder that was reached; or only folders that hold no file."""
    top = descent.depth
    left = [_clear(descent.here, with_files)]
    while True:
        if not left[-1]:
            left.pop()
            if descent.depth == top:
                return
            descent.leave()
            continue
        name = left[-1].pop()
        try:
            descent.enter(name)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno not in _NO_FOLDER:
                raise
            # It was a folder a moment ago.
            if with_files:
                _unlink(name, descent.here)
        else:
            left.append(_clear(descent.here, with_files))


def _clear(folder: int, with_files: bool) -> list[str]:
    """Remove the files of one folder if that is asked, and return the names of its folders."""
    folders = []
    # The caller knows the folder's path.
    lock = shared_lock(folder, "") if with_files else nullcontext()
    with lock, os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif with_files and not _is_being_written(entry):
                try:
                    _unlink(entry.name, folder)
                except IsADirectoryError:
                    # A folder took its place.
                    folders.append(entry.name)
    return folders


def _unlink(name: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _is_being_written(entry: os.DirEntry[str]) -> bool:
    if not is_temporary(entry.name):
        return False
    try:
        age = time.time() - entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return True
    return age < ABANDONED_AFTER


def _is_link_to_folder(name: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode) and stat.S_ISDIR(
            os.stat(name, dir_fd=folder).st_mode
        )
    except OSError as error:
        if is_no_file(error):
            return False
        raise
