"""Classification of a filesystem's errors: missing, access denied, no bucket, broken connection.

Recognizes the exceptions of optional libraries by name, without importing them. Does no I/O: where
an exception is ambiguous, `lookups` sends a second request.
"""

from __future__ import annotations

import ftplib
import re

from ..._core.failures import BucketMissingError, Failure, builtin_failure

__all__ = [
    "NO_FILE",
    "failure_of",
    "is_broken",
    "is_forbidden",
    "is_surely_forbidden",
    "raise_if_no_bucket",
]

#: Errors for a path without a file. Some filesystems raise them for any error.
NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

#: Error texts of services with buckets for a missing bucket.
_NO_BUCKET = re.compile(
    r"NoSuchBucket|ContainerNotFound|The specified (bucket|container) does not exist"
)
#: FTP's replies for access denied (RFC 959, section 4.2); 550 also means a missing file.
_FTP_FORBIDDEN = re.compile(r"(530|532|550|553)\b")
#: Errors after which the connection is closed or in an unknown state.
_BROKEN = (
    EOFError,
    ConnectionError,
    TimeoutError,
    ftplib.error_temp,
    ftplib.error_reply,
    ftplib.error_proto,
)


def failure_of(error: Exception) -> Failure:
    """Classify an error for the store."""
    if isinstance(error, BucketMissingError):
        return Failure.NO_BUCKET
    reason: BaseException | None = error
    while reason is not None:
        if _is_unauthenticated(reason):
            return Failure.UNAUTHENTICATED
        if is_forbidden(reason):
            return Failure.FORBIDDEN
        # References and archives chain the error of the filesystem below.
        reason = reason.__cause__
    if isinstance(error, (ValueError, LookupError, ArithmeticError)):
        # Libraries raise these for responses that they cannot parse.
        return Failure.BACKEND
    # An exception of paramiko.
    if type(error).__name__ == "NoValidConnectionsError":
        return Failure.UNREACHABLE
    return builtin_failure(error)


def is_forbidden(error: BaseException) -> bool:
    """Whether access is denied. FTP's reply may also mean that the file is missing."""
    if isinstance(error, PermissionError) or _status(error) == 403:
        return True
    if isinstance(error, ftplib.error_perm):
        return _FTP_FORBIDDEN.match(str(error)) is not None
    # An exception of obstore.
    return type(error).__name__ == "PermissionDeniedError" or _is_unauthenticated(error)


def _is_unauthenticated(error: BaseException) -> bool:
    """Whether credentials are missing or were rejected."""
    if isinstance(error, ftplib.error_perm):
        # FTP: not logged in.
        return re.match(r"530\b", str(error)) is not None
    # Exceptions of obstore and paramiko.
    names = ("UnauthenticatedError", "AuthenticationException")
    return _status(error) == 401 or type(error).__name__ in names


def _status(error: BaseException) -> object:
    return getattr(error, "status", None) or getattr(error, "status_code", None)


def is_surely_forbidden(error: BaseException) -> bool:
    """Like `is_forbidden`, without the ambiguous replies of FTP."""
    return is_forbidden(error) and not isinstance(error, ftplib.error_perm)


def is_broken(error: Exception) -> bool:
    """Whether the connection may be closed, or may still deliver the response to an old request."""
    reason = error.__cause__ or error
    if isinstance(reason, _BROKEN) or str(reason) == "Socket is closed":
        return True
    classes = {cls.__name__ for cls in type(reason).__mro__}
    return "SSHException" in classes and "AuthenticationException" not in classes


def raise_if_no_bucket(error: Exception, path: str) -> None:
    """Raise `BucketMissingError` if the path's bucket is missing, not only its object."""
    if _NO_BUCKET.search(str(error)):
        raise BucketMissingError(f"the bucket of {path!r} is missing") from error
