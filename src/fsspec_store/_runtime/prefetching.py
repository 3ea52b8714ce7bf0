"""Prefetch of one item of an asynchronous generator."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["prefetched"]

T = TypeVar("T")


async def prefetched(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Yield the items of a generator, one ahead of the caller.

    While the caller uses an item, the next one is fetched. At most two are in memory. An error of
    the generator is raised after all items before it. Closing cancels and awaits the fetch, and
    closes the generator.

    Parameters
    ----------
    items : AsyncGenerator
        Must not be used elsewhere. Each item may be fetched in another task.
    """
    fetch: asyncio.Future[tuple[tuple[T] | BaseException | None]] | None = None
    try:
        outcome: tuple[T] | BaseException | None = await _next(items)
        while outcome is not None:
            if isinstance(outcome, BaseException):
                raise outcome
            # Unlike a task, a gather future prints nothing when its error is not retrieved, or when
            # the loop is closed before it is done.
            fetch = asyncio.gather(_next(items), return_exceptions=True)
            # Starts the fetch, also for a caller that never waits.
            await asyncio.sleep(0)
            yield outcome[0]
            (outcome,) = await fetch
    finally:
        # A fetch that is done is not awaited: a loop that shuts down closes all generators at once,
        # and fails on a generator whose closing waits here.
        if fetch is not None and not fetch.done():
            fetch.cancel()
            await asyncio.gather(fetch, return_exceptions=True)
        await items.aclose()


async def _next(items: AsyncGenerator[T, None]) -> tuple[T] | None:
    """The next item in a tuple, ``None`` at the end."""
    try:
        return (await anext(items),)
    except StopAsyncIteration:
        return None
