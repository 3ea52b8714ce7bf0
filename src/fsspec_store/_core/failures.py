"""Classification of the exceptions of filesystems."""

from __future__ import annotations

import enum
from typing import Any

__all__ = ["BucketMissingError", "Failure", "RangeNotSatisfiableError", "builtin_failure"]


class Failure(enum.Enum):
    """Class of an exception that a filesystem raised; a store raises one error type for each."""

    #: 403: access denied. Some services also respond so for missing keys.
    FORBIDDEN = "forbidden"
    #: Missing, invalid or expired credentials.
    UNAUTHENTICATED = "unauthenticated"
    NO_BUCKET = "no bucket"
    CONFLICT = "conflict"
    UNSUPPORTED = "unsupported"
    INVALID_PATH = "invalid path"
    BACKEND = "backend"
    #: An error in the program, not in the filesystem. It is raised unchanged.
    PROGRAM_ERROR = "program error"


class RangeNotSatisfiableError(Exception):
    """The object exists, and the byte request is out of range.

    Parameters
    ----------
    size : int or None
        Size of the object in bytes, ``None`` when unknown.
    """

    def __init__(self, size: int | None) -> None:
        super().__init__(size)
        self.size = size


class BucketMissingError(Exception):
    """The bucket of an object does not exist."""


def builtin_failure(error: Exception) -> Failure:
    """The default classification, of Python's built-in exceptions."""
    if isinstance(error, PermissionError):
        return Failure.FORBIDDEN
    if isinstance(error, (IsADirectoryError, NotADirectoryError, FileExistsError)):
        return Failure.CONFLICT
    if isinstance(error, NotImplementedError):
        return Failure.UNSUPPORTED
    if isinstance(error, (OSError, TimeoutError, EOFError)):
        return Failure.BACKEND
    return Failure.PROGRAM_ERROR if _is_builtin(type(error)) else Failure.BACKEND


def _is_builtin(cls: type[Any]) -> bool:
    return cls.__module__.partition(".")[0] in ("builtins", "asyncio", "fsspec_store")
