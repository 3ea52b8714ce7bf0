"""Classification of the exceptions of filesystems."""

from __future__ import annotations

import enum
import errno
import socket

__all__ = [
    "BucketMissingError",
    "ChangedWhileReadError",
    "Failure",
    "RangeNotSatisfiableError",
    "UploadLostError",
    "builtin_failure",
]


class Failure(enum.Enum):
    """Kind of an exception of a filesystem. A store raises one type of error for each kind."""

    #: 403: access denied. Some services also send it for missing keys.
    FORBIDDEN = "forbidden"
    #: Missing, invalid or expired credentials.
    UNAUTHENTICATED = "unauthenticated"
    #: The bucket does not exist.
    NO_BUCKET = "no bucket"
    #: Another key is in the path of this one: a file where a folder is needed, for example.
    CONFLICT = "conflict"
    #: The filesystem or service does not support the operation.
    UNSUPPORTED = "unsupported"
    #: The filesystem rejects the path.
    INVALID_PATH = "invalid path"
    #: No connection to the service, or no complete response.
    UNREACHABLE = "unreachable"
    #: Any other failure of the filesystem or service.
    BACKEND = "backend"
    #: An error in the program, not in the filesystem. It is raised unchanged.
    PROGRAM_ERROR = "program error"


#: Numbers of the errors of a network or a host that is down.
_NO_NETWORK = frozenset({errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH})


class RangeNotSatisfiableError(Exception):
    """The object exists, and the byte request is out of range."""

    def __init__(self, size: int | None) -> None:
        super().__init__(size)
        self.size = size


class ChangedWhileReadError(Exception):
    """The value no longer has the version that is read in parts, or a part is of another one."""


class UploadLostError(Exception):
    """Another writer completed, changed or removed an upload that several writers can continue."""


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
    if isinstance(error, (ConnectionError, TimeoutError, socket.gaierror)):
        return Failure.UNREACHABLE
    if isinstance(error, OSError) and error.errno in _NO_NETWORK:
        return Failure.UNREACHABLE
    if isinstance(error, (OSError, EOFError)):
        return Failure.BACKEND
    package = type(error).__module__.partition(".")[0]
    is_builtin = package in ("builtins", "asyncio", "fsspec_store")
    return Failure.PROGRAM_ERROR if is_builtin else Failure.BACKEND
