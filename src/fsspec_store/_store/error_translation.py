"""Translate exceptions of filesystems to this package's errors.

The backend classifies an exception. The message states the action, the key, the store's URL and the
service's reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .._core.failures import (
    ChangedWhileReadError,
    Failure,
    RangeNotSatisfiableError,
    UploadLostError,
)
from .._core.scrubbing import forget_locals, scrub
from ..errors import (
    AccessDeniedError,
    BackendError,
    BucketNotFoundError,
    InvalidKeyError,
    KeyConflictError,
    StoreError,
    UnauthenticatedError,
    UnreachableError,
    UnsupportedOperationError,
)

if TYPE_CHECKING:
    from .._backends.base import Backend

__all__ = ["Action"]

_MISSING_ON_FORBIDDEN = (
    "; if this is the service's response for missing keys, open the store with "
    "missing_on_forbidden=True"
)


class Action(NamedTuple):
    """The action of a store on a key or prefix: "read", "c/0", "s3://bucket"."""

    backend: Backend
    name: str
    key: str
    url: str
    #: Whether ``missing_on_forbidden=True`` would turn a 403 into a missing key.
    may_be_missing: bool

    def raise_translated(self, error: BaseException, handled: BaseException | None) -> None:
        """Raise this package's error for an exception, which is its cause.

        Removes secrets from the exception. Returns if the caller raises the exception unchanged.
        ``handled``, which the caller was handling before, is not changed.
        """
        if isinstance(error, StoreError):
            return
        if not isinstance(error, Exception):
            # The local variables of a cancelled request hold its signature too.
            forget_locals(error, outer=handled)
            return
        if isinstance(error, (RangeNotSatisfiableError, ChangedWhileReadError, UploadLostError)):
            scrub(error, self.backend.redactor(), outer=handled)
            return
        failure = self.backend.failure(error)
        if failure is Failure.PROGRAM_ERROR:
            # A bug in the program: its traceback stays complete.
            forget_locals(error, outer=handled, keep_functions=True)
            return
        scrub(error, self.backend.redactor(), outer=handled)
        raise self._translated(failure, error) from error

    def _translated(self, failure: Failure, error: Exception) -> StoreError:
        reason = "; ".join([self.backend.reason(error), *getattr(error, "__notes__", ())])
        text = f"cannot {self.name} {self.key!r} in {self.url}"
        location = {"key": self.key, "url": self.url}
        match failure:
            case Failure.FORBIDDEN:
                # S3 responds 403 for missing keys where the bucket may not be listed.
                # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
                if self.may_be_missing and self.backend.hides_missing_keys:
                    reason = reason.rstrip(".") + _MISSING_ON_FORBIDDEN
                return AccessDeniedError(f"access denied: {text}: {reason}", **location)
            case Failure.UNAUTHENTICATED:
                return UnauthenticatedError(f"access denied: {text}: {reason}", **location)
            case Failure.NO_BUCKET:
                return BucketNotFoundError(f"no such bucket: {text}: {reason}", **location)
            case Failure.CONFLICT:
                return KeyConflictError(
                    f"{text}: the key conflicts with an existing key: {reason}", **location
                )
            case Failure.UNSUPPORTED:
                return UnsupportedOperationError(f"{text}: {reason}", **location)
            case Failure.INVALID_PATH:
                return InvalidKeyError(f"{text}: {reason}", **location)
        kind = UnreachableError if failure is Failure.UNREACHABLE else BackendError
        return kind(f"{text}: {type(error).__name__}: {reason}", **location)
