"""Stops a transfer whose service is away, or denies access to all keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import AccessDeniedError, StoreError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from .._store.store_listing import ListableStore
    from .results import Result

__all__ = ["Outage"]

T = TypeVar("T")

#: Minimum number of keys in a row that fail for the same reason before a transfer stops.
_LEAST = 10


class Outage:
    """Counts the keys in a row that fail because of their service, and not because of the key.

    After 10 of them, or ``concurrency`` if that is more, it sets `Result.stopped_by`. Each failure
    includes the retries of its requests. A file that may not be read is no such failure: the next
    one may be readable.

    Parameters
    ----------
    *stores : Store
        Those that the keys are read from and written to.
    """

    def __init__(self, result: Result, *stores: ListableStore | None) -> None:
        self._result = result
        self._local = {
            getattr(store, "url", None) for store in stores if store and store.reads_locally
        }
        self._reason: type[StoreError] | None = None
        self._count = 0
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def is_stopped(self) -> bool:
        """Whether no further key is to be tried."""
        return self._result.stopped_by is not None

    def note(self, error: Exception | None, concurrency: int) -> None:
        """Count the outcome of the requests for one key; ``None`` if they succeeded."""
        reason: type[StoreError] | None = None
        if isinstance(error, UnreachableError):
            reason = UnreachableError
        elif isinstance(error, AccessDeniedError) and error.url not in self._local:
            reason = AccessDeniedError
        self._count = self._count + 1 if reason is self._reason else 1
        self._reason = reason
        if isinstance(error, StoreError) and reason and self._count >= max(_LEAST, concurrency):
            self.stop(error)

    def stop(self, error: StoreError) -> None:
        """Try no further key, because of an error."""
        self._result.stopped_by = self._result.stopped_by or error
        for task in self._running:
            task.cancel()

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Await a coroutine; ``None`` if the transfer stops before its end, which cancels it."""
        task = asyncio.create_task(work)
        self._running.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self.is_stopped and caller is not None and not caller.cancelling():
                return None
            raise
        finally:
            self._running.discard(task)
