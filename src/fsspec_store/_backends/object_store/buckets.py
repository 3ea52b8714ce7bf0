"""Distinguishes a missing value from a missing bucket, where the response is ambiguous."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["Buckets"]


class Buckets(ABC):
    """The buckets of one service."""

    def __init__(self) -> None:
        #: Buckets that are known to exist.
        self.seen: set[str] = set()

    async def require(self, bucket: str) -> None:
        """Raise `BucketMissingError` when the bucket is missing; it is requested once."""
        if bucket in self.seen:
            return
        await self._request(bucket)
        self.seen.add(bucket)

    @abstractmethod
    async def _request(self, bucket: str) -> None:
        """Request the bucket; raise `BucketMissingError` when it is missing.

        Permission to read objects does not include permission to read the bucket's metadata: a
        request that is denied proves that the bucket exists.
        """
