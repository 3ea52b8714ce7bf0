"""One set of resources for everybody who would make the same.

Stores on one service with the same options share their sessions: connections are opened once, and
not once for each store, each reading task, each unpickled copy. The sessions are closed when the
last store that used them is closed or dropped.

Knows `fsspec_store._runtime.loops`, and nothing of what the resources are.
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
    """One user's share in the resources of all with an equal key; used as a `PerLoop` is.

    Parameters
    ----------
    key : hashable
        Whoever has an equal one would make equal resources.
    resources : callable
        Returns what makes and ends them; called for the first user only.
    """

    def __init__(self, key: Hashable, resources: Callable[[], Resources[T]]) -> None:
        with _lock:
            pool = _pools.get(key)
            if pool is None:
                pool = _pools[key] = _Pool(resources())
        self._pool: _Pool[T] = pool
        self._takes_part = False

    def get(self) -> T:
        """The running loop's resource; see `PerLoop.get`."""
        if not self._takes_part:
            with _lock:
                self._pool.users.add(self)
                self._takes_part = True
        return self._pool.per_loop.get()

    def renew(self, resource: T) -> None:
        """A new resource in place of this one, for all; see `PerLoop.renew`."""
        self._pool.per_loop.renew(resource)

    def close(self) -> None:
        """Leave; the last one closes the resources. May be used again afterwards."""
        left = self._leave()
        if left is not None:
            left.close()

    async def aclose(self) -> None:
        """As `close`, awaiting the running loop's."""
        left = self._leave()
        if left is not None:
            await left.aclose()

    def _leave(self) -> PerLoop[T] | None:
        """What nobody uses any more, to be closed: whoever comes next gets another one."""
        with _lock:
            self._takes_part = False
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
    """A key of options: equal for equal dictionaries and lists, and the same for other objects."""
    if isinstance(value, Mapping):
        return frozenset((name, frozen(item)) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(frozen, value))
    if value is None or isinstance(value, (str, bytes, int, float)):
        return value
    return _Same(value)


class _Same:
    """Equal to itself alone, however its object compares; the object lives as long."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._value is other._value

    def __hash__(self) -> int:
        return id(self._value)


_lock = free_in_child(threading.RLock())
#: Not kept alive from here: a pool ends with its last share.
_pools: weakref.WeakValueDictionary[Hashable, _Pool[Any]] = weakref.WeakValueDictionary()
