"""Web servers that are read: objects by GET and HEAD, listings where the server has index pages.

Keys are joined to the root's path, quoted, before its query: a token in the query goes with every
request. What a server may do instead of what it was asked (ignore a range, compress, send the page
of a directory) is found out and made up for, or raised; it never becomes the bytes of a key.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from yarl import URL

from ..._http.origins import TRUSTED_HOSTS, trusted_origins
from ..._http.responses import http_failure
from ..base import Backend
from .indexes import Indexes
from .reading import Reader
from .redirects import Redirects
from .requests import Place, Requests
from .session import check_options, request_options

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from fsspec import AbstractFileSystem

    from ..._core.byte_requests import ByteRequest
    from ..._core.failures import Failure
    from ..._http.settings import Settings
    from ..pages import Page

__all__ = ["HTTPBackend"]


class HTTPBackend(Backend):
    """Files of web servers, by URLs such as ``https://host/data/key``."""

    has_secret_paths = True
    supports_writes = False
    supports_deletes = False
    supports_atomic_create = False
    supports_replace = False

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        super().__init__(fs, settings)
        check_options(fs)
        self._options = request_options(fs)
        # By `check_root`.
        self._requests: Requests
        self._reader: Reader
        self._indexes: Indexes

    @property
    def supports_listing(self) -> bool:  # type: ignore[override]
        return self._indexes.are_given

    def check_root(self, root: str) -> str | None:
        """As the base's; from here on the backend is one of stores at this root.

        Where the root ends and keys begin cannot be told from a path: either may hold ``?``.
        """
        try:
            url = URL(root, encoded=self.fs.encoded)
            place, query = str(url.with_query(None).with_fragment(None)), url.raw_query_string
            port = url.port
        except ValueError:
            return "this is no URL"
        if not url.host or url.scheme not in ("http", "https"):
            return "this URL names no web server"
        if url.raw_fragment or "#" in root:
            return "a URL on a web server has no #; in a name it is written %23"
        if url.raw_user is not None and "Authorization" in self._options["headers"]:
            return "the URL has a user name, and the options say who asks as well"
        here = Place(root, place.rstrip("/"), query and "?" + query)
        service = f"{url.scheme}://{url.host}:{port}"
        options = dict(self._options)
        redirects = Redirects(
            url,
            trusted_origins(url, self.fs.storage_options.get(TRUSTED_HOSTS, ())),
            options.pop("headers"),
            options,
        )
        self._requests = Requests(self.fs, service, here, redirects, self.settings)
        self._reader = Reader(self._requests, self.settings.reads)
        self._indexes = Indexes(self._requests)
        return None

    async def discover(self, directory: str) -> None:
        # One attempt's time: opening a store waits no longer for what it can do without.
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.policy.timeout):
                await self._indexes.discover(directory)

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        return await self._reader.read(path, request)

    async def size(self, path: str) -> int | None:
        return await self._reader.size(path)

    async def write(self, path: str, data: memoryview) -> None:
        raise NotImplementedError("web servers are only read")

    async def remove(self, path: str) -> None:
        raise NotImplementedError("web servers are only read")

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        raise NotImplementedError("web servers are only read")

    def pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        return self._indexes.pages(directory, name_prefix, recursive=recursive)

    def failure(self, error: Exception) -> Failure:
        return http_failure(error)

    def close(self) -> None:
        self._requests.close()

    async def aclose(self) -> None:
        await self._requests.aclose()
