"""What an error of a filesystem is: missing, forbidden, of the bucket, of the connection.

Knows the exceptions of the libraries below fsspec, without importing any that may not be installed.
Asks nothing: where an error does not tell by itself, `lookups` looks again.
"""

from __future__ import annotations

import ftplib
import re

from ..base import BucketMissingError, Failure, builtin_failure

__all__ = [
    "NO_FILE",
    "failure_of",
    "is_broken",
    "is_forbidden",
    "is_surely_forbidden",
    "raise_if_no_bucket",
]

#: What filesystems say of a path without a file, and some of whatever went wrong.
NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

#: How services with buckets say in an error's text that a key is missing because its bucket is.
_NO_BUCKET = re.compile(
    r"NoSuchBucket|ContainerNotFound|The specified (bucket|container) does not exist"
)
#: FTP's replies to who may not (RFC 959, section 4.2); 550 is also said of what is not there.
_FTP_FORBIDDEN = re.compile(r"(530|532|550|553)\b")
#: The one of them that speaks of the login.
_FTP_UNAUTHENTICATED = re.compile(r"530\b")
#: obstore's and paramiko's names for it.
_FORBIDDEN = frozenset({"PermissionDeniedError"})
_UNAUTHENTICATED = frozenset({"UnauthenticatedError", "AuthenticationException"})
#: What leaves a connection in any state, or without one.
_BROKEN = (
    EOFError,
    ConnectionError,
    TimeoutError,
    ftplib.error_temp,
    ftplib.error_reply,
    ftplib.error_proto,
)


def failure_of(error: Exception) -> Failure:
    """What an error means to the store."""
    if isinstance(error, BucketMissingError):
        return Failure.NO_BUCKET
    reason: BaseException | None = error
    while reason is not None:
        if _is_unauthenticated(reason):
            return Failure.UNAUTHENTICATED
        if is_forbidden(reason):
            return Failure.FORBIDDEN
        # A filesystem over another one (references, archives) has the other's error as a cause.
        reason = reason.__cause__
    if isinstance(error, (ValueError, LookupError, ArithmeticError)):
        # Libraries raise these of answers that they cannot read.
        return Failure.BACKEND
    return builtin_failure(error)


def is_forbidden(error: BaseException) -> bool:
    """Whether whoever asks may not, or what is asked for is missing: FTP says one of both."""
    if isinstance(error, PermissionError) or _status(error) == 403:
        return True
    if isinstance(error, ftplib.error_perm):
        return _FTP_FORBIDDEN.match(str(error)) is not None
    return type(error).__name__ in _FORBIDDEN or _is_unauthenticated(error)


def _is_unauthenticated(error: BaseException) -> bool:
    """Whether nobody knows who asks."""
    if isinstance(error, ftplib.error_perm):
        return _FTP_UNAUTHENTICATED.match(str(error)) is not None
    return _status(error) == 401 or type(error).__name__ in _UNAUTHENTICATED


def _status(error: BaseException) -> object:
    return getattr(error, "status", None) or getattr(error, "status_code", None)


def is_surely_forbidden(error: BaseException) -> bool:
    """As `is_forbidden`, where it can mean nothing else."""
    return is_forbidden(error) and not isinstance(error, ftplib.error_perm)


def is_broken(error: Exception) -> bool:
    """Whether the connection may be gone, or may still bring the answer to another question."""
    reason = error.__cause__ or error
    if isinstance(reason, _BROKEN) or str(reason) == "Socket is closed":
        return True
    classes = {cls.__name__ for cls in type(reason).__mro__}
    return "SSHException" in classes and "AuthenticationException" not in classes


def raise_if_no_bucket(error: Exception, path: str) -> None:
    """Raise where a path's bucket is missing, and not what is at the path alone."""
    if _NO_BUCKET.search(str(error)):
        raise BucketMissingError(f"the bucket of {path!r} is missing") from error
