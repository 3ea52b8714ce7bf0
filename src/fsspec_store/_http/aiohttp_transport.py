"""The aiohttp transport: sends requests with aiohttp sessions, one for each event loop.

Does not know any service: the session, the proxy and the handling of redirects are arguments.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

import aiohttp
from yarl import URL

from .._core.redaction import public_text
from .._runtime.loops import Shared
from .aiohttp_bodies import AiohttpStream, PacedStream, Watchdog, read_body, read_up_to
from .aiohttp_sessions import Sessions
from .content_range import content_length
from .messages import MAX_ERROR_BYTES, BodyTooLongError, LargeBody, Request, Response, ResponseBody
from .responses import retry_decision_of_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from .retry_policy import RetryPolicy

__all__ = ["AiohttpTransport", "Follow"]

T = TypeVar("T")

#: Sends a request with a session and these timeouts, and returns its response with an unread body.
Follow: TypeAlias = (
    "Callable[[aiohttp.ClientSession, Request, aiohttp.ClientTimeout], "
    "Awaitable[aiohttp.ClientResponse]]"
)

#: Maximum number of characters of an aiohttp error that are quoted.
_MAX_QUOTED = 1000


class AiohttpTransport:
    """Sends requests to any server.

    Parameters
    ----------
    make_session : callable
        Returns a new session for the running loop. Must not hold a reference to this object.
    share : hashable
        Key of shared sessions: equal for transports whose ``make_session`` returns equal sessions.
    proxy : str, optional
        URL of the proxy of all requests; by default that of the session.
    follow : callable, optional
        A `Follow` that follows redirects; by default they are returned.
    """

    def __init__(
        self,
        make_session: Callable[[], aiohttp.ClientSession],
        share: Hashable,
        policy: RetryPolicy,
        *,
        proxy: str | None = None,
        follow: Follow | None = None,
    ) -> None:
        self._policy = policy
        self._proxy = proxy
        self._follow = follow
        self._sessions: Shared[aiohttp.ClientSession] = Shared(
            share, lambda: Sessions(make_session)
        )
        # aiohttp bounds the time between two reads, `Watchdog` the rest.
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=policy.connect_timeout, sock_read=policy.timeout
        )

    async def send(self, request: Request) -> Response[ResponseBody]:
        """Send a request, and read the body of the response unless that is large.

        Raises
        ------
        aiohttp.ClientError, TimeoutError, OSError
            When the connection or the transfer failed.
        """
        return await self.receive(request, partial(_read, request))

    async def receive(
        self, request: Request, read: Callable[[aiohttp.ClientResponse], Awaitable[T]]
    ) -> Response[T]:
        """Send a request, and read the response with a function.

        Parameters
        ----------
        request : Request
            The request. Its fields for the body of the response are for ``read`` to apply.
        read : callable
            Reads the body. If it returns a `LargeBody`, the response stays open.
        """
        session = self._sessions.get()
        size = 0 if request.body is None else request.body.size or 0
        try:
            async with Watchdog(self._policy, session, size) as watchdog:
                send = self._follow or self._request
                response = await send(session, request, self._timeout)
                is_left_open = False
                try:
                    watchdog.body_follows(response)
                    body = await read(response)
                    if isinstance(body, LargeBody):
                        is_left_open = True
                        stream = PacedStream(body.stream, response, self._policy)
                        body = cast("T", LargeBody(stream, body.size))
                    return Response(response.status, response.headers, body)
                finally:
                    if not is_left_open:
                        # Closes the connection if the body was not read to its end.
                        response.release()
                        await response.wait_for_close()
        except aiohttp.ClientError as error:
            clean = _without_secrets(error)
            if clean is None:
                raise
            raise clean from None
        except AssertionError:
            # aiohttp asserts that a session is open, after it has read netrc.
            if session.closed:
                raise RuntimeError(
                    "the store was closed while this request was under way"
                ) from None
            raise

    def close(self) -> None:
        """Close all sessions. Later requests open new ones."""
        self._sessions.close()

    async def aclose(self) -> None:
        """Close all sessions, and wait until those of the running loop are closed."""
        await self._sessions.aclose()

    async def _request(
        self, session: aiohttp.ClientSession, request: Request, timeouts: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        return await session.request(
            request.method,
            URL(request.url, encoded=True),
            headers=request.headers,
            data=request.body,
            # aiohttp would send credentials to any host that a redirect names.
            allow_redirects=False,
            auto_decompress=request.decode,
            proxy=self._proxy,
            raise_for_status=False,
            timeout=timeouts,
        )


async def _read(request: Request, response: aiohttp.ClientResponse) -> ResponseBody:
    status = response.status
    # The stated length is of no body, or of the encoded one.
    is_sized = request.method != "HEAD" and not request.decode
    size = content_length(response.headers) if is_sized else None
    if size is not None and size > request.unread_above and status in (200, 206):
        return LargeBody(AiohttpStream(response), size)
    if status >= 300 or status not in request.expect:
        try:
            return await read_up_to(response, MAX_ERROR_BYTES)
        except BodyTooLongError:
            if status in request.expect:
                raise
            return b""
    sink = request.into
    if sink is not None and status == 206 and size == sink.nbytes:
        await AiohttpStream(response).read_into(sink)
        return sink
    if size is not None:
        request.reserve(size)
    return await read_body(response, size, request.max_bytes(status))


def _without_secrets(error: aiohttp.ClientError) -> Exception | None:
    """A shorter or redacted error; ``None`` if the message is short and without secrets."""
    text = str(error)
    # aiohttp quotes malformed responses in full.
    public = public_text(text[:_MAX_QUOTED])
    if public == text:
        return None
    message = f"{type(error).__name__}: {public}"
    if retry_decision_of_error(error) is None:
        return OSError(message)
    return aiohttp.ClientConnectionError(message)
