"""One long listing as several shorter ones, of the common prefixes below, side by side.

Knows pages and their order, and nothing of keys relative to a root.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from contextlib import aclosing
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from .._backends.pages import Page
from .keys import is_listable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from .._backends.base import Backend

__all__ = ["MAX_WAITING", "fanned_out"]

#: Keys that may wait for those before them, with their sizes: some 20 MB.
MAX_WAITING = 100_000

#: What a listing may end with; whoever waits for its pages has to hear of it.
_ERRORS = (Exception, asyncio.CancelledError)


async def fanned_out(
    backend: Backend,
    directory: str,
    stem: str,
    *,
    fan_out: int,
    in_order: bool = True,
    max_waiting: int = MAX_WAITING,
) -> AsyncGenerator[Page, None]:
    """All objects below, as ``backend.pages(directory, stem, recursive=True)`` lists them.

    The first level that has not just one common prefix is listed by itself, and its prefixes side
    by side.

    Parameters
    ----------
    backend : Backend
        Lists.
    directory, stem : str
        See `Backend.pages`.
    fan_out : int
        How many prefixes are listed at once, ``>= 1``.
    in_order : bool, optional
        Yield the pages in the order of one listing, on services that list in the order of the
        keys' bytes; else as they come.
    max_waiting : int, optional
        Once so many keys wait for their turn, only the listing whose turn it is goes on. It is
        exceeded by the pages that were under way, one for each listing.
    """
    listings = _Listings(backend, fan_out, in_order, max_waiting)
    listings.start(directory, stem)
    try:
        while (turn := await listings.turns.get()) is not None:
            while (page := await listings.take(turn)) is not None:
                yield page
    finally:
        await listings.stop()


class _Turn:
    """Pages that are handed out one after the other, of one listing or of several."""

    def __init__(self) -> None:
        #: Pages as they come, an error in place of one, ``None`` at the end.
        self.pages: asyncio.Queue[Page | BaseException | None] = asyncio.Queue()
        self.listings = 1

    def leave(self) -> None:
        """Say that one of its listings is at its end."""
        self.listings -= 1
        if not self.listings:
            self.pages.put_nowait(None)


class _Listings:
    """The listings that are under way, and what they found that was not yet taken."""

    def __init__(self, backend: Backend, fan_out: int, in_order: bool, max_waiting: int) -> None:
        #: In their order; ``None`` is the end.
        self.turns: asyncio.Queue[_Turn | None] = asyncio.Queue()
        self._backend = backend
        self._in_order = in_order
        self._free = asyncio.Semaphore(fan_out)
        self._max_waiting = max_waiting
        self._waiting = 0
        self._current: _Turn | None = None
        self._taken = asyncio.Condition()
        self._running: set[asyncio.Future[Any]] = set()

    def start(self, directory: str, stem: str) -> None:
        """Begin to list it all."""
        self._run(self._split(directory, stem, self._new_turn()))

    async def stop(self) -> None:
        """Cancel and await what is under way."""
        # No waiting for what is done: see `prefetched`.
        running = [future for future in self._running if not future.done()]
        for future in running:
            future.cancel()
        if running:
            await asyncio.gather(*running, return_exceptions=True)

    async def take(self, turn: _Turn) -> Page | None:
        """The next page of a turn, ``None`` at its end."""
        self._current = turn
        page = await turn.pages.get()
        if isinstance(page, BaseException):
            raise page
        if page is not None:
            self._waiting -= len(page.objects)
            async with self._taken:
                self._taken.notify_all()
        return page

    def _new_turn(self) -> _Turn:
        turn = _Turn()
        self.turns.put_nowait(turn)
        return turn

    def _run(self, listing: Coroutine[Any, Any, None]) -> None:
        # Why not a task: see `prefetched`.
        future = asyncio.gather(listing, return_exceptions=True)
        self._running.add(future)
        future.add_done_callback(self._running.discard)

    async def _split(self, directory: str, stem: str, turn: _Turn) -> None:
        try:
            async with aclosing(_parts(self._backend, directory, stem)) as parts:
                async for part in parts:
                    if isinstance(part, Page):
                        await self._add(part, turn)
                        continue
                    await self._free.acquire()
                    if self._in_order:
                        turn.leave()
                        self._run(self._list(part, self._new_turn()))
                        turn = self._new_turn()
                    else:
                        turn.listings += 1
                        self._run(self._list(part, turn))
        except _ERRORS as error:
            turn.pages.put_nowait(error)
        turn.leave()
        self.turns.put_nowait(None)

    async def _list(self, prefix: str, turn: _Turn) -> None:
        try:
            pages = self._backend.checked_pages(prefix, "", recursive=True)
            async with aclosing(pages):
                async for page in pages:
                    await self._add(page, turn)
        except _ERRORS as error:
            # It has its turn, like a page.
            turn.pages.put_nowait(error)
        self._free.release()
        turn.leave()

    async def _add(self, page: Page, turn: _Turn) -> None:
        """Hand a page over, and wait until there is room for another one."""
        turn.pages.put_nowait(page)
        self._waiting += len(page.objects)

        def has_room() -> bool:
            # The one whose turn it is always goes on: the others may all wait for its end.
            is_awaited = turn is self._current and turn.pages.empty()
            return is_awaited or self._waiting < self._max_waiting

        async with self._taken:
            await self._taken.wait_for(has_room)


async def _parts(backend: Backend, directory: str, stem: str) -> AsyncGenerator[Page | str, None]:
    """What lies below, in order: pages of objects, and prefixes that end in ``/``."""
    behind: list[Page | str] = []
    while True:
        async with aclosing(backend.checked_pages(directory, stem, recursive=False)) as pages:
            seen: set[str] = set()
            first = await anext(pages, Page(()))
            second = await anext(pages, None)
            parts = _split(first, directory, seen)
            if second is None and len(seen) == 1:
                # The only prefix would be listed alone: what is below it may be split instead.
                (only,) = seen
                before = parts.index(only)
                for part in parts[:before]:
                    yield part
                behind = parts[before + 1 :] + behind
                directory, stem = only, ""
                continue
            for part in parts:
                yield part
            if second is not None:
                for part in _split(second, directory, seen):
                    yield part
            async for page in pages:
                for part in _split(page, directory, seen):
                    yield part
        for part in behind:
            yield part
        return


def _split(page: Page, directory: str, seen: set[str]) -> list[Page | str]:
    """A level's objects and the prefixes not seen before, as their keys follow each other."""
    objects = sorted(page.objects, key=itemgetter(0))
    # Of Unicode characters and of their UTF-8 bytes the order is the same.
    prefixes = sorted({prefix + "/" for prefix in page.prefixes} - seen)
    parts: list[Page | str] = []
    start = 0
    for prefix in prefixes:
        # Below any other there are no keys.
        if is_listable(prefix[len(directory) : -1]):
            seen.add(prefix)
            end = bisect_left(objects, prefix, start, key=itemgetter(0))
            if start < end:
                parts.append(Page(objects[start:end]))
            parts.append(prefix)
            start = end
    if start < len(objects):
        parts.append(Page(objects[start:]))
    return parts
