"""Read-only backend for web servers: GET and HEAD, and listings from the server's index pages.

A key is quoted and appended to the path of the root URL; the query of the root URL, which may hold
a token, is sent with every request. Servers may ignore a range, compress a response or send the
index page of a directory. Each case is detected, and handled or raised as an error.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from yarl import URL

from ..._http.origins import TRUSTED_HOSTS, origin_of, trusted_origins
from ..._http.responses import http_failure
from ..base import Backend
from ..listed_details import etag, http_date
from ..pages import Details
from ..web_client.client import Location, WebClient
from ..web_client.reading import Reader
from ..web_client.redirects import Redirects
from ..web_client.session import check_options, request_options
from .listings import Listings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from fsspec import AbstractFileSystem

    from ..._core.byte_requests import ByteRequest
    from ..._core.failures import Failure
    from ..._core.streams import OpenValue
    from ..._http.settings import Settings
    from ..pages import Page

__all__ = ["WebBackend"]


class WebBackend(Backend):
    """Files of web servers, by URLs such as ``https://host/data/key``."""

    has_secret_paths = True
    streams = True
    supports_writes = False
    supports_deletes = False
    supports_atomic_create = False
    supports_replace = False

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        super().__init__(fs, settings)
        check_options(fs)
        self._options = request_options(fs)
        # Set by `check_root`.
        self._client: WebClient
        self._address: str
        self._reader: Reader
        self._listings: Listings

    @property
    def supports_listing(self) -> bool:  # type: ignore[override]
        return self._listings.supported

    def check_root(self, root: str) -> str | None:
        """Bind the backend to this root; return why it is invalid, or ``None``.

        A path alone does not show where the root ends: both root and key may contain ``?``.
        """
        try:
            url = URL(root, encoded=self.fs.encoded)
            base, query = str(url.with_query(None).with_fragment(None)), url.raw_query_string
            port = url.port
        except ValueError:
            return "it is not a valid URL"
        if not url.host or url.scheme not in ("http", "https"):
            return "it is not an http or https URL with a host"
        if url.raw_fragment or "#" in root:
            return "a URL of a web server must not contain #; write # in a name as %23"
        if url.raw_user is not None and "Authorization" in self._options["headers"]:
            return "the URL has a user name, and the options contain credentials as well"
        here = Location(root, base.rstrip("/"), query and "?" + query)
        service = f"{url.scheme}://{url.host}:{port}"
        self._address = str(origin_of(url))
        options = dict(self._options)
        redirects = Redirects(
            url,
            trusted_origins(url, self.fs.storage_options.get(TRUSTED_HOSTS, ())),
            options.pop("headers"),
            options,
        )
        self._client = WebClient(self.fs, service, here, redirects, self.settings)
        self._reader = Reader(self._client, self.settings.reads)
        self._listings = Listings(self._client)
        return None

    async def discover(self, directory: str) -> None:
        # At most the timeout of one attempt: the store also opens without this result.
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.policy.timeout):
                await self._listings.discover(directory)

    @property
    def address(self) -> str | None:
        return self._address

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        return await self._reader.read(path, request)

    async def open_value(self, path: str, start: int, version: str | None) -> OpenValue | None:
        return await self._reader.open(path, start, version)

    async def size(self, path: str) -> int | None:
        return await self._reader.size(path)

    async def write(self, path: str, data: memoryview) -> None:
        raise NotImplementedError("web servers are only read")

    async def remove(self, path: str) -> None:
        raise NotImplementedError("web servers are only read")

    async def stat(self, path: str) -> tuple[int, Details] | None:
        found = await self._reader.head(path)
        if found is None:
            return None
        size, headers = found
        return size, Details(http_date(headers.get("Last-Modified")), etag(headers.get("ETag")))

    def pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        return self._listings.pages(directory, name_prefix, recursive=recursive)

    def failure(self, error: Exception) -> Failure:
        return http_failure(error)

    def close(self) -> None:
        self._client.close()

    async def aclose(self) -> None:
        await self._client.aclose()
