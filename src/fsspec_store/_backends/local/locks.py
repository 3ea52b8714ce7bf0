"""Locks on folders (flock(2)): exclusive for compare and swap, shared for writes and deletes.

Any process that may open a folder can lock it without a time limit. Locking is therefore
non-blocking, with retries: waiting in the kernel could not be cancelled and would occupy a thread.
"""

from __future__ import annotations

import errno
import os
import random
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..._runtime.threads import in_thread, pause
from .paths import FOLDER_FLAGS, parent

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:
    # Platforms without flock(2): no locks, and no compare and swap.
    fcntl = None  # type: ignore[assignment]

__all__ = ["FolderLockedError", "LockedOperation", "folder_lock", "run_locked", "shared_lock"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

#: Pause in seconds before the second try, and the maximum: this package holds a lock for far less,
#: another program may hold it for any time.
_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.025

#: Errors of file systems without locks on folders. NFS returns EBADF: an exclusive lock needs a
#: descriptor that is open for writing, and a folder cannot be opened for writing.
_NO_LOCKS = frozenset(
    {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
)


class FolderLockedError(Exception):
    """Another process, or another thread, holds a lock on the folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.folder = folder


class LockedOperation(Protocol[T_co]):
    """An operation that needs a folder's lock; retried until the lock is free."""

    def attempt(self) -> T_co:
        """Run the operation.

        Raises
        ------
        FolderLockedError
            When the lock is held: call `attempt` again, or `discard`.
        """

    def discard(self) -> None:
        """Clean up after an operation that was not completed."""


@contextmanager
def folder_lock(path: str, *, exclusive: bool) -> Iterator[None]:
    """Hold the lock of the folder of a path. The kernel releases it when the process dies.

    Raises
    ------
    FolderLockedError
        When another process or thread holds it.
    NotImplementedError
        When it is exclusive, and the file system has no locks on folders.
    OSError
        When the folder cannot be opened or locked. A shared lock is skipped if this process may
        not read the folder: only compare and swap depends on it.
    """
    if fcntl is None:
        if exclusive:
            raise NotImplementedError("this platform has no locks on folders")
        yield
        return
    folder = parent(path)
    descriptors: list[int] = []
    try:
        try:
            # A single step, see `paths`.
            descriptors.extend(map(os.open, (folder,), (FOLDER_FLAGS,)))
            _lock(descriptors[0], folder, exclusive=exclusive)
        except PermissionError:
            if exclusive:
                raise
        yield
    finally:
        for descriptor in descriptors:
            try:
                _unlock(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def shared_lock(descriptor: int, folder: str) -> Iterator[None]:
    """Hold the shared lock of an open folder.

    Parameters
    ----------
    descriptor : int
        Descriptor of the folder.
    folder : str
        Path of the folder, for the error.

    Raises
    ------
    FolderLockedError
        When another process or thread holds the exclusive lock.
    OSError
        When the folder cannot be locked.
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
            # Without the lock a concurrent change could be lost.
            raise
        if exclusive:
            raise NotImplementedError("this folder cannot be locked") from error


def _unlock(descriptor: int) -> None:
    # Explicitly: a child that was forked meanwhile has inherited the descriptor and the lock.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


async def run_locked(operation: LockedOperation[T], seconds: float) -> T:
    """Run an operation as soon as its lock is free.

    Parameters
    ----------
    operation : LockedOperation
        Discarded if it fails.
    seconds : float
        Maximum time to wait for the lock.

    Raises
    ------
    TimeoutError
        When the lock is not free within this time.
    """
    try:
        try:
            return await in_thread(operation.attempt)
        except FolderLockedError:
            return await _retry_locked(operation, seconds)
    except BaseException:
        operation.discard()
        raise


async def _retry_locked(operation: LockedOperation[T], seconds: float) -> T:
    end = time.monotonic() + seconds
    longest = _FIRST_PAUSE
    while True:
        await pause(random.uniform(longest / 2, longest))
        longest = min(2 * longest, _LONGEST_PAUSE)
        try:
            return await in_thread(operation.attempt)
        except FolderLockedError as error:
            if time.monotonic() > end:
                raise TimeoutError(
                    f"another process holds a lock (flock) on the folder {error.folder!r}, "
                    f"and did not release it for {seconds:g} s"
                ) from None
