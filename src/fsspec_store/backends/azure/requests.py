"""Requests to one storage account: addressed, signed, and sent until they succeed.

Knows accounts and their credentials, and nothing of what requests are for.
"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote

import aiohttp
from azure.core.exceptions import ServiceRequestError, ServiceResponseError

from ..._version import __version__
from ...retries import EXPIRED, TRANSIENT
from ..http_answers import Answer, Received, StatusError, http_verdict, public_answer
from ..http_client import HTTPClient
from ..plain_client import PlainClient
from .account import account_of
from .answers import AzureError, error_code

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from fsspec import AbstractFileSystem

    from ...retries import RetryPolicy, Verdict
    from ...sending import Slot, Stats
    from .account import Credential
    from .uploads import Body

__all__ = ["Requests", "quoted"]

T = TypeVar("T")

#: Of every request. A blob that is kept compressed is to come as it is kept.
_OWN_HEADERS = {"Accept-Encoding": "identity", "User-Agent": f"fsspec-store/{__version__}"}
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Requests:
    """Requests by one user's settings.

    Parameters
    ----------
    fs : AzureBlobFileSystem
        As the user configured it.
    policy : RetryPolicy
        Timeouts and retries.
    stats : Stats
        Counts.
    """

    def __init__(self, fs: AbstractFileSystem, policy: RetryPolicy, stats: Stats) -> None:
        self.account = account_of(fs)
        judge = partial(_verdict, self.account.credential)
        service = self.account.service
        plain = None
        if self.account.proxy is None and service.isascii():
            plain = PlainClient(service, policy)
        self.http = HTTPClient(service, _new_session, "azure", policy, stats, judge, plain)

    async def send(
        self,
        method: str,
        path: str,
        query: str = "",
        *,
        expect: Collection[int],
        headers: Mapping[str, str] = _NO_HEADERS,
        data: Body | None = None,
    ) -> Answer:
        """Send a request until its status is one of these, or it fails for good.

        Parameters
        ----------
        method, path : str
            The path begins with the container.
        query : str, optional
            Quoted, without ``?``.
        expect : collection of int
            Statuses that are answers.
        headers : mapping, optional
            Sent with it.
        data : Body, optional
            Sent with it.

        Raises
        ------
        AzureError
            When the service refused.
        """
        send = partial(self.http.once, method, expect=expect, data=data)
        return await self.signed(method, path, query, headers, send)

    async def signed(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        send: Callable[..., Awaitable[T]],
        slot: Slot | None = None,
    ) -> T:
        """Await ``send(url=..., headers=..., ...)`` until it succeeds or fails for good.

        ``slot`` as of `HTTPClient`.
        """
        account = self.account
        used: object = None

        async def attempt() -> T:
            nonlocal used
            version = account.version
            # Signed for each attempt: a signature holds for a quarter of an hour, and a shared
            # access signature may be another one by now.
            url_path, url = self.address(path, query)
            sent = await account.headers(method, url_path, query, headers)
            sent.update(_OWN_HEADERS)
            used = account.credential.used()
            try:
                answer = await send(
                    url=url, headers=sent, allow_redirects=False, proxy=account.proxy
                )
            except StatusError as error:
                if not account.use_older_version(version, error.answer):
                    raise
                answer = await attempt()
            if isinstance(answer, Received) and answer.status >= 400:
                # The caller expects this status, and may raise it as an error.
                return cast("T", _public(method, answer, url, sent))
            return answer

        try:
            return await self.http.send(
                attempt, slot=slot, renew=lambda: account.credential.renew(used)
            )
        except StatusError as error:
            told = AzureError(error.answer)
            for note in getattr(error, "__notes__", ()):
                told.add_note(note)
        # Not chained to the other, whose text is the whole answer.
        raise told

    def address(self, path: str, query: str) -> tuple[str, str]:
        """The path as it is signed, and the URL."""
        url_path = f"{self.account.base}/{quoted(path)}"
        return url_path, self.account.url(url_path, query)

    def close(self) -> None:
        """Close the connections; new ones are made when requests follow."""
        self.http.close()

    async def aclose(self) -> None:
        """As `close`, awaiting the running loop's."""
        await self.http.aclose()


def quoted(path: str) -> str:
    """A path, or a value in a query, as it stands in a URL."""
    return quote(path, safe="/~")


def _public(method: str, answer: Received[Any], url: str, sent: Mapping[str, str]) -> Received[Any]:
    """An answer with an error status, without the request's credentials."""
    whole = Answer(answer.status, answer.headers, bytes(answer.body))
    if method != "PUT" and error_code(whole) == "BlobNotFound":
        # The usual answer to a request for a missing key, which no error repeats.
        return answer
    return public_answer(whole, url, sent)


def _verdict(credential: Credential, error: Exception) -> Verdict | None:
    """Why a request may be sent again."""
    if isinstance(error, StatusError):
        if error.answer.status == 401 and credential.renewable:
            return EXPIRED
        if error_code(error.answer) == "Md5Mismatch":
            return TRANSIENT
    elif isinstance(error, (ServiceRequestError, ServiceResponseError)):
        # On the way to a token.
        return TRANSIENT
    return http_verdict(error)


def _new_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # The process's limit for the service is the limit on connections.
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Content-Type",),
    )
