"""The client of Google Cloud Storage: URLs, credentials, retries, the billed project."""

from __future__ import annotations

import time
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Required, TypedDict, TypeVar, Unpack
from urllib.parse import quote

from ..._http.aiohttp_transport import AiohttpTransport
from ..._http.client import HTTPClient
from ..._http.native_transport import NativeTransport
from ..._http.responses import StatusError
from ..._runtime.loops import frozen
from ..._version import __version__
from .credentials import Credentials, check_headers
from .responses import checked, retry_decision
from .session import billed_project, check_options, endpoint, session_maker, supports_native

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from fsspec import AbstractFileSystem

    from ..._http.hedging import Read
    from ..._http.messages import Response
    from ..._http.payloads import Body
    from ..._http.retrier import Budget, Slot
    from ..._http.settings import Settings

__all__ = ["USER_AGENT", "Client"]

T = TypeVar("T")

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
USER_AGENT = f"fsspec-store/{__version__}"


class _Options(TypedDict, total=False):
    """Options of `HTTPClient.once`."""

    expect: Required[Collection[int]]
    data: Body | None
    decode: bool


class Client:
    """Sends requests with the configuration of one filesystem."""

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        check_options(fs)
        self.endpoint = endpoint(fs)
        project = billed_project(fs)
        self._billing = {} if project is None else {"userProject": project}
        self.credentials = Credentials(fs, settings.policy.timeout)
        #: Scheme and host, the scope of the limiter.
        self.service = "/".join(self.endpoint.split("/", 3)[:3])
        share = ("gcs", frozen(fs.storage_options), self.endpoint)
        native, threads = None, settings.native_threads
        if threads is not None and supports_native(fs):
            native = NativeTransport(self.service, settings.policy, threads)
        transport = AiohttpTransport(session_maker(fs), share, settings.policy)
        self.http = HTTPClient(self.service, settings, transport, native, retry_decision)

    def url(
        self,
        bucket: str,
        name: str | None = None,
        *,
        api: str = "/storage/v1",
        items: str = "/o",
        **params: str,
    ) -> str:
        """The URL of a bucket's objects, or of the object with this name."""
        url = f"{self.endpoint}{api}/b/{quote(bucket, safe='')}{items}"
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
        headers: Mapping[str, str] = _NO_HEADERS,
        budget: Budget | None = None,
        read: Read | None = None,
        **options: Unpack[_Options],
    ) -> Response[bytes]:
        """Like `once`, signed, with retries."""
        send = partial(self.once, method, **options)
        return await self.sign_and_retry(url, headers, send, budget=budget, read=read)

    async def once(
        self, method: str, url: str, headers: Mapping[str, str], **options: Unpack[_Options]
    ) -> Response[bytes]:
        """Like `HTTPClient.once`; the body of an error response is the service's message."""
        return checked(await self.http.once(method, url, headers, **options))

    async def sign_and_retry(
        self,
        url: str,
        headers: Mapping[str, str],
        send: Callable[[str, Mapping[str, str]], Awaitable[T]],
        slot: Slot | None = None,
        budget: Budget | None = None,
        read: Read | None = None,
    ) -> T:
        """Await ``send(url, headers)``, signed, with retries; see `HTTPClient.send`."""
        credentials, began = self.credentials, time.monotonic()
        token: object = None

        async def attempt() -> T:
            nonlocal token
            all_headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
            await credentials.sign(all_headers, began)
            token = credentials.token
            try:
                return await send(url, all_headers)
            except ValueError:
                check_headers(all_headers)
                raise
            except StatusError as error:
                raise StatusError(checked(error.response)) from None

        async def refresh() -> None:
            await credentials.refresh(token, began)

        return await self.http.send(
            attempt,
            slot=slot,
            refresh=refresh if credentials.can_refresh else None,
            budget=budget,
            read=read,
        )
