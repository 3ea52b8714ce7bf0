"""Reset of locks and state in a forked child, which has none of the parent's threads.

A lock that another thread of the parent holds during the fork is never released in the child.
``logging`` and ``concurrent.futures`` reset their locks likewise.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["free_in_child", "in_child"]

LockT = TypeVar("LockT")

_locks: weakref.WeakSet[Any] = weakref.WeakSet()
_resets: list[Callable[[], None]] = []


def free_in_child(lock: LockT) -> LockT:
    """Register a lock to be released in every forked child, and return it. Referenced weakly.

    Another thread may be changing the guarded state during the fork. So the state must change in
    one step, or be reset by `in_child`.
    """
    _locks.add(lock)
    return lock


def in_child(reset: Callable[[], None]) -> Callable[[], None]:
    """Register a function to run in every forked child after locks are released; a decorator."""
    _resets.append(reset)
    return reset


def _start_child() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()
    for reset in _resets:
        reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_child)
