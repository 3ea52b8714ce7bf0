"""Recursive removal with descriptors, so that no link that replaces a folder is followed.

Each call resolves a path again: another process could replace a folder by a link, and files outside
would be removed. A descriptor stays bound to the opened folder (``openat``, ``O_NOFOLLOW``). The
number of open descriptors is bounded at any depth.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import closing, nullcontext, suppress
from functools import partial

from ..._core.leftovers import ABANDONED_AFTER
from ..temporary_names import is_temporary
from .locks import FolderLockedError, shared_lock
from .paths import FOLDER_FLAGS, is_no_file, opened, parent

__all__ = ["remove_below", "remove_empty", "remove_empty_above", "remove_temporary"]

#: Maximum number of open descriptors of folders above; others are reopened.
_MAX_OPEN = 32
#: Errors of opening a link or a file as a folder.
_NO_FOLDER = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})


class _Descent:
    """The path from a folder to one below it, as descriptors."""

    def __init__(self, path: str, *, flags: int = FOLDER_FLAGS, folder: int | None = None) -> None:
        #: Name and identity (device, inode) of each folder on the path.
        self._folders: list[tuple[str, tuple[int, int]]] = []
        #: Descriptors of the last of these folders.
        self._held: list[int] = []
        try:
            self._open(path, flags, folder)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        while self._held:
            os.close(self._held.pop())

    @property
    def here(self) -> int:
        """Descriptor of the current folder."""
        return self._held[-1]

    @property
    def depth(self) -> int:
        return len(self._folders) - 1

    @property
    def below(self) -> str:
        """Names of the folders below the first one, joined by ``/``."""
        return "/".join(name for name, _ in self._folders[1:])

    def enter(self, name: str) -> None:
        """Enter a folder; ``OSError`` if it is missing, a link or a file."""
        self._open(name, FOLDER_FLAGS | os.O_NOFOLLOW, self.here)
        if len(self._held) > _MAX_OPEN:
            os.close(self._held.pop(0))

    def leave(self) -> bool:
        """Return to the folder above, and remove the current folder if it is empty.

        Returns whether it was removed. Raises ``OSError`` if another process moved it.
        """
        name, _ = self._folders.pop()
        if len(self._held) == 1:
            self._held.insert(0, os.open("..", FOLDER_FLAGS, dir_fd=self._held[0]))
            if _identity(self._held[0]) != self._folders[-1][1]:
                raise OSError(f"the folder {name!r} was moved while its files were removed")
        os.close(self._held.pop())
        try:
            os.rmdir(name, dir_fd=self.here)
        except OSError:
            # It is not empty, or was replaced.
            return False
        return True

    def _open(self, name: str, flags: int, folder: int | None) -> None:
        self._held.extend(map(partial(os.open, dir_fd=folder), (name,), (flags,)))
        self._folders.append((name, _identity(self._held[-1])))


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def remove_below(directory: str, *, is_root: bool) -> None:
    """Remove every file below a directory, then its empty folders; links are not followed.

    Each folder is locked while its files are removed: no concurrent compare and swap restores one.
    Raises `FolderLockedError` when another process or thread locks a folder. Another call removes
    the remaining files.

    The directory stays, and may be missing. A link to a folder is itself removed, unless it is the
    store's root (``is_root``).
    """
    path = directory.rstrip("/") or "/"
    try:
        if is_root:
            descent = _Descent(path)
        else:
            with opened(parent(path), FOLDER_FLAGS) as above:
                name = path.rpartition("/")[2]
                if _is_link_to_folder(name, above):
                    os.unlink(name, dir_fd=above)
                    return
                descent = _Descent(name, flags=FOLDER_FLAGS | os.O_NOFOLLOW, folder=above)
    except OSError as error:
        if is_no_file(error):
            return
        raise
    with closing(descent):
        try:
            _empty(descent, with_files=True)
        except FolderLockedError:
            raise FolderLockedError(f"{path}/{descent.below}".rstrip("/")) from None


def remove_empty(path: str) -> None:
    """Remove a folder that contains no file at any depth; keep it otherwise."""
    with suppress(OSError), opened(parent(path), FOLDER_FLAGS) as above:
        name = path.rpartition("/")[2]
        descent = _Descent(name, flags=FOLDER_FLAGS | os.O_NOFOLLOW, folder=above)
        with closing(descent):
            _empty(descent, with_files=False)
        os.rmdir(name, dir_fd=above)


def remove_empty_above(directory: str, root: str) -> None:
    """Remove a folder below the root if it is empty, and then each empty folder above it.

    The root stays, and so does a link on the path.
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


def remove_temporary(path: str) -> None:
    """Remove a temporary file, unless its folder was replaced by a link."""
    with suppress(FileNotFoundError), opened(parent(path), FOLDER_FLAGS | os.O_NOFOLLOW) as folder:
        os.unlink(path.rpartition("/")[2], dir_fd=folder)


def _empty(descent: _Descent, *, with_files: bool) -> None:
    """Remove everything below the current folder, or (``with_files=False``) only empty folders."""
    top = descent.depth
    remaining = [_clear(descent.here, with_files)]
    while True:
        if not remaining[-1]:
            remaining.pop()
            if descent.depth == top:
                return
            descent.leave()
            continue
        name = remaining[-1].pop()
        try:
            descent.enter(name)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno not in _NO_FOLDER:
                raise
            # The folder was replaced by a link or a file.
            if with_files:
                _unlink(name, descent.here)
        else:
            remaining.append(_clear(descent.here, with_files))


def _clear(folder: int, with_files: bool) -> list[str]:
    """Remove the files of one folder if ``with_files``, and return the names of its folders."""
    folders = []
    # The caller adds the path to the error.
    lock = shared_lock(folder, "") if with_files else nullcontext()
    with lock, os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif with_files and not _is_being_written(entry):
                try:
                    _unlink(entry.name, folder)
                except IsADirectoryError:
                    # The file was replaced by a folder.
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
