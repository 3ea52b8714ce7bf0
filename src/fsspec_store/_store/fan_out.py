"""One recursive listing, split into concurrent listings of its common prefixes.

Knows pages and their order, and not keys relative to a root.
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

__all__ = ["MAX_BUFFERED_KEYS", "fan_out_pages"]

#: Keys that may be buffered until the keys before them were yielded; about 20 MB with their sizes.
MAX_BUFFERED_KEYS = 100_000

#: What can end a listing; the reader of its pages raises it.
_ERRORS = (Exception, asyncio.CancelledError)


async def fan_out_pages(
    backend: Backend,
    directory: str,
    name_prefix: str,
    *,
    fan_out: int,
    in_order: bool = True,
    max_buffered_keys: int = MAX_BUFFERED_KEYS,
) -> AsyncGenerator[Page, None]:
    """All objects that ``backend.pages(directory, name_prefix, recursive=True)`` lists.

    The first level with more than one common prefix is listed without recursion. Its prefixes are
    listed concurrently, at most ``fan_out`` at once. ``in_order`` yields the pages in the order of
    one listing, on services that list in the byte order of keys; otherwise as they arrive.

    When ``max_buffered_keys`` are buffered, only the listing whose pages are next continues. The
    pages of requests in flight, one for each listing, may exceed it.
    """
    listings = _Listings(backend, fan_out, in_order, max_buffered_keys)
    listings.start(directory, name_prefix)
    try:
        while (section := await listings.sections.get()) is not None:
            while (page := await listings.next_page(section)) is not None:
                yield page
    finally:
        await listings.stop()


class _Section:
    """A contiguous part of the output: the pages of one listing or of several."""

    def __init__(self) -> None:
        #: Pages as they arrive; an exception when a listing failed, ``None`` at the end.
        self.pages: asyncio.Queue[Page | BaseException | None] = asyncio.Queue()
        self.listings = 1

    def end_listing(self) -> None:
        """Count one of its listings as finished."""
        self.listings -= 1
        if not self.listings:
            self.pages.put_nowait(None)


class _Listings:
    """The concurrent listings, and their pages that were not yet yielded."""

    def __init__(
        self, backend: Backend, fan_out: int, in_order: bool, max_buffered_keys: int
    ) -> None:
        #: In the order of the output; ``None`` is the end.
        self.sections: asyncio.Queue[_Section | None] = asyncio.Queue()
        self._backend = backend
        self._in_order = in_order
        self._slots = asyncio.Semaphore(fan_out)
        self._max_buffered_keys = max_buffered_keys
        self._buffered_keys = 0
        self._current: _Section | None = None
        self._page_taken = asyncio.Condition()
        self._running: set[asyncio.Future[Any]] = set()

    def start(self, directory: str, name_prefix: str) -> None:
        """Start the listing of the first level, which starts the others."""
        self._run(self._list_level(directory, name_prefix, self._new_section()))

    async def stop(self) -> None:
        """Cancel and await the listings that still run."""
        # Listings that are done are not awaited: see `prefetched`.
        running = [future for future in self._running if not future.done()]
        for future in running:
            future.cancel()
        if running:
            await asyncio.gather(*running, return_exceptions=True)

    async def next_page(self, section: _Section) -> Page | None:
        """The next page of a section, ``None`` at its end."""
        self._current = section
        page = await section.pages.get()
        if isinstance(page, BaseException):
            raise page
        if page is not None:
            self._buffered_keys -= len(page.objects)
            async with self._page_taken:
                self._page_taken.notify_all()
        return page

    def _new_section(self) -> _Section:
        section = _Section()
        self.sections.put_nowait(section)
        return section

    def _run(self, listing: Coroutine[Any, Any, None]) -> None:
        # Not a task: see `prefetched`.
        future = asyncio.gather(listing, return_exceptions=True)
        self._running.add(future)
        future.add_done_callback(self._running.discard)

    async def _list_level(self, directory: str, name_prefix: str, section: _Section) -> None:
        try:
            async with aclosing(_entries(self._backend, directory, name_prefix)) as entries:
                async for entry in entries:
                    if isinstance(entry, Page):
                        await self._add(entry, section)
                        continue
                    await self._slots.acquire()
                    if self._in_order:
                        section.end_listing()
                        self._run(self._list_below(entry, self._new_section()))
                        section = self._new_section()
                    else:
                        section.listings += 1
                        self._run(self._list_below(entry, section))
        except _ERRORS as error:
            section.pages.put_nowait(error)
        section.end_listing()
        self.sections.put_nowait(None)

    async def _list_below(self, prefix: str, section: _Section) -> None:
        try:
            async with aclosing(self._backend.checked_pages(prefix, "", recursive=True)) as pages:
                async for page in pages:
                    await self._add(page, section)
        except _ERRORS as error:
            # Raised after the pages before it.
            section.pages.put_nowait(error)
        self._slots.release()
        section.end_listing()

    async def _add(self, page: Page, section: _Section) -> None:
        """Buffer a page, and wait until there is room for another one."""
        section.pages.put_nowait(page)
        self._buffered_keys += len(page.objects)

        def has_room() -> bool:
            # The current section always continues: all others may wait for its end.
            is_awaited = section is self._current and section.pages.empty()
            return is_awaited or self._buffered_keys < self._max_buffered_keys

        async with self._page_taken:
            await self._page_taken.wait_for(has_room)


async def _entries(
    backend: Backend, directory: str, name_prefix: str
) -> AsyncGenerator[Page | str, None]:
    """Pages of objects, and prefixes that end in ``/``, in the order of one listing."""
    after: list[Page | str] = []
    while True:
        async with aclosing(
            backend.checked_pages(directory, name_prefix, recursive=False)
        ) as pages:
            seen: set[str] = set()
            first = await anext(pages, Page(()))
            second = await anext(pages, None)
            entries = _interleave(first, directory, seen)
            if second is None and len(seen) == 1:
                # The level below a single prefix may have more prefixes to list concurrently.
                (only,) = seen
                before = entries.index(only)
                for entry in entries[:before]:
                    yield entry
                after = entries[before + 1 :] + after
                directory, name_prefix = only, ""
                continue
            if second is not None:
                entries += _interleave(second, directory, seen)
            for entry in entries:
                yield entry
            async for page in pages:
                for entry in _interleave(page, directory, seen):
                    yield entry
        for entry in after:
            yield entry
        return


def _interleave(page: Page, directory: str, seen: set[str]) -> list[Page | str]:
    """The objects and new prefixes of a page, sorted by key."""
    objects = sorted(page.objects, key=itemgetter(0))
    # Unicode strings and their UTF-8 bytes sort alike.
    prefixes = sorted({prefix + "/" for prefix in page.prefixes} - seen)
    entries: list[Page | str] = []
    start = 0
    for prefix in prefixes:
        # Paths below any other prefix are not keys.
        if is_listable(prefix[len(directory) : -1]):
            seen.add(prefix)
            end = bisect_left(objects, prefix, start, key=itemgetter(0))
            if start < end:
                entries.append(Page(objects[start:end]))
            entries.append(prefix)
            start = end
    if start < len(objects):
        entries.append(Page(objects[start:]))
    return entries
