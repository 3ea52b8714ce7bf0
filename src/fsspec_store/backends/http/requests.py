"""Requests to a web server, below one root, with the user's headers and options.

Knows which answers say that there is nothing, and nothing of what requests are for.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

from ...sharing import frozen
from ..http_answers import Answer, Received, StatusError
from ..http_client import HTTPClient
from .bodies import drain
from .session import make_session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    import aiohttp
    from fsspec import AbstractFileSystem
    from multidict import CIMultiDict

    from ...byte_requests import RangeByteRequest
    from ...retries import RetryPolicy
    from ...sending import Stats

__all__ = ["Place", "Requests"]

T = TypeVar("T")

_MISSING = (404, 410)
_ANY_STATUS = range(100, 1000)
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Place(NamedTuple):
    """Where a store is: its root as the filesystem spells it, and what that is as a URL."""

    root: str
    url: str
    query: str

    def url_of(self, path: str) -> str:
        """The URL of a path below the root, quoted."""
        names = path[len(self.root) :].removeprefix("/").split("/")
        return "/".join([self.url, *(quote(name, safe="") for name in names)]) + self.query


class _MissingError(Exception):
    """There is nothing at this path, or the directory of its name."""


class Requests:
    """Requests by one user's settings.

    Parameters
    ----------
    fs : HTTPFileSystem
        As the user configured it.
    service : str
        Scheme, host and port.
    place : Place
        Where the store is.
    options : mapping
        Of each request, by `request_options`.
    policy : RetryPolicy
        Timeouts and retries.
    stats : Stats
        Counts.
    """

    def __init__(
        self,
        fs: AbstractFileSystem,
        service: str,
        place: Place,
        options: Mapping[str, Any],
        policy: RetryPolicy,
        stats: Stats,
    ) -> None:
        self.place = place
        self._options = dict(options)
        self._headers = self._options.pop("headers")
        self._client = HTTPClient(
            service,
            partial(make_session, fs),
            ("http", frozen(fs.client_kwargs), frozen(fs.get_client)),
            policy,
            stats,
        )

    async def send(
        self,
        method: str,
        path: str,
        *,
        accept: Collection[int],
        receive: Callable[[aiohttp.ClientResponse], Awaitable[T]],
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Received[T] | None:
        """Send a request; ``None`` when there is no object, `StatusError` for other statuses."""

        async def checked(response: aiohttp.ClientResponse) -> T:
            if _leads_to_directory(response):
                raise _MissingError
            if response.status in accept:
                return await receive(response)
            await drain(response)
            if response.status in _MISSING:
                raise _MissingError
            # The reason instead of the body: servers repeat signatures in their error pages.
            reason = (response.reason or "").encode()
            raise StatusError(Answer(response.status, response.headers, reason))

        url, sent = self.place.url_of(path), self._with_own(headers)

        async def attempt() -> Received[T] | None:
            try:
                return await self._client.receive(
                    method, url, expect=_ANY_STATUS, headers=sent, read=checked, **self._options
                )
            except _MissingError:
                return None

        return await self._client.send(attempt)

    async def fetch_part(
        self,
        path: str,
        part: RangeByteRequest,
        sink: memoryview,
        *,
        headers: Mapping[str, str],
        is_same: Callable[[Mapping[str, str]], bool],
    ) -> None:
        """Fetch part of an object; see `HTTPClient.fetch_part`."""
        await self._client.send(
            lambda: self._client.fetch_part(
                self.place.url_of(path),
                part,
                sink,
                headers=self._with_own(headers),
                is_same=is_same,
                **self._options,
            )
        )

    def close(self) -> None:
        """Close the connections; new ones are made when requests follow."""
        self._client.close()

    async def aclose(self) -> None:
        """As `close`, awaiting the running loop's."""
        await self._client.aclose()

    def _with_own(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The user's headers and these."""
        sent: CIMultiDict[str] = self._headers.copy()
        sent.update(headers)
        # Of a compressed body no range can be cut, and no length is the object's.
        sent["Accept-Encoding"] = "identity"
        return sent


def _leads_to_directory(response: aiohttp.ClientResponse) -> bool:
    """Whether the server redirected from a path to the same path with ``/`` at its end."""
    hops: list[Any] = [*response.history, response]
    return any(hop.url.path + "/" == then.url.path for hop, then in pairwise(hops))
