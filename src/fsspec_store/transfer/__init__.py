"""Copies, compares and publishes data sets between any two stores.

Data of readers stays safe: chunks are copied before the metadata that makes them visible, and
deleted after it. Nothing is deleted when a copy failed, or when the source is empty. The functions
are asynchronous; `fsspec_store.transfer.blocking` has them without ``await``.
"""

from __future__ import annotations

from . import blocking
from .comparing import Compare
from .operations import Operation, State
from .options import Options
from .plans import Plan
from .refusals import check_deletes
from .results import Failure, LeftOut, Result
from .selection import Selection
from .transfers import apply, copy, plan, remove, sync, verify

__all__ = [
    "Compare",
    "Failure",
    "LeftOut",
    "Operation",
    "Options",
    "Plan",
    "Result",
    "Selection",
    "State",
    "apply",
    "blocking",
    "check_deletes",
    "copy",
    "plan",
    "remove",
    "sync",
    "verify",
]
