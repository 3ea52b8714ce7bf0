"""Checks that a bucket exists, where a response leaves open whether it or the object is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.failures import BucketMissingError
from ..object_store.buckets import Buckets
from .requests import HeadBucket

if TYPE_CHECKING:
    from .client import Client

__all__ = ["S3Buckets"]


class S3Buckets(Buckets):
    """The buckets of an S3 service. A 404 may be from another server."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    async def _request(self, bucket: str) -> None:
        try:
            await self._client.send(HeadBucket(bucket))
        except FileNotFoundError as error:
            raise BucketMissingError(bucket) from error
        except PermissionError:
            pass
