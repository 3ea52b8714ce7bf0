"""Everything that can go wrong, in one place.

Every error of this package is a `StoreError` and also the built-in exception a reader would expect
(``ValueError``, ``PermissionError``, ...). Errors carry the key and the URL they speak of as
attributes, survive pickling, and never hold a secret.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AccessDeniedError",
    "BackendError",
    "BucketNotFoundError",
    "ByteRangeError",
    "InvalidKeyError",
    "KeyConflictError",
    "KeyNotFoundError",
    "MissingExtraError",
    "ReadOnlyError",
    "StorageOptionError",
    "StoreError",
    "StoreURLError",
    "UnauthenticatedError",
    "UnsupportedOperationError",
    "VersionMismatchError",
]


class StoreError(Exception):
    """Base class of this package's errors.

    Attributes
    ----------
    key : str or None
        The key the error speaks of, relative to the store's root.
    url : str or None
        The URL of the store's root, without any secret.
    """

    key: str | None = None
    url: str | None = None

    def __init__(self, message: str, *, key: str | None = None, url: str | None = None) -> None:
        super().__init__(message)
        self.key = key
        self.url = url


class InvalidKeyError(StoreError, ValueError):
    """A key or prefix that no store, or not this backend, can hold. Raised before any I/O."""


class ByteRangeError(StoreError, ValueError):
    """A byte range that is empty, or starts at or past the end of the object.

    Attributes
    ----------
    byte_range : object
        The request.
    size : int or None
        Size of the object in bytes, where it is known.
    """

    byte_range: Any = None
    size: int | None = None

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        url: str | None = None,
        byte_range: Any = None,
        size: int | None = None,
    ) -> None:
        super().__init__(message, key=key, url=url)
        self.byte_range = byte_range
        self.size = size


class ReadOnlyError(StoreError, ValueError):
    """A write or delete on a store that was opened read-only."""


class StoreURLError(StoreError, ValueError):
    """A URL or path that names no place a store can be."""


class StorageOptionError(StoreError, TypeError):
    """A storage option that the filesystem does not take."""


class MissingExtraError(StoreError, ImportError):
    """The library that speaks a URL's protocol is not installed."""


class UnsupportedOperationError(StoreError, NotImplementedError):
    """The backend cannot do this, for instance write to a web server."""


class KeyNotFoundError(StoreError, FileNotFoundError):
    """The key is missing, where missing is an error: `getsize`."""


class BucketNotFoundError(StoreError, OSError):
    """The bucket or container of the store does not exist.

    Not a ``FileNotFoundError``, which readers take for "this key is missing" and fill in.
    """


class AccessDeniedError(StoreError, PermissionError):
    """The service refused the credentials, or the credentials do not allow this."""


class UnauthenticatedError(AccessDeniedError):
    """The service does not know who asks: no credentials, wrong ones, or expired ones."""


class KeyConflictError(StoreError, OSError):
    """The backend cannot hold this key beside the ones it has (a file where a folder is)."""


class VersionMismatchError(StoreError, RuntimeError):
    """The key no longer has the version that was to be replaced; nothing was written."""


class BackendError(StoreError, OSError):
    """The filesystem, the network or the service failed; the cause is chained."""
