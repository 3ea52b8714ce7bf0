"""A folder of copies that threads, stores and processes share: a copy is there whole, or not there.

Each value has a folder of its own. A copy is written under a temporary name and renamed into that
folder, under a name that no other copy ever has, so that no reader sees a part of it and no copy is
ever overwritten. No lock is held between processes. What a copy holds is not known here.

Layout of a cache folder::

    fsspec-store-DIGEST/TIME-FIELD-...      a copy; a "changed" field marks a change of the value
    fsspec-store-partial/DIGEST-TOKEN.tmp   a copy that is being written
    fsspec-store-partial/DIGEST-TOKEN.tmp.begun
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from ..._core.leftovers import ABANDONED_AFTER
from ..._runtime.forks import free_in_child, in_child

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Copy", "CopyFolder", "NotCopiedError", "lock_of"]

_PREFIX = "fsspec-store-"
_PARTIAL = f"{_PREFIX}partial"
#: The field of a mark: older copies, in folders that may only be read, are of an older value.
_CHANGED = "changed"
#: The suffix of an empty file that goes when the value changes. The temporary file beside it may be
#: made again by a filesystem that writes to it later.
_BEGUN = ".begun"
_NAME = re.compile(r"\d{20}-")


class NotCopiedError(OSError):
    """A value exists and cannot be copied, for example because it changes all the time."""


@dataclass(frozen=True)
class Copy:
    """A copy in the folder of its value.

    Parameters
    ----------
    path : str
        Its file or folder.
    made : float
        When it was made, in seconds since the epoch.
    fields : tuple of str
        What was published with it.
    is_writable : bool
        Whether it is in the folder that is written to.
    """

    path: str
    made: float
    fields: tuple[str, ...]
    is_writable: bool


class CopyFolder:
    """The copies of one value.

    Parameters
    ----------
    folders : sequence of str
        The cache folders. Only the last one is written to.
    digest : str
        Names the value.
    """

    def __init__(self, folders: Sequence[str], digest: str) -> None:
        self._digest = digest
        self._partial = os.path.join(folders[-1], _PARTIAL)
        self._folders = [os.path.join(folder, _PREFIX + digest) for folder in folders]
        self.path = self._folders[-1]

    def copies(self) -> Iterator[Copy]:
        """The copies, the newest first, without those older than a change by a store."""
        for name, folder in self._names():
            made, *fields = name.split("-")
            if fields == [_CHANGED]:
                return
            is_writable = folder == self.path
            yield Copy(os.path.join(folder, name), int(made) / 1e9, tuple(fields), is_writable)

    def is_changed(self) -> bool:
        """Whether a store changed the value, and no copy was made since."""
        return any(name.endswith(f"-{_CHANGED}") for name, _ in self._names()[:1])

    def new_file(self) -> str:
        """The path of a temporary file that any filesystem may write."""
        while True:
            path = self._temporary()
            with suppress(FileNotFoundError):
                for name in (path + _BEGUN, path):
                    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
                return path

    def new_folder(self) -> str:
        """The path of a new empty temporary folder."""
        while True:
            path = self._temporary()
            with suppress(FileNotFoundError):
                _make_folder(path)
                return path

    def is_current(self, temporary: str) -> bool:
        """Whether no store changed the value since `new_file` returned this path."""
        return os.path.lexists(temporary + _BEGUN)

    def publish(self, temporary: str, fields: Sequence[str]) -> Copy | None:
        """Make a temporary file or folder the newest copy, and remove older ones.

        Returns
        -------
        Copy or None
            ``None`` when a store changed the value since the temporary file was made.
        """
        if not os.path.isdir(temporary) and not self.is_current(temporary):
            return None
        names = self._names()
        made = max([time.time_ns(), *(int(name.partition("-")[0]) + 1 for name, _ in names[:1])])
        name = "-".join([f"{made:020d}", *fields])
        path = os.path.join(self.path, name)
        while True:
            try:
                _make_folder(self.path)
                os.rename(temporary, path)
                break
            except FileNotFoundError:
                # Either the value's folder went, or the temporary file did.
                if not os.path.lexists(temporary):
                    return None
        # Another process may have published one meanwhile: of all only the newest stays.
        for other, folder in self._names()[1:]:
            if folder == self.path:
                _remove(os.path.join(folder, other))
        self.discard(temporary)
        return Copy(path, made / 1e9, tuple(fields), is_writable=True)

    def add(self, content: memoryview, path: str) -> None:
        """Put a file into a copy that is a folder, unless that was removed."""
        temporary = self._temporary()
        try:
            with suppress(FileNotFoundError):
                with open(temporary, "xb") as file:
                    file.write(content)
                os.rename(temporary, path)
        finally:
            self.discard(temporary)

    def discard(self, path: str) -> None:
        """Remove a temporary file or a copy."""
        _remove(path)
        _remove(path + _BEGUN)
        self._tidy()

    def forget(self, *, is_elsewhere: bool) -> None:
        """Remove all copies of the value, and those that are being made, in any process.

        Parameters
        ----------
        is_elsewhere : bool
            Whether a folder that may only be read may hold another copy, which is then not used
            any more.
        """
        for name in _names_in(self._partial):
            if name.startswith(self._digest):
                _remove(os.path.join(self._partial, name))
        if is_elsewhere or any(folder != self.path for _, folder in self._names()):
            while self.publish(self.new_file(), [_CHANGED]) is None:
                # Removed by another change, which may publish no mark.
                pass
            return
        if os.path.isdir(self.path):
            gone = self.new_folder()
            # All at once: a copy that another process publishes now is either in it, or is newer.
            with suppress(FileNotFoundError):
                os.rename(self.path, gone)
            _remove(gone)
        self._tidy()

    def _names(self) -> list[tuple[str, str]]:
        found = [
            (name, folder)
            for folder in self._folders
            for name in _names_in(folder)
            # A network file system keeps removed files under names of its own while they are open.
            if _NAME.match(name)
        ]
        return sorted(found, reverse=True)

    def _temporary(self) -> str:
        folder = os.path.dirname(self._partial)
        try:
            os.makedirs(folder, exist_ok=True)
            _make_folder(self._partial)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            # Not a PermissionError, which would count as the service's.
            raise OSError(
                f"cannot keep copies in {folder!r} ({error.strerror}): "
                "set cache_storage to a folder that can be written"
            ) from None
        self._remove_abandoned()
        return os.path.join(self._partial, f"{self._digest}-{secrets.token_hex(8)}.tmp")

    def _remove_abandoned(self) -> None:
        oldest = time.time() - ABANDONED_AFTER
        for name in _names_in(self._partial):
            path = os.path.join(self._partial, name)
            written = path.removesuffix(_BEGUN)
            with suppress(OSError):
                # A file beside one that is still being written stays, however old.
                if os.lstat(written if os.path.lexists(written) else path).st_mtime < oldest:
                    _remove(path)

    def _tidy(self) -> None:
        # Not while something is in it.
        with suppress(OSError):
            os.rmdir(self._partial)


def _make_folder(path: str) -> None:
    """Make a folder with the write permissions of the one above."""
    with suppress(FileExistsError):
        os.mkdir(path)
        with suppress(OSError):
            os.chmod(path, stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode))


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError:
        shutil.rmtree(path, ignore_errors=True)


#: By what is being copied. Of this process alone: copies of other processes do no harm.
_locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
_guard = free_in_child(threading.Lock())


def lock_of(path: str) -> threading.Lock:
    """The lock under which this process makes the copy at a path."""
    with _guard:
        lock = _locks.get(path)
        if lock is None:
            lock = _locks[path] = threading.Lock()
        return lock


@in_child
def _forget_locks() -> None:
    # A thread of the parent may hold one.
    global _locks
    _locks = WeakValueDictionary()
