"""Distinguishes a missing object from a missing bucket, by a request where it is ambiguous."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.failures import BucketMissingError
from ..object_store.buckets import Buckets
from .responses import is_missing_bucket, is_missing_object

if TYPE_CHECKING:
    from ..._http.messages import Response
    from .client import Client

__all__ = ["GCSBuckets"]


class GCSBuckets(Buckets):
    """The buckets of Google Cloud Storage."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    async def has_object(self, bucket: str, response: Response[bytes | memoryview]) -> bool:
        """Whether the object exists; raise `BucketMissingError` when the bucket is missing."""
        if response.status != 404 or is_missing_object(response):
            self.seen.add(bucket)
        elif is_missing_bucket(response):
            raise BucketMissingError(bucket)
        else:
            await self.require(bucket)
        return response.status != 404

    async def _request(self, bucket: str) -> None:
        url = self._client.url(bucket, items="", fields="name")
        response = await self._client.request("GET", url, expect=(200, 401, 403, 404))
        if response.status == 404:
            raise BucketMissingError(bucket)
