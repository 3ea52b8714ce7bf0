"""The client of one storage account: URLs, signatures, retries."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote

import aiohttp

from ..._http.aiohttp_transport import AiohttpTransport
from ..._http.client import HTTPClient
from ..._http.messages import Response
from ..._http.native_transport import NativeTransport
from ..._http.responses import StatusError, redacted_response
from ..._version import __version__
from .account import account_of
from .responses import AzureError, error_code, retry_decision

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from fsspec import AbstractFileSystem

    from ..._http.hedging import Read
    from ..._http.payloads import Body
    from ..._http.retrier import Budget, Slot
    from ..._http.settings import Settings

__all__ = ["Client", "quoted"]

T = TypeVar("T")

#: Headers of every request. Stored compressed blobs must not be decompressed.
_COMMON_HEADERS = {"Accept-Encoding": "identity", "User-Agent": f"fsspec-store/{__version__}"}
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Client:
    """Sends requests with the configuration of one filesystem."""

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        self.account = account_of(fs)
        service = self.account.service
        native, threads = None, settings.native_threads
        if threads is not None and self.account.proxy is None and service.isascii():
            native = NativeTransport(service, settings.policy, threads)
        transport = AiohttpTransport(
            _new_session, "azure", settings.policy, proxy=self.account.proxy
        )
        self.http = HTTPClient(service, settings, transport, native, retry_decision)

    async def request(
        self,
        method: str,
        path: str,
        query: str = "",
        *,
        expect: Collection[int],
        headers: Mapping[str, str] = _NO_HEADERS,
        data: Body | None = None,
        budget: Budget | None = None,
        read: Read | None = None,
    ) -> Response[bytes]:
        """Like `HTTPClient.once`, signed, with retries; raise `AzureError` for an error response.

        The path begins with the container and is not quoted. The query is quoted, without ``?``.
        """
        send = partial(self.http.once, method, expect=expect, data=data)
        return await self.sign_and_retry(
            method, path, query, headers, send, budget=budget, read=read
        )

    async def sign_and_retry(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        send: Callable[[str, Mapping[str, str]], Awaitable[T]],
        slot: Slot | None = None,
        budget: Budget | None = None,
        read: Read | None = None,
    ) -> T:
        """Await ``send(url, headers)``, signed, with retries; see `HTTPClient.send`."""
        account, credential = self.account, self.account.credential
        token: object = None

        async def attempt() -> T:
            nonlocal token
            version = account.version
            # Each attempt is signed: a signature is valid for 15 minutes, and the user may replace
            # a shared access signature between attempts.
            url_path, url = self.address(path, query)
            all_headers = {**headers, **_COMMON_HEADERS, "x-ms-version": version}
            all_headers = await account.headers(method, url_path, query, all_headers)
            token = credential.token
            try:
                response = await send(url, all_headers)
            except StatusError as error:
                if not account.use_older_version(version, error.response):
                    raise
                response = await attempt()
            if isinstance(response, Response) and response.status >= 400:
                # The caller expects this status, and may raise an error with this response.
                return cast("T", _redacted(method, response, url, all_headers))
            return response

        async def refresh() -> None:
            await credential.refresh(token)

        try:
            return await self.http.send(
                attempt,
                slot=slot,
                refresh=refresh if credential.can_refresh else None,
                budget=budget,
                read=read,
            )
        except StatusError as error:
            translated = AzureError(error.response)
            for note in getattr(error, "__notes__", ()):
                translated.add_note(note)
        # Not chained: the text of the other exception is the whole response.
        raise translated

    def address(self, path: str, query: str) -> tuple[str, str]:
        """The path for the signature, and the URL."""
        url_path = f"{self.account.base}/{quoted(path)}"
        return url_path, self.account.url(url_path, query)


def quoted(path: str) -> str:
    """A path, or a value of a query, quoted for a URL."""
    return quote(path, safe="/~")


def _redacted(
    method: str, response: Response[Any], url: str, sent: Mapping[str, str]
) -> Response[Any]:
    """An error response without the credentials of the request."""
    whole = Response(response.status, response.headers, bytes(response.body))
    if method != "PUT" and error_code(whole) == "BlobNotFound":
        # The usual response for a missing key; no error message repeats it.
        return response
    return redacted_response(whole, url, sent)


def _new_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # The limiter of the service bounds the connections.
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Content-Type",),
    )
