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
#: Statuses that do not show whether the server has index pages: missing credentials, throttling,
#: transient errors.
_INCONCLUSIVE = (401, 407, 408, 425, 429)


class FolderNotFoundError(NotImplementedError, FileNotFoundError):
    """There is no folder at the root, or the server does not list it."""


class Listings:
    """Index pages below one root."""

    def __init__(self, client: WebClient) -> None:
        #: False once the server is known to have no index pages.
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
        """The index page of a directory, which is empty if the directory is missing.

        Raises `NotImplementedError` if the response is not an index page, and `FolderNotFoundError`
        if that of the root is 404.
        """
        root = self._client.location.root + "/"
        url = self._client.location.url_of(directory)
        response = await self._client.send("GET", directory, accept=(200,), receive=_text_and_url)
        if response is None and directory != root:
            # The directory is missing, or the server has no index pages: the root shows which.
            if not self._root_has_index:
                await self._page(root)
            return IndexPage([], [])
        page = None if response is None else await _parsed(response, URL(url, encoded=True))
        if directory == root:
            self._root_has_index = page is not None
            self.supported = self.supported and self._root_has_index
        if response is None:
            raise FolderNotFoundError(
                f"status 404 for {public_text(url)}: the folder is missing, or the server does not "
                "list it"
            )
        if page is None:
            raise NotImplementedError(f"the server has no index page for {public_text(url)}")
        return page


async def _text_and_url(body: Body) -> tuple[bytes, URL]:
    return await body.read(_MAX_PAGE_BYTES), body.url


async def _parsed(response: Response[tuple[bytes, URL]], requested: URL) -> IndexPage | None:
    page, url = response.body
    kind, _, parameters = response.headers.get("Content-Type", "").partition(";")
    # After a redirect to another path it is not the page of this directory.
    if kind.strip().lower() not in ("text/html", "application/xhtml+xml") or (
        url.path != requested.path
    ):
        return None
    charset = parameters.partition("charset=")[2].strip(" \"'") or "utf-8"
    if len(page) > _LONG_PAGE:
        return await in_thread(_parse, page, charset, str(url))
    return _parse(page, charset, str(url))


def _parse(page: bytes, charset: str, url: str) -> IndexPage | None:
    try:
        text = page.decode(charset, "surrogateescape")
    except (LookupError, UnicodeError):
        text = page.decode("utf-8", "surrogateescape")
    return parse_index(text, url)
