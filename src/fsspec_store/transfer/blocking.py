"""The functions of `fsspec_store.transfer` without ``await``, for scripts and notebooks.

They run on an event loop in another thread, on which ``on_progress`` is called.
"""

from __future__ import annotations

from .._runtime.blocking import blocking
from . import refusals, transfers

__all__ = ["apply", "check_fresh", "copy", "plan", "remove", "sync", "verify"]

apply = blocking(transfers.apply)
check_fresh = blocking(refusals.check_fresh)
copy = blocking(transfers.copy)
plan = blocking(transfers.plan)
remove = blocking(transfers.remove)
sync = blocking(transfers.sync)
verify = blocking(transfers.verify)
