"""`check` without ``await``, for scripts, notebooks and threads.

It runs on an event loop in another thread, on which ``on_progress`` is called.
"""

from __future__ import annotations

from .._runtime.blocking import blocking
from .check import check as _check

__all__ = ["check"]

check = blocking(_check)
