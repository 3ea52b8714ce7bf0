"""Tells a missing object from a missing bucket.

Probes a bucket where a 404 does not say which of the two is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.failures import BucketMissingError
from .responses import is_missing_bucket, is_missing_object

if TYPE_CHECKING:
    from ..._http.responses import HTTPResponse
    from .client import Client

__all__ = ["Buckets"]


class Buckets:
    """The buckets that are known to exist.

    Parameters
    ----------
    client : Client
        Sends requests.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._seen: set[str] = set()

    def mark_existing(self, bucket: str) -> None:
        """Record that a bucket exists."""
        self._seen.add(bucket)

    async def has_object(self, bucket: str, response: HTTPResponse[bytes | memoryview]) -> bool:
        """Whether a response found the object; raise `BucketMissingError` without a bucket."""
        if response.status != 404 or is_missing_object(response):
            self.mark_existing(bucket)
        elif is_missing_bucket(response):
            raise BucketMissingError(bucket)
        else:
            await self.require(bucket)
        return response.status != 404

    async def require(self, bucket: str) -> None:
        """Raise `BucketMissingError` when the bucket is missing; sends a request at most once."""
        if bucket in self._seen:
            return
        url = self._client.url(bucket, items="", fields="name")
        # Permission to read objects does not include permission to read the bucket's metadata.
        response = await self._client.request("GET", url, expect=(200, 401, 403, 404))
        if response.status == 404:
            raise BucketMissingError(bucket)
        self.mark_existing(bucket)
