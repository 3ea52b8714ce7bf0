"""Requests over HTTP, for the backends that speak a service's protocol themselves.

A request is sent on the running loop's own session, within the process's limit for the service,
again when it failed in passing, and returns a whole answer: a body that breaks off is a failure.
Knows aiohttp, and no service.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from ..redaction import public_text
from ..retries import TRANSIENT, Verdict, status_verdict
from ..sending import Sender
from ..sharing import Shared
from .base import Failure, builtin_failure
from .sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping

    from ..retries import RetryPolicy
    from ..sending import Stats

__all__ = ["Answer", "HTTPClient", "StatusError", "http_failure", "http_verdict"]

T = TypeVar("T")

#: How much of an error's body a message quotes.
_QUOTED = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: status, headers (looked up in any case), body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class StatusError(Exception):
    """A service answered with a status that is no answer to the request.

    Parameters
    ----------
    answer : Answer
        What it answered.
    """

    def __init__(self, answer: Answer) -> None:
        text = answer.body[:_QUOTED].decode("utf-8", "replace").strip()
        super().__init__(f"status {answer.status}" + (f": {text}" if text else ""))
        self.answer = answer

    def __reduce__(self) -> tuple[Any, ...]:
        # What aiohttp hands out of headers is a view, which does not travel.
        headers = CIMultiDict(self.answer.headers)
        return type(self), (Answer(self.answer.status, headers, self.answer.body),)


class HTTPClient:
    """Sends requests to one service.

    Parameters
    ----------
    service : str
        Scheme, host and port, whose limit all stores of the process share.
    make_session : callable
        Returns a new session for the running loop; must not hold this object.
    share : hashable
        Equal for clients whose ``make_session`` makes equal sessions: they share them.
    policy : RetryPolicy
        Timeouts and retries.
    stats : Stats
        Counts.
    judge : callable, optional
        Says of an exception why its request may be repeated; `http_verdict` when left out.
    """

    def __init__(
        self,
        service: str,
        make_session: Callable[[], aiohttp.ClientSession],
        share: Hashable,
        policy: RetryPolicy,
        stats: Stats,
        judge: Callable[[Exception], Verdict | None] | None = None,
    ) -> None:
        self._sessions: Shared[aiohttp.ClientSession] = Shared(
            share, lambda: Sessions(make_session)
        )
        self._policy = policy
        self._sender = Sender(service, policy, judge or http_verdict, stats)
        # Of a whole answer nothing is bounded: a large object takes its time. A pause is.
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=policy.connect_timeout, sock_read=policy.timeout
        )

    async def request(self, method: str, url: str, **options: Any) -> Answer:
        """Send a request until it is answered, or fails for good; parameters as of `once`."""
        return await self.send(lambda: self.once(method, url, **options))

    async def send(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        renew: Callable[[], Awaitable[object]] | None = None,
    ) -> T:
        """Await ``attempt()``, which sends by `once`, until it succeeds or fails for good.

        See `fsspec_store.sending.Sender.send`.
        """
        return await self._sender.send(attempt, renew=renew)

    async def once(
        self,
        method: str,
        url: str,
        *,
        expect: Collection[int],
        headers: Mapping[str, str] | None = None,
        read: Callable[[aiohttp.ClientResponse], Awaitable[bytes]] = aiohttp.ClientResponse.read,
        **options: Any,
    ) -> Answer:
        """Send a request a single time, for an attempt of `send`.

        Parameters
        ----------
        method, url : str
            The URL is sent as it is: already quoted.
        expect : collection of int
            Statuses that are answers. Any other raises `StatusError`.
        headers : mapping, optional
            Sent with it.
        read : callable, optional
            Reads the body of an expected answer.
        **options
            Further arguments of ``aiohttp.ClientSession.request``.

        Raises
        ------
        StatusError
            When the status is none of ``expect``.
        aiohttp.ClientError, TimeoutError, OSError
            When it failed on the way.
        """
        # Its own timeouts begin when the body is sent.
        size = getattr(options.get("data"), "size", None)
        longest = None if size is None else self._policy.upload_timeout(size)
        try:
            async with (
                asyncio.timeout(longest),
                self._sessions.get().request(
                    method,
                    URL(url, encoded=True),
                    headers=headers,
                    timeout=self._timeout,
                    **options,
                ) as response,
            ):
                if response.status in expect:
                    return Answer(response.status, response.headers, await read(response))
                raise StatusError(
                    Answer(response.status, response.headers, await response.content.read(4096))
                )
        except aiohttp.ClientError as error:
            clean = _without_secrets(error)
            if clean is None:
                raise
            raise clean from None

    def close(self) -> None:
        """Close the sessions; new ones are made when requests follow."""
        self._sessions.close()

    async def aclose(self) -> None:
        """As `close`, awaiting the running loop's."""
        await self._sessions.aclose()


def _without_secrets(error: aiohttp.ClientError) -> Exception | None:
    """The error in other words, where its message has a URL with a secret."""
    text = str(error)
    public = public_text(text)
    if public == text:
        return None
    told = f"{type(error).__name__}: {public}"
    return OSError(told) if http_verdict(error) is None else aiohttp.ClientConnectionError(told)


def http_verdict(error: Exception) -> Verdict | None:
    """Why a request that failed this way may be repeated, ``None`` where that is no use."""
    if isinstance(error, StatusError):
        return status_verdict(error.answer.status, error.answer.headers)
    if isinstance(error, (aiohttp.ClientSSLError, aiohttp.InvalidURL, aiohttp.TooManyRedirects)):
        return None
    if isinstance(error, (aiohttp.ClientError, TimeoutError, ConnectionError)):
        return TRANSIENT
    return None


def http_failure(error: Exception) -> Failure:
    """What an exception of `HTTPClient.request` means, for backends to fall back on."""
    if isinstance(error, StatusError):
        if error.answer.status == 401:
            return Failure.UNAUTHENTICATED
        if error.answer.status == 403:
            return Failure.FORBIDDEN
        return Failure.BACKEND
    if isinstance(error, aiohttp.ClientError):
        return Failure.BACKEND
    return builtin_failure(error)
