"""Requests that undo what failed or was cancelled, within a budget of their own.

An upload in parts that does not finish leaves parts on the service, which are paid for. To abort it
takes a request, to a service that may be the reason for the failure. Knows asyncio, and no service.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["CLEANUP_SECONDS", "GRACE_SECONDS", "Cleanup"]

logger = logging.getLogger("fsspec_store.cleanup")

#: Longest time that a clean-up takes, its repetitions included.
CLEANUP_SECONDS = 5.0
#: How long a cancelled call waits for its clean-up, which goes on afterwards.
GRACE_SECONDS = 1.0


class Cleanup:
    """The clean-ups of one backend that are under way."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[Any]] = set()

    async def run(
        self, undo: Callable[[], Awaitable[Any]], error: BaseException | None = None
    ) -> None:
        """Await ``undo()`` for a bounded time; what it raises is logged.

        Parameters
        ----------
        undo : callable
            Sends the requests. It should hold no large value.
        error : BaseException, optional
            What ended the caller. If it was cancelled, it waits for `GRACE_SECONDS` at most, and
            the rest is left to a task that `aclose` awaits.
        """
        if isinstance(error, GeneratorExit):
            # A coroutine that is dropped may not await anything.
            return
        # Why not a task: see `prefetched`.
        future = asyncio.gather(_bounded(undo), return_exceptions=True)
        self._running.add(future)
        future.add_done_callback(self._done)
        is_cancelled = error is not None and not isinstance(error, Exception)
        # Not cancelled with the caller, be it for the first time or once more.
        await asyncio.wait([future], timeout=GRACE_SECONDS if is_cancelled else None)

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._running.discard(future)
        if not future.cancelled():
            # Retrieved, or the loop reports that it never was.
            future.exception()

    def close(self) -> None:
        """Cancel what is under way, on any loop; for code that cannot await."""
        for future in list(self._running):
            # A loop that is closed runs nothing any more.
            with suppress(RuntimeError):
                future.get_loop().call_soon_threadsafe(future.cancel)

    async def aclose(self) -> None:
        """Await what is under way on the running loop, and give up the rest."""
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
        # The caller reports what led here. This message may come from any library.
        logger.info("a clean-up after a failed or cancelled write failed: %s", type(error).__name__)
