"""Listings of a web server, by its index pages.

Knows when a page lists a directory and what it means that there is none, and not how one is parsed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from yarl import URL

from ..._core.redaction import public_text
from ..._http.responses import HTTPResponse, StatusError
from ..._runtime.threads import in_thread
from ..pages import Page
from .listing import Listing, parse_index

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .bodies import Body
    from .requests import Requests

__all__ = ["Indexes"]

_PAGES_AT_ONCE = 16
#: Maximum size of a page: 64 MiB are some 400,000 names.
_MOST_PAGE_BYTES = 64 * 2**20
#: Folders, one below the other, that may list what one above them lists: 64 with one entry, 32 with
#: numbers, which are chunks of an array of as many dimensions, 8 with anything else. Systems follow
#: 40 links in a path.
_MOST_REPEATS = 64
#: Folders one below the other.
_MOST_DEEP = 255
#: A page longer than this is parsed in a thread.
_LONG_PAGE = 2**16
#: Statuses that do not show whether the server lists: log in, wait, or repeat the request.
_ASK_AGAIN = (401, 407, 408, 425, 429)


class _Folder:
    """A directory of a listing, what it lists once that is known, and the directory it is in."""

    __slots__ = ("above", "listed", "path", "repeats")

    def __init__(self, path: str, above: _Folder | None = None) -> None:
        self.path = path
        self.above = above
        self.listed = 0
        self.repeats = 0


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
            status = error.response.status
            if 400 <= status < 500 and status not in _ASK_AGAIN:
                self.are_given = False
        except Exception:
            # Of a server without listings `_page` takes note.
            pass

    async def pages(
        self, directory: str, name_prefix: str, *, recursive: bool
    ) -> AsyncGenerator[Page, None]:
        """List a directory by its index pages; see `Backend.pages`."""
        # Last in, first out: of a deep tree few directories wait.
        waiting = [_Folder(directory)]
        running: dict[asyncio.Task[Listing], _Folder] = {}
        try:
            while waiting or running:
                while waiting and len(running) < _PAGES_AT_ONCE:
                    folder = waiting.pop()
                    running[asyncio.ensure_future(self._page(folder.path))] = folder
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    folder = running.pop(task)
                    listing = task.result()
                    start = name_prefix if folder.path == directory else ""
                    objects, prefixes = (
                        [folder.path + name for name in names if name.startswith(start)]
                        for names in listing
                    )
                    if recursive and prefixes:
                        self._refuse_endless(folder, listing)
                        waiting += [_Folder(prefix + "/", folder) for prefix in prefixes]
                    yield Page([(path, None) for path in objects], () if recursive else prefixes)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _refuse_endless(self, folder: _Folder, listing: Listing) -> None:
        """Raise ``OSError`` when the folders below this one seem to have no end.

        Links between a server's folders make paths of any depth, and nothing on an index page tells
        a folder from a link to it. Pages that list the same, one below the other, do.
        """
        names = listing.objects + listing.prefixes
        folder.listed = hash((tuple(sorted(listing.objects)), tuple(sorted(listing.prefixes))))
        depth, above = 0, folder.above
        is_repeated = False
        while above is not None:
            depth += 1
            is_repeated = is_repeated or above.listed == folder.listed
            above = above.above
        folder.repeats = 0 if folder.above is None else folder.above.repeats
        if is_repeated:
            # Chunks of an array of many dimensions lie in folders with the same numbers.
            is_chunks = all(name.isdigit() for name in names)
            folder.repeats += 1 if len(names) == 1 else 2 if is_chunks else 8
        if folder.repeats >= _MOST_REPEATS or depth >= _MOST_DEEP:
            url = public_text(self._requests.place.url_of(folder.path))
            raise OSError(
                f"the listing has no end: {url} lists the same as folders above it, or is deeper "
                f"than {_MOST_DEEP} folders; folders of the server may link to each other. "
                "List a prefix without such links"
            )

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

    async def _parsed(self, answer: HTTPResponse[bytes], directory: str, at: URL) -> Listing | None:
        kind, _, parameters = answer.headers.get("Content-Type", "").partition(";")
        # Led elsewhere, it is not this directory's page.
        if kind.strip().lower() not in ("text/html", "application/xhtml+xml") or (
            at.path != URL(self._requests.place.url_of(directory), encoded=True).path
        ):
            return None
        charset = parameters.partition("charset=")[2].strip(" \"'") or "utf-8"
        if len(answer.body) > _LONG_PAGE:
            return await in_thread(_read_listing, answer.body, charset, str(at))
        return _read_listing(answer.body, charset, str(at))


def _read_listing(page: bytes, charset: str, url: str) -> Listing | None:
    try:
        text = page.decode(charset, "surrogateescape")
    except (LookupError, UnicodeError):
        text = page.decode("utf-8", "surrogateescape")
    return parse_index(text, url)
