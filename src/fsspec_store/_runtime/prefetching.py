"""The next item of an asynchronous generator, made while the caller uses this one.

Knows asyncio, and nothing of what the items are.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["prefetched"]

T = TypeVar("T")


async def prefetched(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Yield the items of a generator, one ahead of the caller.

    The first is made when it is asked for; from then on the next one is under way while the caller
    has one, and two are held at most. What the generator raises comes after all items before it.
    Closing cancels and awaits what is under way, and closes the generator.

    Parameters
    ----------
    items : AsyncGenerator
        Belongs to this one from now on. Each of its items may be made in a task of its own.
    """
    coming: asyncio.Future[tuple[tuple[T] | BaseException | None]] | None = None
    try:
        outcome: tuple[T] | BaseException | None = await _next(items)
        while outcome is not None:
            if isinstance(outcome, BaseException):
                raise outcome
            # More silent than a task: nothing is printed when nobody asks for an error, or when a
            # loop is closed that still has something under way.
            coming = asyncio.gather(_next(items), return_exceptions=True)
            # One turn of the loop: a caller that never waits would keep it from being started.
            await asyncio.sleep(0)
            yield outcome[0]
            (outcome,) = await coming
    finally:
        # No waiting for what is done: as a loop shuts down it closes all its generators at once,
        # and one that is being closed here already would be an error there.
        if coming is not None and not coming.done():
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await items.aclose()


async def _next(items: AsyncGenerator[T, None]) -> tuple[T] | None:
    """The next item, none at the end."""
    try:
        return (await anext(items),)
    except StopAsyncIteration:
        return None
