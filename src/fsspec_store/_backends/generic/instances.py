"""The filesystem instance that a store uses: the user's, or another one of the same arguments.

The user's instance is not used if it has a connection or a directory cache, is bound to another
loop, or was inherited through a fork. All stores on one object share the other instance.
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

from ..._runtime.forks import free_in_child, in_child
from .guards import guard_services
from .quirks import quirks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SharedInstance"]


class SharedInstance:
    """The filesystem instance that all stores on one user object share; see `of`."""

    def __init__(self, fs: AbstractFileSystem, timeout: float, blocking: bool) -> None:
        self.fs = fs
        self.quirks = quirks_of(fs)
        self.blocking = (
            blocking or not fs.async_impl or (self.quirks.references and not fs.asynchronous)
        )
        self._timeout = timeout
        self._is_inherited = vars(fs).get("_pid", os.getpid()) != os.getpid()
        self._other: Any = None
        # Released instances that may still be in use.
        self._released: list[Any] = []
        self._is_serial = self.quirks.single_connection or self.quirks.serial
        self._making = free_in_child(threading.Lock())
        self._in_use = free_in_child(threading.Lock())
        self._prepare(fs)

    @classmethod
    def of(cls, fs: AbstractFileSystem, timeout: float, blocking: bool) -> SharedInstance:
        """The shared instance for this object; ``blocking`` for only its blocking methods."""
        # By identity: equal filesystems may have different connections and file positions.
        key = (id(fs), blocking)
        shared = _shared_instances.get(key)
        if shared is None or shared.fs is not fs:
            shared = _shared_instances[key] = cls(fs, timeout, blocking)
        return shared

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call ``function(fs, ...)``, serialized if the filesystem supports only one thread."""
        try:
            with self._in_use if self._is_serial else nullcontext():
                return function(self.instance(), *args, **kwargs)
        finally:
            self._close_released()

    def instance(self) -> Any:
        """The filesystem to use in this process; made now if it is not the user's."""
        if not self.quirks.fork_safe:
            _note_unforkable(self.fs)
        if not self._needs_another():
            return self.fs
        with self._making:
            if self._other is None:
                self._other = self._made()
            return self._other

    def release(self) -> None:
        """Release the other instance; a later call makes a new one. Running calls finish."""
        released, self._other = self._other, None
        if released is not None and self.quirks.single_connection:
            self._released.append(released)
            self._close_released()

    def forget_parent(self) -> None:
        """Drop the parent's connections in a forked child, without closing them."""
        _inherited.extend((self._other, *self._released))
        self._other = None
        self._released = []
        self._is_inherited = True

    def _close_released(self) -> None:
        """Close released connections, now or at the end of a running call."""
        # Closed here: filesystems disconnect only in their finalizer, which never runs while a
        # stored traceback references them.
        while self._released and self._in_use.acquire(blocking=False):
            try:
                while self._released:
                    released = self._released.pop()
                    # Without ``QUIT``, which would wait for a reply.
                    (released.ftp if self.quirks.ftp else released.client).close()
            finally:
                self._in_use.release()

    def _needs_another(self) -> bool:
        if self.quirks.single_connection or self.quirks.caches_listings:
            return True
        if self.fs.async_impl and self.blocking and self.fs.asynchronous:
            return True
        # Open files and fsspec's loop belong to the parent.
        return self._is_inherited and (self.fs.async_impl or hasattr(self.fs, "fo"))

    def _made(self) -> Any:
        changes: dict[str, Any] = {}
        if self.quirks.caches_listings:
            changes["use_listings_cache"] = False
        if self.blocking and self.fs.async_impl:
            changes["asynchronous"] = False
        fs = _recreated(self.fs, changes)
        self._prepare(fs)
        if self.quirks.pipelined:
            # paramiko waits for responses without a limit.
            fs.ftp.get_channel().settimeout(self._timeout)
        return fs

    def _prepare(self, fs: Any) -> None:
        if self.quirks.ftp:
            # Closes the connection before the garbage collector does, with a `ResourceWarning`: a
            # finalizer runs before any object of the cycle is collected.
            weakref.finalize(fs, fs.ftp.close).atexit = False
        guard_services(fs)


def _recreated(argument: Any, changes: Mapping[str, Any] | None = None) -> Any:
    """A new filesystem with the same arguments, recreated too, that shares no state."""
    if isinstance(argument, AbstractFileSystem):
        args = [_recreated(value) for value in argument.storage_args]
        options = {
            name: _recreated(value)
            for name, value in argument.storage_options.items()
            if name not in ("loop", "skip_instance_cache")
        }
        return type(argument)(*args, **options | dict(changes or {}), skip_instance_cache=True)
    if isinstance(argument, dict):
        return {name: _recreated(value) for name, value in argument.items()}
    if hasattr(argument, "read") and hasattr(argument, "seek"):
        # An open file: reopened, or an error if that is not possible.
        return pickle.loads(pickle.dumps(argument))
    return argument


#: Shared instances by the identity of the user's filesystem.
_shared_instances: weakref.WeakValueDictionary[tuple[int, bool], SharedInstance] = (
    weakref.WeakValueDictionary()
)
#: Instances inherited from the parent, referenced so that a forked child never closes them.
_inherited: list[Any] = []
#: Whether a filesystem that is not fork-safe was used in this process, and in its parent.
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
        # Older releases keep the parent's loop, which does not run in the child.
        fsspec.asyn.iothread[0] = fsspec.asyn.loop[0] = None
        fsspec.asyn.reset_lock()
    for shared in list(_shared_instances.values()):
        shared.forget_parent()
