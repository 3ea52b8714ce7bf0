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
from typing import TYPE_CHECKING, TypeVar

from ..._runtime.threads import in_thread, pause
from .paths import FOLDER_FLAGS, parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

try:
    import fcntl
except ImportError:
    # Platforms without flock(2): no locks, and no compare and swap.
    fcntl = None  # type: ignore[assignment]

__all__ = ["FolderLockedError", "folder_lock", "run_locked", "shared_lock"]

T = TypeVar("T")

#: Pause in seconds before the second attempt, and the maximum. This package holds a lock for less,
#: but another program may hold it for any time.
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
    folder = parent(path)
    descriptors: list[int] = []
    try:
        try:
            # Opened and stored in a single step: see `paths`.
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
    """Like `folder_lock`, for the shared lock of an open folder; its path is only for the error."""
    try:
        _lock(descriptor, folder, exclusive=False)
        yield
    finally:
        _unlock(descriptor)


def _lock(descriptor: int, folder: str, *, exclusive: bool) -> None:
    if fcntl is None:
        if exclusive:
            raise NotImplementedError("this platform has no locks on folders")
        return
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FolderLockedError(folder) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            # Without the lock a concurrent change could be lost.
            raise
        if exclusive:
            raise NotImplementedError("the file system has no locks (flock) on folders") from error


def _unlock(descriptor: int) -> None:
    # Not released by closing: a child that was forked meanwhile has inherited the descriptor.
    with suppress(OSError):
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


async def run_locked(
    attempt: Callable[[], T], seconds: float, discard: Callable[[], None] | None = None
) -> T:
    """Run ``attempt()`` in a thread, again as long as it raises `FolderLockedError`.

    Raises ``TimeoutError`` when the lock is not free within this time. ``discard`` cleans up if the
    operation fails or is cancelled.
    """
    end = time.monotonic() + seconds
    longest = _FIRST_PAUSE
    try:
        while True:
            try:
                return await in_thread(attempt)
            except FolderLockedError as error:
                if time.monotonic() > end:
                    raise TimeoutError(
                        f"another process holds a lock (flock) on the folder {error.folder!r}, "
                        f"and did not release it for {seconds:g} s"
                    ) from None
            await pause(random.uniform(longest / 2, longest))
            longest = min(2 * longest, _LONGEST_PAUSE)
    except BaseException:
        if discard is not None:
            discard()
        raise
