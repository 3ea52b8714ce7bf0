"""The exceptions of this package.

Each is a `StoreError` and also a built-in exception: ``ValueError``, ``PermissionError``, ... They
have the key and the store's URL as attributes, can be pickled, and never contain a secret.
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
    "PlanError",
    "ReadOnlyError",
    "RefusedError",
    "StorageOptionError",
    "StoreError",
    "StoreURLError",
    "UnauthenticatedError",
    "UnreachableError",
    "UnsupportedOperationError",
    "VersionMismatchError",
]


class StoreError(Exception):  # numpydoc ignore=PR01
    """Base class of this package's errors.

    Attributes
    ----------
    key : str or None
        The key of the failed operation, relative to the store's root.
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
    """A key or prefix is invalid, or this backend cannot store it. Raised before any I/O."""


class ByteRangeError(StoreError, ValueError):  # numpydoc ignore=PR01
    """A byte range is empty, or starts at or past the end of the object.

    Attributes
    ----------
    byte_range : object
        The request.
    size : int or None
        Size of the object in bytes, ``None`` when unknown.
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
    """A write or delete was called on a read-only store."""


class StoreURLError(StoreError, ValueError):
    """A URL or path is invalid, or cannot be the root of a store."""


class StorageOptionError(StoreError, TypeError):
    """The filesystem does not accept a storage option."""


class MissingExtraError(StoreError, ImportError):
    """The library for the protocol of a URL is not installed."""


class UnsupportedOperationError(StoreError, NotImplementedError):
    """The backend does not support the operation, such as a write to a web server."""


class KeyNotFoundError(StoreError, FileNotFoundError):
    """The key is missing, in a method that does not return ``None`` for it: `getsize`."""


class BucketNotFoundError(StoreError, OSError):
    """The bucket or container of the store does not exist.

    Not a ``FileNotFoundError``, which readers treat as a missing key and replace by fill values.
    """


class AccessDeniedError(StoreError, PermissionError):
    """The service rejected the credentials, or they do not permit the operation."""


class UnauthenticatedError(AccessDeniedError):
    """The credentials are missing, invalid or expired."""


class KeyConflictError(StoreError, OSError):
    """The backend cannot store this key with existing ones: a file and a folder collide."""


class VersionMismatchError(StoreError, RuntimeError):
    """The key no longer has the expected version. A write with `if_match` changed nothing."""


class BackendError(StoreError, OSError):
    """The filesystem, the network or the service failed. The cause is chained."""


class UnreachableError(BackendError):
    """No connection to the service, or no complete response, also after retries."""


class RefusedError(StoreError, RuntimeError):
    """A transfer is refused, because it would delete or overwrite more than it may."""


class PlanError(StoreError, ValueError):
    """A file is not a plan of a transfer, or is incomplete."""
