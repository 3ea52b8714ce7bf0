"""Requests to Cloud Storage, by one user's settings: sent once, or until they succeed.

Knows the JSON API's addresses and who pays, and nothing of what requests are for.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from ..._version import __version__
from ...sharing import frozen
from ..http_answers import StatusError
from ..http_client import HTTPClient
from ..plain_client import PlainClient
from .answers import check_is_googles, in_words, verdict
from .session import (
    Authorization,
    billed_project,
    check_options,
    endpoint,
    is_plain,
    session_maker,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from fsspec import AbstractFileSystem

    from ...retries import RetryPolicy
    from ...sending import Slot, Stats
    from ..http_answers import Answer

__all__ = ["USER_AGENT", "Calls"]

T = TypeVar("T")

USER_AGENT = f"fsspec-store/{__version__}"
#: Said with each request, since the user's ``session_kwargs`` may say otherwise.
_OPTIONS = {"allow_redirects": False, "auto_decompress": False, "raise_for_status": False}


class Calls:
    """Requests by one user's settings.

    Parameters
    ----------
    fs : GCSFileSystem
        As the user configured it.
    policy : RetryPolicy
        Timeouts and retries.
    stats : Stats
        Counts.

    Raises
    ------
    StorageOptionError
        When the filesystem was given an option it cannot use.
    """

    def __init__(self, fs: AbstractFileSystem, policy: RetryPolicy, stats: Stats) -> None:
        check_options(fs)
        self.endpoint = endpoint(fs)
        project = billed_project(fs)
        self._billing = {} if project is None else {"userProject": project}
        self.authorization = Authorization(fs, policy.timeout)
        parts = urlsplit(self.endpoint)
        service = f"{parts.scheme}://{parts.netloc}"
        share = ("gcs", frozen(fs.storage_options), self.endpoint)
        plain = PlainClient(service, policy) if is_plain(fs) else None
        self.client = HTTPClient(service, session_maker(fs), share, policy, stats, verdict, plain)

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
        """Where a request for a bucket, or for an object of a name, goes."""
        place = f"{self.endpoint if host is None else host}{api}/b/{quote(bucket, safe='')}{items}"
        if name is not None:
            place += "/" + quote(name, safe="")
        query = "&".join(
            [f"{name}={quote(value, safe='')}" for name, value in (params | self._billing).items()]
        )
        return f"{place}?{query}" if query else place

    async def call(self, method: str, url: str, **options: Any) -> Answer:
        """As `once`, until it succeeds or fails for good."""
        return await self.send(lambda: self.once(method, url, **options))

    async def send(self, attempt: Callable[[], Awaitable[T]], slot: Slot | None = None) -> T:
        """Await ``attempt()`` until it succeeds or fails for good; ``slot`` as of `HTTPClient`."""
        authorization = self.authorization
        authorization.begin()
        renew = None
        if authorization.may_renew:
            renew = partial(authorization.renew, authorization.token)
        return await self.client.send(attempt, slot=slot, renew=renew)

    async def once(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        """Send one request one time, signed; a refusal is told in the service's own words."""
        answer = await self.signed(
            partial(self.client.once, method, url), headers=headers or {}, **options
        )
        check_is_googles(answer.status, answer.headers, answer.body)
        return in_words(answer) if answer.status >= 400 else answer

    async def signed(
        self, send: Callable[..., Awaitable[T]], *, headers: Mapping[str, str], **options: Any
    ) -> T:
        """Await ``send(headers=..., ...)``, with the headers of every request."""
        sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        await self.authorization.sign(sent)
        try:
            return await send(headers=sent, **{**_OPTIONS, **options})
        except ValueError:
            self.authorization.check(sent)
            raise
        except StatusError as error:
            answer = error.answer
            check_is_googles(answer.status, answer.headers, answer.body)
            raise StatusError(in_words(answer)) from None

    def close(self) -> None:
        """Close the connections; new ones are made when requests follow."""
        self.client.close()

    async def aclose(self) -> None:
        """As `close`, awaiting the running loop's."""
        await self.client.aclose()
