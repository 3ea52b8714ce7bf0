"""A bounded number of awaitables at once, and items that are fetched ahead."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Sized,
)
from typing import Any, TypeVar

__all__ = ["batches", "for_each", "map_unordered", "prefetched", "read_ahead", "retrieve"]

T = TypeVar("T")
R = TypeVar("R")

#: Items after which a worker yields to the event loop: some functions never wait.
_ITEMS_PER_TURN = 32


async def map_unordered(
    func: Callable[[T], Awaitable[R]], items: Iterable[T] | AsyncIterable[T], *, limit: int
) -> AsyncGenerator[R, None]:
    """Yield ``await func(item)`` for every item, in completion order, ``limit`` at a time.

    An item is taken from a lazy source only when fewer than ``limit`` items are running or have
    results that were not yet yielded. The first failure cancels the running calls and is raised
    unchanged. Closing the generator also cancels them.
    """
    source = _aiter(items)
    if limit == 1 or _has_at_most_one(items):
        async for item in source:
            yield await func(item)
        return
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[R]] = set()
    done: deque[asyncio.Task[R]] = deque()
    awake = loop.create_future()

    # One callback per task, because asyncio.wait visits all tasks whenever one is done.
    def note(task: asyncio.Task[R]) -> None:
        done.append(task)
        if not awake.done():
            awake.set_result(None)

    exhausted = False
    try:
        while True:
            while not exhausted and len(running) < limit:
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    exhausted = True
                else:
                    task = loop.create_task(_call(func, item))
                    running.add(task)
                    task.add_done_callback(note)
            if not running:
                return
            if not done:
                awake = loop.create_future()
                await awake
            task = done.popleft()
            result = task.result()
            running.remove(task)
            yield result
    finally:
        await _cancel(running)


async def for_each(
    func: Callable[[T], Awaitable[object]], items: Iterable[T] | AsyncIterable[T], *, limit: int
) -> None:
    """Await ``func(item)`` for every item, ``limit`` at a time; the first failure is raised.

    Like `map_unordered` with fewer tasks: one per worker, not one per item.
    """
    source = _aiter(items)
    if _has_at_most_one(items):
        async for item in source:
            await func(item)
        return
    loop = asyncio.get_running_loop()
    # An asynchronous generator does not support concurrent calls of anext.
    turn = asyncio.Lock()
    workers: set[asyncio.Task[None]] = set()
    #: The worker that failed, ``None`` when all are done.
    end: asyncio.Future[asyncio.Task[None] | None] = loop.create_future()
    is_starting = False

    async def work() -> None:
        nonlocal is_starting
        is_starting = False
        for number in itertools.count(1):
            async with turn:
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    return
            # One item may be followed by more.
            if len(workers) < limit and not is_starting:
                start()
            await func(item)
            if number % _ITEMS_PER_TURN == 0:
                await asyncio.sleep(0)

    def start() -> None:
        nonlocal is_starting
        is_starting = True
        worker = loop.create_task(work())
        workers.add(worker)
        worker.add_done_callback(note)

    def note(worker: asyncio.Task[None]) -> None:
        if end.done():
            return
        if worker.cancelled() or worker.exception() is not None:
            end.set_result(worker)
            return
        workers.remove(worker)
        if not workers:
            end.set_result(None)

    start()
    try:
        failed = await end
        if failed is not None:
            failed.result()
    finally:
        await _cancel(workers)


async def batches(
    items: Iterable[T] | AsyncIterable[T],
    *,
    max_items: int,
    max_bytes: int,
    size_of: Callable[[T], int],
) -> AsyncGenerator[list[T], None]:
    """Yield the items in lists. A list of one item may have more than ``max_bytes``."""
    batch: list[T] = []
    total = 0
    async for item in _aiter(items):
        size = size_of(item)
        if batch and (len(batch) == max_items or total + size > max_bytes):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size
    if batch:
        yield batch


async def read_ahead(
    produce: Callable[[Callable[[T], Awaitable[None]]], Awaitable[None]], *, most: int
) -> AsyncGenerator[T, None]:
    """Yield the items that ``await produce(put)`` puts, while it runs up to ``most`` items ahead.

    Its error is raised after all items before it. Closing the generator cancels and awaits it.
    """
    items: asyncio.Queue[tuple[T] | None] = asyncio.Queue()
    room = asyncio.Semaphore(most)

    async def put(item: T) -> None:
        await room.acquire()
        items.put_nowait((item,))

    async def run() -> None:
        try:
            await produce(put)
        finally:
            items.put_nowait(None)

    # Not a task: see `prefetched`.
    running = asyncio.gather(run(), return_exceptions=True)
    try:
        while (item := await items.get()) is not None:
            room.release()
            yield item[0]
        (outcome,) = await running
        if outcome is not None:
            raise outcome
    finally:
        if not running.done():
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def prefetched(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Yield the items of a generator, one ahead of the caller.

    While the caller uses an item, the next one is fetched. At most two are in memory. An error of
    the generator is raised after all items before it. Closing cancels and awaits the fetch, and
    closes the generator. It must not be used elsewhere: each item may be fetched in another task.
    """
    fetch: asyncio.Future[tuple[tuple[T] | BaseException | None]] | None = None
    try:
        outcome: tuple[T] | BaseException | None = await _next_or_none(items)
        while outcome is not None:
            if isinstance(outcome, BaseException):
                raise outcome
            # Unlike a task, a gather future prints nothing when its error is not retrieved, or when
            # the loop is closed before it is done.
            fetch = asyncio.gather(_next_or_none(items), return_exceptions=True)
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


def retrieve(future: asyncio.Future[Any]) -> None:
    """Retrieve the exception of a future, or its loop reports that it never was; a callback."""
    if not future.cancelled():
        future.exception()


async def _cancel(tasks: Collection[asyncio.Task[R]]) -> None:
    if tasks:
        for task in tasks:
            task.cancel()
        # Awaited, so that asyncio does not print "exception was never retrieved".
        await asyncio.gather(*tasks, return_exceptions=True)


def _has_at_most_one(items: object) -> bool:
    """Whether there is at most one item, which needs no task."""
    return isinstance(items, Sized) and len(items) < 2


async def _call(func: Callable[[T], Awaitable[R]], item: T) -> R:
    return await func(item)


def _aiter(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(items, AsyncIterable):
        return aiter(items)
    return _from_iterable(items)


async def _from_iterable(items: Iterable[T]) -> AsyncGenerator[T, None]:
    for item in items:
        yield item


async def _next_or_none(items: AsyncGenerator[T, None]) -> tuple[T] | None:
    """The next item in a tuple, ``None`` at the end."""
    try:
        return (await anext(items),)
    except StopAsyncIteration:
        return None
