"""Clean-up requests after a failed or cancelled write, with a time limit.

A multipart upload that does not finish leaves parts on the service, which cost money. Aborting it
needs a request to a service that may have caused the failure. Knows no service.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._runtime.concurrency import retrieve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["CLEANUP_SECONDS", "GRACE_SECONDS", "Cleanup"]

logger = logging.getLogger("fsspec_store.cleanup")

#: Maximum time of a clean-up in seconds, retries included.
CLEANUP_SECONDS = 5.0
#: Maximum time in seconds that a cancelled call waits for its clean-up, which continues after it.
GRACE_SECONDS = 1.0


class Cleanup:
    """The running clean-ups of one backend."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[Any]] = set()

    async def run(
        self, undo: Callable[[], Awaitable[Any]], error: BaseException | None = None
    ) -> None:
        """Await ``undo()`` for a limited time; its errors are logged.

        It should not reference large values. A caller whose ``error`` is a cancellation waits at
        most `GRACE_SECONDS`. `aclose` awaits the rest.
        """
        if isinstance(error, GeneratorExit):
            # A coroutine that is being closed must not await.
            return
        # Not a task: see `prefetched`.
        future = asyncio.gather(_bounded(undo), return_exceptions=True)
        self._running.add(future)
        future.add_done_callback(self._done)
        is_cancelled = error is not None and not isinstance(error, Exception)
        # asyncio.wait does not cancel the future when the caller is cancelled, also a second time.
        await asyncio.wait([future], timeout=GRACE_SECONDS if is_cancelled else None)

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._running.discard(future)
        retrieve(future)

    def close(self) -> None:
        """Cancel all clean-ups on all loops; for code that cannot await."""
        for future in list(self._running):
            # The loop may be closed.
            with suppress(RuntimeError):
                future.get_loop().call_soon_threadsafe(future.cancel)

    async def aclose(self) -> None:
        """Await the clean-ups of the running loop, and cancel the others."""
        loop = asyncio.get_running_loop()
        own = [future for future in self._running if future.get_loop() is loop]
        if own:
            await asyncio.wait(own)
        self.close()


async def _bounded(undo: Callable[[], Awaitable[Any]]) -> None:
    try:
        async with asyncio.timeout(CLEANUP_SECONDS):
            await undo()
    except Exception as error:
        # The caller reports the first error. This one may contain a library's secrets.
        logger.info("a clean-up after a failed or cancelled write failed: %s", type(error).__name__)
