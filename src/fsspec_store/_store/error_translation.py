"""From what a filesystem raised to the error this package raises in its place.

The backend says what an exception means; here it gets its words: what was being done, to which key,
where, and the service's own reason.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .._core.failures import Failure, RangeNotSatisfiableError
from .._core.scrubbing import forget_locals, scrub
from ..errors import (
    AccessDeniedError,
    BackendError,
    BucketNotFoundError,
    InvalidKeyError,
    KeyConflictError,
    StoreError,
    UnauthenticatedError,
    UnsupportedOperationError,
)

if TYPE_CHECKING:
    from types import TracebackType

    from .._backends.base import Backend

__all__ = ["Explaining"]

_HIDDEN = (
    "; if this is how the service answers for missing keys, open the store with "
    "missing_on_forbidden=True"
)


class Explaining:
    """A context that raises the package's error in place of the filesystem's, chained to it.

    Parameters
    ----------
    backend : Backend
        Says what an exception of its filesystem means.
    action, key, url : str
        What is done to which key or prefix of which store: "read", "c/0", "s3://bucket".
    may_hide : bool, optional
        Whether the store can be told to take a refusal of this for a missing key.
    """

    __slots__ = ("action", "backend", "key", "may_hide", "outer", "url")

    def __init__(
        self, backend: Backend, action: str, key: str, url: str, *, may_hide: bool = False
    ) -> None:
        self.backend = backend
        self.action = action
        self.key = key
        self.may_hide = may_hide
        self.url = url
        #: What the caller is handling, which becomes the context of what is raised here.
        self.outer: BaseException | None = None

    def __enter__(self) -> None:
        self.outer = sys.exception()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_value is None or isinstance(exc_value, StoreError):
            return
        if not isinstance(exc_value, Exception):
            # The local variables of a cancelled request hold its signature too.
            forget_locals(exc_value, outer=self.outer)
            return
        if isinstance(exc_value, RangeNotSatisfiableError):
            scrub(exc_value, self.backend.redactor(), outer=self.outer)
            return
        failure = self.backend.failure(exc_value)
        if failure is Failure.NOT_OURS:
            # A bug in the program: its traceback stays complete.
            forget_locals(exc_value, outer=self.outer, keep_functions=True)
            return
        scrub(exc_value, self.backend.redactor(), outer=self.outer)
        raise self._explained(failure, exc_value) from exc_value

    def _explained(self, failure: Failure, error: Exception) -> StoreError:
        said = [self.backend.reason(error), *getattr(error, "__notes__", ())]
        reason = "; ".join(said)
        text = f"cannot {self.action} {self.key!r} in {self.url}"
        place = {"key": self.key, "url": self.url}
        match failure:
            case Failure.FORBIDDEN:
                # S3 answers so for missing keys where the bucket may not be listed.
                # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
                if self.may_hide and self.backend.hides_missing_keys:
                    reason = reason.rstrip(".") + _HIDDEN
                return AccessDeniedError(f"access denied: {text}: {reason}", **place)
            case Failure.UNAUTHENTICATED:
                return UnauthenticatedError(f"access denied: {text}: {reason}", **place)
            case Failure.NO_BUCKET:
                return BucketNotFoundError(f"no such bucket: {text}: {reason}", **place)
            case Failure.CONFLICT:
                return KeyConflictError(
                    f"{text}: the backend cannot hold this key beside others: {reason}", **place
                )
            case Failure.UNSUPPORTED:
                return UnsupportedOperationError(f"{text}: {reason}", **place)
            case Failure.INVALID_PATH:
                return InvalidKeyError(f"{text}: {reason}", **place)
        return BackendError(f"{text}: {type(error).__name__}: {reason}", **place)
