"""Deletes values in batches, or one by one where the service does not support batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING

from ..._runtime.concurrency import for_each

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["BatchesUnsupportedError", "BulkDelete"]

_CONCURRENT_BATCHES = 4


class BatchesUnsupportedError(Exception):
    """The service does not support batches."""

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason


class BulkDelete(ABC):
    """Deletes values by bucket and name."""

    #: Maximum number of values of one batch.
    batch_size: int
    #: Minimum number of values that are deleted by a batch.
    min_batch = 2
    _supports_batches = True

    @abstractmethod
    async def delete(self, bucket: str, name: str) -> None:
        """Delete a value, if it exists."""

    @abstractmethod
    async def _delete_batch(self, bucket: str, names: Sequence[str]) -> Iterable[str]:
        """Delete values with one request; return the names that have to be deleted one by one.

        Raises
        ------
        BatchesUnsupportedError
            When the service rejects the batch as a whole, and would reject every other one.
        """

    async def delete_many(self, targets: Iterable[tuple[str, str]], *, limit: int) -> None:
        """Delete values by bucket and name, with at most ``limit`` requests in flight."""
        by_bucket: dict[str, list[str]] = {}
        for bucket, name in targets:
            by_bucket.setdefault(bucket, []).append(name)
        chunks = [
            (bucket, names[start : start + self.batch_size])
            for bucket, names in by_bucket.items()
            for start in range(0, len(names), self.batch_size)
        ]
        at_once = min(limit, _CONCURRENT_BATCHES)
        delete = partial(self._delete_chunk, limit=max(1, limit // at_once))
        await for_each(delete, chunks, limit=at_once)

    async def _delete_chunk(self, chunk: tuple[str, Sequence[str]], *, limit: int) -> None:
        bucket, names = chunk
        delete = partial(self.delete, bucket)
        if not self._supports_batches or len(names) < self.min_batch:
            await for_each(delete, names, limit=limit)
            return
        try:
            remaining = await self._delete_batch(bucket, names)
        except BatchesUnsupportedError as error:
            await for_each(delete, names, limit=limit)
            # Only after the single requests: if they fail too, the batch was not the cause.
            await self._disable_batches(error)
        else:
            await for_each(delete, remaining, limit=limit)

    async def _disable_batches(self, error: BatchesUnsupportedError) -> None:
        """Send no more batches."""
        self._supports_batches = False
