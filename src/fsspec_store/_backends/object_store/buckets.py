"""Distinguishes a missing value from a missing bucket, where the response is ambiguous."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..._core.failures import BucketMissingError

__all__ = ["Buckets"]


class Buckets(ABC):
    """The buckets of one service.

    Attributes
    ----------
    seen : set of str
        Buckets that are known to exist.
    """

    def __init__(self) -> None:
        self.seen: set[str] = set()

    async def require(self, bucket: str) -> None:
        """Raise `BucketMissingError` when the bucket is missing; it is requested once."""
        if bucket in self.seen:
            return
        if not await self._exists(bucket):
            raise BucketMissingError(bucket)
        self.seen.add(bucket)

    @abstractmethod
    async def _exists(self, bucket: str) -> bool:
        """Request the bucket's metadata. A 403 means that the bucket exists."""
