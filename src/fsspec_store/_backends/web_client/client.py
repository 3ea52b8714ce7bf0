"""The HTTP client for web servers: paths to URLs, the user's options, and error responses."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import quote

from ..._core.failures import ChangedWhileReadError
from ..._http.aiohttp_transport import AiohttpTransport
from ..._http.client import HTTPClient
from ..._http.hedging import HEAD
from ..._http.messages import Request, Response
from ..._http.origins import TRUSTED_HOSTS, origin_of
from ..._http.responses import StatusError, retry_decision_of_error
from ..._runtime.loops import frozen
from .bodies import Body
from .redirects import DirectoryRedirectError
from .session import make_session, users_client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    import aiohttp
    from fsspec import AbstractFileSystem

    from ..._core.byte_requests import RangeByteRequest
    from ..._http.hedging import Read
    from ..._http.payloads import Body as Payload
    from ..._http.retrier import Budget, Slot
    from ..._http.retry_policy import RetryDecision
    from ..._http.settings import Settings
    from .redirects import Redirects

__all__ = ["Location", "WebClient"]

T = TypeVar("T")

_MISSING = (404, 410)
_ACCESS_DENIED = (401, 403, 407)
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Location(NamedTuple):
    """The root of a store: its path in the filesystem, its URL and the query of the URL."""

    root: str
    url: str
    query: str

    def url_of(self, path: str) -> str:
        """The quoted URL of a path below the root."""
        names = path[len(self.root) :].removeprefix("/").split("/")
        return "/".join([self.url, *(quote(name, safe="") for name in names)]) + self.query


class _MissingError(Exception):
    """There is no object at this path."""


class WebClient:
    """Sends requests with the user's options; for ``service`` and ``classify`` see `HTTPClient`."""

    def __init__(
        self,
        fs: AbstractFileSystem,
        service: str,
        location: Location,
        redirects: Redirects,
        settings: Settings,
        classify: Callable[[Exception], RetryDecision | None] = retry_decision_of_error,
    ) -> None:
        self.location = location
        self._redirects = redirects
        transport = AiohttpTransport(
            partial(make_session, fs),
            ("http", frozen(fs.client_kwargs), frozen(users_client(fs))),
            settings.policy,
            follow=redirects.request,
        )
        self._client = HTTPClient(service, settings, transport, classify=classify)

    async def send(
        self,
        method: str,
        path: str,
        *,
        accept: Collection[int],
        receive: Callable[[Body], Awaitable[T]],
        headers: Mapping[str, str] = _NO_HEADERS,
        data: Payload | None = None,
        slot: Slot | None = None,
    ) -> Response[T] | None:
        """Like `once`, with retries."""
        attempt = partial(
            self.once, method, path, accept=accept, receive=receive, headers=headers, data=data
        )
        return await self.retry(attempt, slot=slot, read=HEAD if method == "HEAD" else None)

    async def retry(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        slot: Slot | None = None,
        budget: Budget | None = None,
        read: Read | None = None,
    ) -> T:
        """Await ``attempt()``, with retries; see `HTTPClient.send`."""
        return await self._client.send(attempt, slot=slot, budget=budget, read=read)

    async def once(
        self,
        method: str,
        path: str,
        *,
        accept: Collection[int],
        receive: Callable[[Body], Awaitable[T]],
        headers: Mapping[str, str] = _NO_HEADERS,
        data: Payload | None = None,
    ) -> Response[T] | None:
        """Send a request; ``None`` if there is no object, `StatusError` for other statuses."""

        async def checked(response: aiohttp.ClientResponse) -> T:
            body = Body(response)
            if response.status in accept:
                return await receive(body)
            await body.drain()
            if response.status in _MISSING:
                raise _MissingError
            raise StatusError(Response(response.status, response.headers, self._reason(response)))

        request = Request(method, self.location.url_of(path), _identity(headers), accept, data)
        try:
            return await self._client.receive(request, checked)
        except (_MissingError, DirectoryRedirectError):
            return None

    async def fetch_part(
        self,
        path: str,
        part: RangeByteRequest,
        sink: memoryview,
        *,
        headers: Mapping[str, str],
        is_same: Callable[[Mapping[str, str]], bool],
        slot: Slot,
    ) -> None:
        """Fetch part of an object; see `HTTPClient.fetch_part`."""
        url = self.location.url_of(path)

        async def attempt() -> None:
            try:
                await self._client.fetch_part(
                    url, _identity(headers), part=part, sink=sink, is_same=is_same
                )
            except DirectoryRedirectError:
                raise ChangedWhileReadError from None

        await self._client.send(attempt, slot=slot)

    def slot(self) -> Slot:
        """See `HTTPClient.slot`."""
        return self._client.slot()

    def close(self) -> None:
        """See `HTTPClient.close`."""
        self._client.close()

    async def aclose(self) -> None:
        """See `HTTPClient.aclose`."""
        await self._client.aclose()

    def _reason(self, response: aiohttp.ClientResponse) -> bytes:
        """Why a request failed, without the body: error pages may repeat signatures."""
        reason = response.reason or ""
        if response.status in _ACCESS_DENIED and not self._redirects.is_trusted(response.url):
            reason += (
                f"; the server redirected to {origin_of(response.url)}, which receives no headers, "
                f"cookies or credentials of the storage options unless {TRUSTED_HOSTS} names it"
            )
        return reason.encode()


def _identity(headers: Mapping[str, str]) -> dict[str, str]:
    # A compressed body has neither the object's ranges nor its length.
    return {**headers, "Accept-Encoding": "identity"}
