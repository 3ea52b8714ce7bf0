"""The client of Google Cloud Storage: URLs, credentials, retries.

Adds the billed project to each URL. Does not know what requests are for.
"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlsplit

from ..._http.aiohttp_transport import AiohttpTransport
from ..._http.client import HTTPClient
from ..._http.native_transport import NativeTransport
from ..._http.responses import StatusError
from ..._runtime.loops import frozen
from ..._version import __version__
from .responses import check_is_google, retry_decision, with_message
from .session import (
    Authorization,
    billed_project,
    check_options,
    endpoint,
    session_maker,
    supports_native,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from fsspec import AbstractFileSystem

    from ..._http.messages import Response
    from ..._http.retrier import Budget, Slot
    from ..._http.settings import Settings
    from .bodies import Body

__all__ = ["USER_AGENT", "Client"]

T = TypeVar("T")

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
USER_AGENT = f"fsspec-store/{__version__}"


class Client:
    """Sends requests with the configuration of one filesystem.

    Parameters
    ----------
    fs : GCSFileSystem
        As the user configured it.
    settings : Settings
        The store's options for requests.

    Raises
    ------
    StorageOptionError
        When the filesystem has an option that has no effect or is invalid.
    """

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        check_options(fs)
        self.endpoint = endpoint(fs)
        project = billed_project(fs)
        self._billing = {} if project is None else {"userProject": project}
        self.authorization = Authorization(fs, settings.policy.timeout)
        parts = urlsplit(self.endpoint)
        service = f"{parts.scheme}://{parts.netloc}"
        share = ("gcs", frozen(fs.storage_options), self.endpoint)
        native = None
        if settings.is_native and supports_native(fs):
            native = NativeTransport(service, settings.policy)
        transport = AiohttpTransport(session_maker(fs), share, settings.policy)
        self.http = HTTPClient(service, settings, transport, native, retry_decision)

    def url(
        self,
        bucket: str,
        name: str | None = None,
        *,
        host: str | None = None,
        api: str = "/storage/v1",
        items: str = "/o",
        **params: str,
    ) -> str:
        """The URL of a bucket's objects, or of the object of a name."""
        url = f"{self.endpoint if host is None else host}{api}/b/{quote(bucket, safe='')}{items}"
        if name is not None:
            url += "/" + quote(name, safe="")
        query = "&".join(
            [f"{name}={quote(value, safe='')}" for name, value in (params | self._billing).items()]
        )
        return f"{url}?{query}" if query else url

    async def request(
        self,
        method: str,
        url: str,
        *,
        expect: Collection[int],
        headers: Mapping[str, str] = _NO_HEADERS,
        data: Body | None = None,
        decode: bool = False,
        budget: Budget | None = None,
    ) -> Response[bytes]:
        """As `request_once`, with retries."""
        return await self.retry(
            partial(
                self.request_once,
                method,
                url,
                expect=expect,
                headers=headers,
                data=data,
                decode=decode,
            ),
            budget=budget,
        )

    async def retry(
        self,
        attempt: Callable[[], Awaitable[T]],
        slot: Slot | None = None,
        budget: Budget | None = None,
    ) -> T:
        """Await ``attempt()``, with retries; see `HTTPClient.send`."""
        authorization = self.authorization
        authorization.begin_operation()
        refresh = None
        if authorization.can_refresh:
            refresh = partial(authorization.refresh, authorization.token)
        return await self.http.send(attempt, slot=slot, refresh=refresh, budget=budget)

    async def request_once(
        self,
        method: str,
        url: str,
        *,
        expect: Collection[int],
        headers: Mapping[str, str] = _NO_HEADERS,
        data: Body | None = None,
        decode: bool = False,
    ) -> Response[bytes]:
        """Sign and send a request once. An error response has the service's message as its body.

        The parameters are those of `fsspec_store._http.messages.Request`.
        """
        send = partial(self.http.once, method, expect=expect, data=data, decode=decode)
        response = await self.sign_and_send(url, headers, send)
        check_is_google(response.status, response.headers, response.body)
        return with_message(response) if response.status >= 400 else response

    async def sign_and_send(
        self,
        url: str,
        headers: Mapping[str, str],
        send: Callable[[str, Mapping[str, str]], Awaitable[T]],
    ) -> T:
        """Await ``send(url, headers)`` once, with credentials and the common headers."""
        all_headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        await self.authorization.sign(all_headers)
        try:
            return await send(url, all_headers)
        except ValueError:
            self.authorization.check_headers(all_headers)
            raise
        except StatusError as error:
            response = error.response
            check_is_google(response.status, response.headers, response.body)
            raise StatusError(with_message(response)) from None

    def close(self) -> None:
        """Close the connections; later requests open new ones."""
        self.http.close()

    async def aclose(self) -> None:
        """As `close`, awaiting the connections of the running loop."""
        await self.http.aclose()
