"""Listings of a web server, by its index pages.

Knows when a page lists a directory and what it means that there is none, and not how one is parsed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from yarl import URL

from ...redaction import public_text
from ...threads import in_thread
from ..base import Page
from ..http_answers import Received, StatusError
from .listing import Listing, parse_index

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .bodies import Body
    from .requests import Requests

__all__ = ["Indexes"]

_PAGES_AT_ONCE = 16
#: Maximum size of a page: 64 MiB are some 400,000 names.
_MOST_PAGE_BYTES = 64 * 2**20
#: A page longer than this is parsed in a thread.
_LONG_PAGE = 2**16
#: What says nothing of whether the server lists: who asks has to log in, wait, or ask again.
_ASK_AGAIN = (401, 407, 408, 425, 429)


class Indexes:
    """Index pages below one root.

    Parameters
    ----------
    requests : Requests
        Sends requests.

    Attributes
    ----------
    are_given : bool
        Whether the server gives them, as far as it is known.
    """

    def __init__(self, requests: Requests) -> None:
        self.are_given = True
        self._requests = requests
        self._root_lists = False

    async def discover(self, directory: str) -> None:
        """Ask for a directory's, to find out whether the server gives any; never raises."""
        try:
            await self._page(directory)
        except StatusError as error:
            status = error.answer.status
            if 400 <= status < 500 and status not in _ASK_AGAIN:
                self.are_given = False
        except Exception:
            # Of a server without listings `_page` takes note.
            pass

    async def pages(
        self, directory: str, stem: str, *, recursive: bool
    ) -> AsyncGenerator[Page, None]:
        """See `Backend.pages`."""
        # Last in, first out: of a deep tree few directories wait.
        waiting = [directory]
        running: dict[asyncio.Task[Listing], str] = {}
        try:
            while waiting or running:
                while waiting and len(running) < _PAGES_AT_ONCE:
                    place = waiting.pop()
                    running[asyncio.ensure_future(self._page(place))] = place
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    place = running[task]
                    listing = task.result()
                    del running[task]
                    start = stem if place == directory else ""
                    objects, prefixes = (
                        [place + name for name in names if name.startswith(start)]
                        for names in listing
                    )
                    if recursive:
                        waiting += [prefix + "/" for prefix in prefixes]
                    yield Page([(path, None) for path in objects], () if recursive else prefixes)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _page(self, directory: str) -> Listing:
        """What a directory's index page lists, nothing if it is missing from one that lists.

        Raises
        ------
        NotImplementedError
            When the server answers, but not with an index page.
        """
        is_root = directory == self._requests.place.root + "/"
        at = URL()

        async def receive(body: Body) -> bytes:
            nonlocal at
            at = body.url
            return await body.read(_MOST_PAGE_BYTES)

        answer = await self._requests.send("GET", directory, accept=(200,), receive=receive)
        if answer is None and not is_root:
            # Missing, or one of a server that lists nothing: the root tells.
            if not self._root_lists:
                await self._page(self._requests.place.root + "/")
            return Listing([], [])
        listing = None if answer is None else await self._parsed(answer, directory, at)
        if listing is None:
            if is_root:
                self.are_given = False
            raise NotImplementedError(
                "the server gives no listing of "
                + public_text(self._requests.place.url_of(directory))
            )
        if is_root:
            self._root_lists = True
        return listing

    async def _parsed(self, answer: Received[bytes], directory: str, at: URL) -> Listing | None:
        kind, _, parameters = answer.headers.get("Content-Type", "").partition(";")
        # Led elsewhere, it is not this directory's page.
        if kind.strip().lower() not in ("text/html", "application/xhtml+xml") or (
            at.path != URL(self._requests.place.url_of(directory), encoded=True).path
        ):
            return None
        charset = parameters.partition("charset=")[2].strip(" \"'") or "utf-8"
        try:
            page = answer.body.decode(charset, "surrogateescape")
        except LookupError:
            page = answer.body.decode("utf-8", "surrogateescape")
        if len(page) > _LONG_PAGE:
            return await in_thread(parse_index, page, str(at))
        return parse_index(page, str(at))
