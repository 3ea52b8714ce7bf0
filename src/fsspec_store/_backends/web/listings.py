"""Recursive listings of a web server from its index pages, which `index_pages` parses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yarl import URL

from ..._core.redaction import public_text
from ..._http.responses import StatusError
from ..._runtime.threads import in_thread
from ..pages import Page
from ..web_client.folder_walk import walk
from .index_pages import IndexPage, parse_index

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..._http.messages import Response
    from ..web_client.bodies import Body
    from ..web_client.client import WebClient

__all__ = ["Listings"]

#: Maximum size of an index page: 64 MiB hold about 400,000 names.
_MAX_PAGE_BYTES = 64 * 2**20
#: A longer page is parsed in a thread.
_LONG_PAGE = 2**16
#: Statuses that do not show whether the server has index pages: log in, wait, or repeat.
_INCONCLUSIVE = (401, 407, 408, 425, 429)


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

    def pages(
        self, directory: str, name_prefix: str, *, recursive: bool
    ) -> AsyncGenerator[Page, None]:
        """List a directory by its index pages; see `Backend.pages`."""
        return walk(
            directory,
            name_prefix,
            recursive=recursive,
            list_folder=self._list_folder,
            url_of=lambda path: public_text(self._client.location.url_of(path)),
        )

    async def _list_folder(self, directory: str) -> Page:
        """The direct children of a directory, with full paths."""
        found = await self._page(directory)
        return Page(
            [(directory + name, None) for name in found.objects],
            [directory + name for name in found.prefixes],
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
