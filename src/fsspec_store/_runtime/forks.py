"""What a forked child resets: it has the parent's locks and state, and none of its threads.

A lock that another thread of the parent holds at the moment of the fork is never released in the
child. Python's own modules reset theirs the same way (``logging``, ``concurrent.futures``). Knows
processes, and nothing of what is reset.
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
    """Return the lock, which is free in every forked child from now on.

    What it guards must be usable in the child when another thread was changing it: changed in one
    step, or reset by `in_child`.

    Parameters
    ----------
    lock : threading.Lock or threading.RLock
        Not kept alive from here.
    """
    _locks.add(lock)
    return lock


def in_child(reset: Callable[[], None]) -> Callable[[], None]:
    """Have a function called in every forked child, after all locks are free; a decorator.

    Parameters
    ----------
    reset : callable
        Waits for nothing. Functions are called in the order of their registration.
    """
    _resets.append(reset)
    return reset


def _start_child() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()
    for reset in _resets:
        reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_child)
