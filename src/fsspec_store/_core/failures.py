"""What an exception of a filesystem means to a store."""

from __future__ import annotations

import enum
from typing import Any

__all__ = ["BucketMissingError", "Failure", "RangeNotSatisfiableError", "builtin_failure"]


class Failure(enum.Enum):
    """What an exception of a filesystem means to the store."""

    #: Whoever asks may not have this, or may not know that it is missing.
    FORBIDDEN = "forbidden"
    #: Nobody knows who asks: no credentials, wrong ones, or expired ones.
    UNAUTHENTICATED = "unauthenticated"
    NO_BUCKET = "no bucket"
    CONFLICT = "conflict"
    UNSUPPORTED = "unsupported"
    INVALID_PATH = "invalid path"
    BACKEND = "backend"
    #: Not the filesystem's doing: a mistake in the program, raised as it is.
    NOT_OURS = "not ours"


class RangeNotSatisfiableError(Exception):
    """The object is there and has no byte the request names.

    Parameters
    ----------
    size : int or None
        Size of the object in bytes, where the service said it.
    """

    def __init__(self, size: int | None) -> None:
        super().__init__(size)
        self.size = size


class BucketMissingError(Exception):
    """An object is missing because its whole bucket is."""


def builtin_failure(error: Exception) -> Failure:
    """What one of Python's own exceptions means, for backends to fall back on."""
    if isinstance(error, PermissionError):
        return Failure.FORBIDDEN
    if isinstance(error, (IsADirectoryError, NotADirectoryError, FileExistsError)):
        return Failure.CONFLICT
    if isinstance(error, NotImplementedError):
        return Failure.UNSUPPORTED
    if isinstance(error, (OSError, TimeoutError, EOFError)):
        return Failure.BACKEND
    return Failure.NOT_OURS if _is_builtin(type(error)) else Failure.BACKEND


def _is_builtin(cls: type[Any]) -> bool:
    return cls.__module__.partition(".")[0] in ("builtins", "asyncio", "fsspec_store")
