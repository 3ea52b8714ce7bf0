"""Run a bounded number of awaitables at once.

Knows asyncio, and nothing of what is run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable

__all__ = ["for_each", "map_unordered"]

T = TypeVar("T")
R = TypeVar("R")


async def map_unordered(
    func: Callable[[T], Awaitable[R]], items: Iterable[T] | AsyncIterable[T], *, limit: int
) -> AsyncGenerator[R, None]:
    """Yield ``await func(item)`` for every item, in completion order, ``limit`` at a time.

    Items are taken from a lazy source only when there is room to run them. The first failure
    cancels what is under way and is raised as itself; so does closing the generator.

    Parameters
    ----------
    limit : int
        How many run at once, ``>= 1``.
    """
    source = _aiter(items)
    running: set[asyncio.Task[R]] = set()
    exhausted = False
    try:
        while True:
            while not exhausted and len(running) < limit:
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    exhausted = True
                else:
                    running.add(asyncio.ensure_future(_call(func, item)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            # Of all that is done, or asyncio reports errors that were never looked at.
            errors = [error for task in done if (error := task.exception()) is not None]
            if errors:
                raise errors[0]
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        # Awaiting what was cancelled keeps "exception was never retrieved" from being printed.
        await asyncio.gather(*running, return_exceptions=True)


async def for_each(
    func: Callable[[T], Awaitable[object]], items: Iterable[T] | AsyncIterable[T], *, limit: int
) -> None:
    """Await ``func(item)`` for every item, ``limit`` at a time; the first failure is raised."""
    async for _ in map_unordered(func, items, limit=limit):
        pass


async def _call(func: Callable[[T], Awaitable[R]], item: T) -> R:
    return await func(item)


def _aiter(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(items, AsyncIterable):
        return aiter(items)
    return _from_iterable(items)


async def _from_iterable(items: Iterable[T]) -> AsyncGenerator[T, None]:
    for item in items:
        yield item
