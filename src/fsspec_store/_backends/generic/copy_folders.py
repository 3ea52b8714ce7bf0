"""A cache folder that threads, stores and processes share: copies appear atomically.

Each value has a separate folder. A copy is written under a temporary name and renamed into that
folder under a unique name, so that no reader sees a partial copy and no copy is overwritten. There
are no locks between processes.

Layout of a cache folder::

    fsspec-store-DIGEST/TIME-FIELD-...      a copy; the field "changed" marks a change of the value
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
from .service_identity import digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Copy", "CopyFolder", "NotCopiedError", "lock_of"]

_PREFIX = "fsspec-store-"
_PARTIAL = f"{_PREFIX}partial"
#: The field of a marker: older copies, in read-only folders, are outdated.
_CHANGED = "changed"
#: Suffix of an empty file that is removed when the value changes. The temporary file itself may be
#: recreated by a filesystem that writes to it later.
_BEGUN = ".begun"
_NAME = re.compile(r"\d{20}-")


class NotCopiedError(OSError):
    """A value exists but cannot be copied, for example because it changes all the time."""


@dataclass(frozen=True)
class Copy:
    """A copy in the folder of its value: a file, or a folder of blocks."""

    path: str
    #: The fields of its name; the first one is the digest of the value's version.
    fields: tuple[str, ...]
    #: Whether it is in the writable cache folder.
    is_writable: bool


class CopyFolder:
    """The copies of one value, which is identified by a digest.

    Only the last one of the cache folders is writable. ``expiry`` is the maximum age of a copy in
    seconds; false for no limit.
    """

    def __init__(self, folders: Sequence[str], digest: str, expiry: float) -> None:
        self._digest = digest
        self._expiry = expiry
        self._partial = os.path.join(folders[-1], _PARTIAL)
        self._folders = [os.path.join(folder, _PREFIX + digest) for folder in folders]
        self.path = self._folders[-1]

    def valid(self, uid: str | None) -> Copy | None:
        """The newest copy that is valid: of this version if there is one, and not expired."""
        for name, folder in self._names():
            made, *fields = name.split("-")
            age = time.time() - int(made) / 1e9
            if fields == [_CHANGED] or (self._expiry and age > self._expiry):
                return None
            copy = Copy(os.path.join(folder, name), tuple(fields), folder == self.path)
            if self._expiry and age < -self._expiry:
                # Made while the clock was ahead: it would stay the newest copy and not expire.
                if copy.is_writable:
                    self.discard(copy.path)
            elif uid is None or fields[0] == digest_of(uid):
                return copy
        return None

    def is_changed(self) -> bool:
        """Whether a store changed the value after the newest copy was made."""
        return any(name.endswith(f"-{_CHANGED}") for name, _ in self._names()[:1])

    def new_file(self) -> str:
        """Make an empty temporary file and return its path."""
        while True:
            path = self._temporary()
            with suppress(FileNotFoundError):
                for name in (path + _BEGUN, path):
                    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
                return path

    def new_folder(self) -> str:
        """Make an empty temporary folder and return its path."""
        while True:
            path = self._temporary()
            with suppress(FileNotFoundError):
                _make_folder(path)
                return path

    def is_current(self, temporary: str) -> bool:
        """Whether no store changed the value after `new_file` returned this path."""
        return os.path.lexists(temporary + _BEGUN)

    def publish(self, temporary: str, fields: Sequence[str]) -> Copy | None:
        """Make a temporary file or folder the newest copy, and remove older ones.

        Returns ``None`` if a store changed the value after the temporary file was made.
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
                # The value's folder or the temporary file was removed.
                if not os.path.lexists(temporary):
                    return None
        # Another process may have published one meanwhile: only the newest stays.
        for other, folder in self._names()[1:]:
            if folder == self.path:
                _remove(os.path.join(folder, other))
        self.discard(temporary)
        return Copy(path, tuple(fields), is_writable=True)

    def add(self, content: memoryview, path: str) -> None:
        """Add a file to a copy that is a folder, unless the folder was removed."""
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

    def remove(self, *, is_elsewhere: bool) -> None:
        """Remove all copies of the value, also those that any process is making.

        If a copy may be elsewhere, in a read-only folder, a marker disables it.
        """
        for name in _names_in(self._partial):
            if name.startswith(self._digest):
                _remove(os.path.join(self._partial, name))
        if is_elsewhere or any(folder != self.path for _, folder in self._names()):
            while self.publish(self.new_file(), [_CHANGED]) is None:
                # Removed by another change, which may publish no marker.
                pass
            return
        if os.path.isdir(self.path):
            gone = self.new_folder()
            # Atomic: a copy that another process publishes now is in this folder, or is newer.
            with suppress(FileNotFoundError):
                os.rename(self.path, gone)
            _remove(gone)
        self._tidy()

    def _names(self) -> list[tuple[str, str]]:
        found = [
            (name, folder)
            for folder in self._folders
            for name in _names_in(folder)
            # NFS keeps removed files under other names while they are open.
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
            # A PermissionError would be attributed to the service.
            raise OSError(
                f"cannot write to the cache folder {folder!r} ({error.strerror}): "
                "set cache_storage to a writable folder"
            ) from None
        self._remove_abandoned()
        return os.path.join(self._partial, f"{self._digest}-{secrets.token_hex(8)}.tmp")

    def _remove_abandoned(self) -> None:
        oldest = time.time() - ABANDONED_AFTER
        for name in _names_in(self._partial):
            path = os.path.join(self._partial, name)
            written = path.removesuffix(_BEGUN)
            with suppress(OSError):
                # A marker stays while its temporary file is being written, however old it is.
                if os.lstat(written if os.path.lexists(written) else path).st_mtime < oldest:
                    _remove(path)

    def _tidy(self) -> None:
        # Fails if the folder is not empty.
        with suppress(OSError):
            os.rmdir(self._partial)


def _make_folder(path: str) -> None:
    """Make a folder with the permissions of its parent."""
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


#: Locks by the path of a copy, for threads of this process. Processes may make the same copy.
_locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
_guard = free_in_child(threading.Lock())


def lock_of(path: str) -> threading.Lock:
    """The lock of this process for making the copy at a path."""
    with _guard:
        return _locks.setdefault(path, threading.Lock())


@in_child
def _forget_locks() -> None:
    # A thread of the parent may hold one.
    _locks.clear()
