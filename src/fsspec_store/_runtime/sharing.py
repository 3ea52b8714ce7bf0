"""Resources that are shared by all users with an equal key.

Stores on one service with the same options share their sessions. So connections are opened once,
not once for each store, task or unpickled copy. The sessions are closed when the last store that
used them is closed or garbage.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .forks import free_in_child
from .loops import PerLoop

if TYPE_CHECKING:
    from collections.abc import Callable

    from .loops import Resources

__all__ = ["Shared", "frozen"]

T = TypeVar("T")


class Shared(Generic[T]):
    """One user of the shared resources of a key; has the methods of `PerLoop`.

    Parameters
    ----------
    key : hashable
        Users with equal keys create equal resources.
    resources : callable
        Returns the `Resources`; called for the first user only.
    """

    def __init__(self, key: Hashable, resources: Callable[[], Resources[T]]) -> None:
        with _lock:
            pool = _pools.get(key)
            if pool is None:
                pool = _pools[key] = _Pool(resources())
        self._pool: _Pool[T] = pool
        self._is_user = False

    def get(self) -> T:
        """The running loop's resource; see `PerLoop.get`."""
        if not self._is_user:
            with _lock:
                self._pool.users.add(self)
                self._is_user = True
        return self._pool.per_loop.get()

    def renew(self, resource: T) -> None:
        """Replace the running loop's resource for all users; see `PerLoop.renew`."""
        self._pool.per_loop.renew(resource)

    def close(self) -> None:
        """Stop using the resources; the last user closes them. May be used again afterwards."""
        unused = self._leave()
        if unused is not None:
            unused.close()

    async def aclose(self) -> None:
        """Like `close`, and await the resource of the running loop."""
        unused = self._leave()
        if unused is not None:
            await unused.aclose()

    def _leave(self) -> PerLoop[T] | None:
        """The resources to close if this was the last user; later users get new ones."""
        with _lock:
            self._is_user = False
            self._pool.users.discard(self)
            return None if self._pool.users else self._pool.replaced()


class _Pool(Generic[T]):
    def __init__(self, resources: Resources[T]) -> None:
        self._resources = resources
        self.per_loop = PerLoop(resources)
        self.users: weakref.WeakSet[Shared[T]] = weakref.WeakSet()

    def replaced(self) -> PerLoop[T]:
        old, self.per_loop = self.per_loop, PerLoop(self._resources)
        return old


def frozen(value: Any) -> Hashable:
    """A hashable key of options. Mappings and lists compare by value, other objects by identity."""
    if isinstance(value, Mapping):
        return frozenset((name, frozen(item)) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(frozen, value))
    if value is None or isinstance(value, (str, bytes, int, float)):
        return value
    return _Identity(value)


class _Identity:
    """Compares an object by identity, and keeps it alive."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self._value is other._value

    def __hash__(self) -> int:
        return id(self._value)


_lock = free_in_child(threading.RLock())
#: Referenced weakly: a pool ends with its last user.
_pools: weakref.WeakValueDictionary[Hashable, _Pool[Any]] = weakref.WeakValueDictionary()
