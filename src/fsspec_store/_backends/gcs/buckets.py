"""Which buckets are there: a missing object is told from a missing bucket.

Knows what the service's answers say of either, and how to ask for a bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.failures import BucketMissingError
from .responses import is_missing_bucket, is_missing_object

if TYPE_CHECKING:
    from ..._http.responses import WholeResponse
    from .client import Client

__all__ = ["Buckets"]


class Buckets:
    """Buckets, and what is known of them so far.

    Parameters
    ----------
    client : Client
        Sends requests.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._seen: set[str] = set()

    def saw(self, bucket: str) -> None:
        """Take note that a bucket is there."""
        self._seen.add(bucket)

    async def has_object(self, bucket: str, answer: WholeResponse) -> bool:
        """Whether an answer found the object, in a bucket that is there in any case."""
        if answer.status != 404 or is_missing_object(answer):
            self.saw(bucket)
        elif is_missing_bucket(answer):
            raise BucketMissingError(bucket)
        else:
            await self.require(bucket)
        return answer.status != 404

    async def require(self, bucket: str) -> None:
        """Raise when the bucket is missing; asked once, until the bucket was seen."""
        if bucket in self._seen:
            return
        url = self._client.url(bucket, items="", fields="name")
        # Whoever may read objects need not be allowed to ask for the bucket.
        answer = await self._client.call("GET", url, expect=(200, 401, 403, 404))
        if answer.status == 404:
            raise BucketMissingError(bucket)
        self.saw(bucket)
