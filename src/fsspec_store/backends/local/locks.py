"""Locks on folders: alone, to replace what was just compared; shared, to write or delete.

Every process that may open a folder may lock it (flock(2)), and may keep the lock for ever. So a
lock is tried and never waited for in the kernel, where a wait could not be cancelled and would
occupy a thread of the pool: between two tries the caller waits, for a limited time.
"""

from __future__ import annotations

import errno
import os
import random
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

from ...threads import in_thread, pause
from .paths import FOLDER, parent

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:
    # Platforms without flock(2): nothing is locked, and no version replaced.
    fcntl = None  # type: ignore[assignment]

__all__ = ["FolderLockedError", "Locking", "folder_lock", "locking", "shared_lock"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

#: Seconds before the second try, and at most before any: a lock of this package is held for far
#: less, and one of another program for any time.
_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.025

#: Errors of file systems without locks on folders. EBADF is that of NFS, where what is locked
#: exclusively must be open for writing, which no folder can be.
_NO_LOCKS = frozenset(
    {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
)


class FolderLockedError(Exception):
    """Another process, or another thread, holds a lock on the folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.folder = folder


class Locking(Protocol[T_co]):
    """Work that needs a folder's lock, begun once and tried until the lock is free."""

    def attempt(self) -> T_co:
        """Do it.

        Raises
        ------
        FolderLockedError
            When the lock is not free: to be tried again, or to be given up by `discard`.
        """

    def discard(self) -> None:
        """Undo what was begun."""


@contextmanager
def folder_lock(path: str, *, exclusive: bool) -> Iterator[None]:
    """Hold the lock of a key's folder; a process that dies leaves none.

    Raises
    ------
    FolderLockedError
        When it is not free.
    NotImplementedError
        When it is to be exclusive, and the file system has no locks on folders.
    OSError
        When the folder cannot be opened, or locked now. Without the shared lock of a folder that
        this process may not read the work goes on: only a comparison needs one.
    """
    if fcntl is None:
        if exclusive:
            raise NotImplementedError("this platform has no locks on folders")
        yield
        return
    folder = parent(path)
    held: list[int] = []
    try:
        try:
            # In one step, see `paths`.
            held.extend(map(os.open, (folder,), (FOLDER,)))
            _lock(held[0], folder, exclusive=exclusive)
        except PermissionError:
            if exclusive:
                raise
        yield
    finally:
        for descriptor in held:
            try:
                _unlock(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def shared_lock(descriptor: int, folder: str) -> Iterator[None]:
    """Hold the shared lock of a folder that is open.

    Parameters
    ----------
    descriptor : int
        Of the folder.
    folder : str
        Its path, for the error.

    Raises
    ------
    FolderLockedError
        When another holds the exclusive one.
    OSError
        When the folder cannot be locked now.
    """
    if fcntl is None:
        yield
        return
    try:
        _lock(descriptor, folder, exclusive=False)
        yield
    finally:
        _unlock(descriptor)


def _lock(descriptor: int, folder: str, *, exclusive: bool) -> None:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FolderLockedError(folder) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            # Without the lock another change would be undone.
            raise
        if exclusive:
            raise NotImplementedError("this folder cannot be locked") from error


def _unlock(descriptor: int) -> None:
    # A child that was forked meanwhile has the descriptor too, and the lock with it.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


async def locking(work: Locking[T], seconds: float) -> T:
    """Do work as soon as the lock it needs is free.

    Parameters
    ----------
    work : Locking
        Discarded when it is not done in the end.
    seconds : float
        How long to wait for the lock.

    Raises
    ------
    TimeoutError
        When the lock was not free in that time.
    """
    try:
        try:
            return await in_thread(work.attempt)
        except FolderLockedError:
            return await _retried(work, seconds)
    except BaseException:
        work.discard()
        raise


async def _retried(work: Locking[T], seconds: float) -> T:
    end = time.monotonic() + seconds
    longest = _FIRST_PAUSE
    while True:
        await pause(random.uniform(longest / 2, longest))
        longest = min(2 * longest, _LONGEST_PAUSE)
        try:
            return await in_thread(work.attempt)
        except FolderLockedError as error:
            if time.monotonic() > end:
                raise TimeoutError(
                    f"another process holds a lock (flock) on the folder {error.folder!r}, "
                    f"and did not release it for {seconds:g} s"
                ) from None
