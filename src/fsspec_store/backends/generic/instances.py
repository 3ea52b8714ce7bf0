"""Which filesystem object is used: the user's own, or another instance made from its arguments.

The user's own is not used where it has a connection or a directory cache, works on another loop, or
came through a fork; the other instance is shared by all stores on the same object. Knows threads
and processes, and nothing of what is called on the object.
"""

from __future__ import annotations

import os
import pickle
import threading
import weakref
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import fsspec.asyn
from fsspec import AbstractFileSystem

from ...forks import free_in_child, in_child
from . import ftp, sftp
from .facts import facts_of
from .web import guard_services

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Access"]


class Access:
    """The filesystem object that all stores on one object of the user's use.

    Parameters
    ----------
    fs : AbstractFileSystem
        The user's.
    timeout : float
        Seconds a connection waits for the server.
    blocking : bool
        Use its blocking methods in any case.
    """

    def __init__(self, fs: AbstractFileSystem, timeout: float, blocking: bool) -> None:
        self.fs = fs
        self.facts = facts_of(fs)
        self.blocking = blocking or not fs.async_impl or (self.facts.refers and not fs.asynchronous)
        self._timeout = timeout
        self._is_inherited = vars(fs).get("_pid", os.getpid()) != os.getpid()
        self._own: Any = None
        # What was let go of while it may have been in use.
        self._left: list[Any] = []
        self._is_serial = self.facts.connected or self.facts.serial
        self._making = free_in_child(threading.Lock())
        self._in_use = free_in_child(threading.Lock())
        if self.facts.ftp:
            ftp.disconnect_with(fs)
        guard_services(fs)

    @classmethod
    def of(cls, fs: AbstractFileSystem, timeout: float, blocking: bool) -> Access:
        """The one for this object."""
        # By identity: equal filesystems have positions and connections of their own.
        key = (id(fs), blocking)
        access = _accesses.get(key)
        if access is None or access.fs is not fs:
            access = _accesses[key] = cls(fs, timeout, blocking)
        return access

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call ``function(fs, ...)``, alone where the filesystem serves one thread at a time."""
        try:
            with self._in_use if self._is_serial else nullcontext():
                return function(self.instance(), *args, **kwargs)
        finally:
            self._end_left()

    def instance(self) -> Any:
        """The filesystem to use in this process; made now where it is not the user's own."""
        if not self.facts.forks:
            _note_unforkable(self.fs)
        if not self._needs_own():
            return self.fs
        with self._making:
            if self._own is None:
                self._own = self._made()
            return self._own

    def release(self) -> None:
        """Let go of what was made; whoever is using it goes on, whoever comes next makes anew."""
        left, self._own = self._own, None
        if left is not None and self.facts.connected:
            self._left.append(left)
            self._end_left()

    def forget_parent(self) -> None:
        """In a forked child: connections are the parent's."""
        _inherited.extend((self._own, *self._left))
        self._own = None
        self._left = []
        self._is_inherited = True

    def _end_left(self) -> None:
        """Close the connections that were let go of, or leave that to who is using one."""
        # An error that somebody keeps would keep the filesystem, which says goodbye when it goes.
        while self._left and self._in_use.acquire(blocking=False):
            try:
                while self._left:
                    disconnect = ftp.disconnect if self.facts.ftp else sftp.disconnect
                    disconnect(self._left.pop())
            finally:
                self._in_use.release()

    def _needs_own(self) -> bool:
        if self.facts.connected or self.facts.caches:
            return True
        if self.fs.async_impl and self.blocking and self.fs.asynchronous:
            return True
        # An open file's position, and fsspec's loop, are the parent's.
        return self._is_inherited and (self.fs.async_impl or hasattr(self.fs, "fo"))

    def _made(self) -> Any:
        changes: dict[str, Any] = {}
        if self.facts.caches:
            changes["use_listings_cache"] = False
        if self.blocking and self.fs.async_impl:
            changes["asynchronous"] = False
        fs = _made_again(self.fs, changes)
        if self.facts.ftp:
            ftp.disconnect_with(fs)
        guard_services(fs)
        if self.facts.pipelines:
            sftp.limit_waiting(fs, self._timeout)
        return fs


def _made_again(thing: Any, changes: Mapping[str, Any] | None = None) -> Any:
    """A filesystem like this one, and like those among its arguments, that shares nothing."""
    if isinstance(thing, AbstractFileSystem):
        args = [_made_again(value) for value in thing.storage_args]
        options = {
            name: _made_again(value)
            for name, value in thing.storage_options.items()
            if name not in ("loop", "skip_instance_cache")
        }
        return type(thing)(*args, **options | dict(changes or {}), skip_instance_cache=True)
    if isinstance(thing, dict):
        return {name: _made_again(value) for name, value in thing.items()}
    if hasattr(thing, "read") and hasattr(thing, "seek"):
        # An open file: opened again, or refused where that cannot be.
        return pickle.loads(pickle.dumps(thing))
    return thing


#: Of each filesystem object in use, by its identity.
_accesses: weakref.WeakValueDictionary[tuple[int, bool], Access] = weakref.WeakValueDictionary()
#: What a forked child got from its parent, kept so that the child never closes it.
_inherited: list[Any] = []
#: Whether a filesystem that no fork can follow was used in this process, and in its parent.
_unforkable_used = False
_unforkable_lost = False


def _note_unforkable(fs: AbstractFileSystem) -> None:
    global _unforkable_used
    if _unforkable_lost:
        raise NotImplementedError(
            f"{type(fs).__module__} was used before this process was forked, which its threads "
            "do not survive; start processes with the 'spawn' method"
        )
    _unforkable_used = True


@in_child
def _forget_parent() -> None:
    global _unforkable_lost
    _unforkable_lost = _unforkable_used
    if not hasattr(fsspec.asyn, "reset_after_fork"):
        # Older releases leave the child the parent's loop, which nothing runs.
        fsspec.asyn.iothread[0] = fsspec.asyn.loop[0] = None
        fsspec.asyn.reset_lock()
    for access in list(_accesses.values()):
        access.forget_parent()
