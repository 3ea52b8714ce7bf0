"""Recursive listings of a web server from its index pages, which `index_pages` parses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from yarl import URL

from ..._core.redaction import public_text
from ..._http.responses import StatusError
from ..._runtime.threads import in_thread
from ..pages import Page
from .index_pages import IndexPage, parse_index

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..._http.messages import Response
    from .bodies import Body
    from .client import WebClient

__all__ = ["Listings"]

_PAGES_AT_ONCE = 16
#: Maximum size of an index page: 64 MiB hold about 400,000 names.
_MAX_PAGE_BYTES = 64 * 2**20
#: Maximum number of nested folders that list the same as a folder above: 64 with a single entry, 32
#: with only numbers (chunks of an array with that many dimensions), 8 otherwise. Operating systems
#: follow at most 40 links in a path.
_MAX_REPEATS = 64
#: Maximum depth of nested folders.
_MAX_DEPTH = 255
#: A longer page is parsed in a thread.
_LONG_PAGE = 2**16
#: Statuses that do not show whether the server has index pages: log in, wait, or repeat.
_INCONCLUSIVE = (401, 407, 408, 425, 429)


class _Folder:
    """A directory of a recursive listing, with a hash of its entries and the directory above."""

    __slots__ = ("above", "listed", "path", "repeats")

    def __init__(self, path: str, above: _Folder | None = None) -> None:
        self.path = path
        self.above = above
        self.listed = 0
        self.repeats = 0


class Listings:
    """Index pages below one root.

    Parameters
    ----------
    client : WebClient
        Sends the requests.

    Attributes
    ----------
    supported : bool
        False once the server is known to have no index pages.
    """

    def __init__(self, client: WebClient) -> None:
        self.supported = True
        self._client = client
        self._root_has_index = False

    async def discover(self, directory: str) -> None:
        """Request one index page to probe whether the server has any; never raises."""
        try:
            await self._page(directory)
        except StatusError as error:
            status = error.response.status
            if 400 <= status < 500 and status not in _INCONCLUSIVE:
                self.supported = False
        except Exception:
            # `_page` has set `supported`, if the server has no index pages.
            pass

    async def pages(
        self, directory: str, name_prefix: str, *, recursive: bool
    ) -> AsyncGenerator[Page, None]:
        """List a directory by its index pages; see `Backend.pages`."""
        # Depth first: few directories of a deep tree wait.
        waiting = [_Folder(directory)]
        running: dict[asyncio.Task[IndexPage], _Folder] = {}
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

    def _refuse_endless(self, folder: _Folder, listing: IndexPage) -> None:
        """Raise ``OSError`` if the folders seem to be linked in a cycle.

        Links between folders of a server make paths of any depth, and an index page does not show
        which entries are links. Nested folders that list the same entries indicate a cycle.
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
            # The folders of an array's chunks have the same numbers in each dimension.
            is_chunks = all(name.isdigit() for name in names)
            folder.repeats += 1 if len(names) == 1 else 2 if is_chunks else 8
        if folder.repeats >= _MAX_REPEATS or depth >= _MAX_DEPTH:
            url = public_text(self._client.location.url_of(folder.path))
            raise OSError(
                f"the listing has no end: {url} lists the same as folders above it, or is deeper "
                f"than {_MAX_DEPTH} folders; folders of the server may link to each other. "
                "List a prefix without such links"
            )

    async def _page(self, directory: str) -> IndexPage:
        """The index page of a directory; an empty one for a missing directory.

        Raises
        ------
        NotImplementedError
            When the response is not an index page.
        """
        is_root = directory == self._client.location.root + "/"
        at = URL()

        async def receive(body: Body) -> bytes:
            nonlocal at
            at = body.url
            return await body.read(_MAX_PAGE_BYTES)

        response = await self._client.send("GET", directory, accept=(200,), receive=receive)
        if response is None and not is_root:
            # The directory is missing, or the server has no index pages: the root shows which.
            if not self._root_has_index:
                await self._page(self._client.location.root + "/")
            return IndexPage([], [])
        page = None if response is None else await self._parsed(response, directory, at)
        if page is None:
            if is_root:
                self.supported = False
            raise NotImplementedError(
                "the server has no index page for "
                + public_text(self._client.location.url_of(directory))
            )
        if is_root:
            self._root_has_index = True
        return page

    async def _parsed(self, response: Response[bytes], directory: str, at: URL) -> IndexPage | None:
        kind, _, parameters = response.headers.get("Content-Type", "").partition(";")
        # After a redirect to another path it is not the page of this directory.
        if kind.strip().lower() not in ("text/html", "application/xhtml+xml") or (
            at.path != URL(self._client.location.url_of(directory), encoded=True).path
        ):
            return None
        charset = parameters.partition("charset=")[2].strip(" \"'") or "utf-8"
        if len(response.body) > _LONG_PAGE:
            return await in_thread(_parse, response.body, charset, str(at))
        return _parse(response.body, charset, str(at))


def _parse(page: bytes, charset: str, url: str) -> IndexPage | None:
    try:
        text = page.decode(charset, "surrogateescape")
    except (LookupError, UnicodeError):
        text = page.decode("utf-8", "surrogateescape")
    return parse_index(text, url)
