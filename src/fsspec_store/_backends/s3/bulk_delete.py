"""Deletes objects, with DeleteObjects where the service supports it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..object_store.bulk_delete import BatchesUnsupportedError, BulkDelete
from .features import BULK_DELETE, may_be_unsupported
from .requests import DeleteObject, DeleteObjects
from .responses import error_code
from .xml import MAX_ERROR_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .client import Client

__all__ = ["KeyNotDeletedError", "S3BulkDelete"]

#: Characters that XML 1.0 cannot represent, or that parsers normalise.
_NOT_IN_XML = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")


class S3BulkDelete(BulkDelete):
    """Deletes objects."""

    #: S3 API Reference, "DeleteObjects".
    batch_size = 1000
    min_batch = 1

    def __init__(self, client: Client) -> None:
        self._client = client

    async def delete(self, bucket: str, name: str) -> None:
        try:
            await self._client.send(DeleteObject(bucket, name))
        except FileNotFoundError as error:
            if error_code(error) == "NoSuchBucket":
                raise

    async def _delete_batch(self, bucket: str, names: Sequence[str]) -> Sequence[str]:
        if BULK_DELETE in (await self._client.service()).unsupported:
            raise BatchesUnsupportedError
        keys = [name for name in names if not _NOT_IN_XML.search(name)]

        async def attempt() -> None:
            # The status is 200 even if some keys were not deleted.
            for failed in await self._client.send_once(DeleteObjects(bucket, keys)):
                if failed.get("Code") != "NoSuchKey":
                    raise KeyNotDeletedError(failed)

        try:
            if keys:
                await self._client.retry(attempt)
        except OSError as error:
            if isinstance(error, KeyNotDeletedError) or not may_be_unsupported(error):
                raise
            raise BatchesUnsupportedError(error_code(error)) from error
        return [name for name in names if _NOT_IN_XML.search(name)]

    async def _disable_batches(self, error: BatchesUnsupportedError) -> None:
        # For all stores of the service.
        (await self._client.service()).mark_unsupported(BULK_DELETE, error.reason)
        self._supports_batches = False


class KeyNotDeletedError(OSError):
    """A bulk delete did not delete one of its keys."""

    def __init__(self, failed: Mapping[str, Any]) -> None:
        failed = {name: text for name, text in failed.items() if len(str(text)) <= MAX_ERROR_BYTES}
        super().__init__(f"{failed.get('Key')!r}: {failed.get('Code')}: {failed.get('Message')}")
        # In the form of botocore's errors, so that it is classified like a request's error.
        self.response = {"Error": failed}
