"""The exceptions of this package."""

from __future__ import annotations

from ..errors import StoreError

__all__ = ["DatasetError", "ExpectationError", "InvalidMetadataError", "UnsupportedMetadataError"]


class DatasetError(StoreError, ValueError):  # numpydoc ignore=PR01
    """A data set cannot be checked. Base class of the errors of `fsspec_store.dataset`.

    Attributes
    ----------
    reason : str
        The message without the key.
    """

    reason: str = ""

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        url: str | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message, key=key, url=url)
        self.reason = message if reason is None else reason


class InvalidMetadataError(DatasetError):
    """The metadata of a group or array is missing, or is not what its zarr format requires."""


class UnsupportedMetadataError(DatasetError):
    """The metadata uses a part of its zarr format, or an extension, that is not supported."""


class ExpectationError(DatasetError):
    """The expectation is not the result of `Report.expectation`."""
