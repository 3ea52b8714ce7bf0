"""Requests over HTTP, for the backends that speak a service's protocol themselves.

A request is sent on the running loop's own session, within the process's limit for the service,
again when it failed in passing, and returns a whole answer: a body that breaks off is a failure.
Only a large body may be left to be read afterwards. Knows aiohttp, and no service.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from ..redaction import public_text
from ..sending import Sender
from ..sharing import Shared
from .byte_ranges import content_length, requested_part
from .http_answers import (
    Answer,
    LargeBody,
    Received,
    StatusError,
    TornError,
    http_verdict,
    public_answer,
)
from .large_reads import LARGE_BYTES
from .sessions import Sessions
from .streams import (
    BodyStream,
    PacedStream,
    Watchdog,
    read_body,
    read_part,
    read_up_to,
)
from .wire.connection import CONTROL_BYTES, REFUSAL_BYTES, BodyTooLongError, longest_control
from .wire.heads import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping

    from ..byte_requests import RangeByteRequest
    from ..retries import RetryPolicy, Verdict
    from ..sending import Slot, Stats
    from .large_reads import Stream
    from .plain_client import PlainClient
    from .wire.connection import Longest, Response

__all__ = ["HTTPClient", "RequestBody"]

T = TypeVar("T")

#: How much of an error of aiohttp is repeated.
_SHOWN = 1000
#: Expected for a part of an object: it may have changed since, or the server supports no parts.
_PART_STATUSES = frozenset({200, 206, 400, 404, 410, 412, 416, 501})


class RequestBody(Protocol):
    """What a request sends, as often as it takes; aiohttp takes it for a body as well."""

    @property
    def size(self) -> int | None:
        """How many bytes it has."""

    def in_one_piece(self) -> memoryview | None:
        """All of it, to be sent now; ``None`` where that would copy much."""


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
    plain : PlainClient, optional
        Sends what it can, for users who configured nothing of a session that it does not know.
    request : callable, optional
        Takes the place of ``ClientSession.request``, which follows no redirects here; called with
        the session and the arguments of that.
    """

    def __init__(
        self,
        service: str,
        make_session: Callable[[], aiohttp.ClientSession],
        share: Hashable,
        policy: RetryPolicy,
        stats: Stats,
        judge: Callable[[Exception], Verdict | None] | None = None,
        plain: PlainClient | None = None,
        request: Callable[..., Awaitable[aiohttp.ClientResponse]] | None = None,
    ) -> None:
        self._plain = plain
        self._request = request or _request
        self._is_plain = plain is not None
        self._sessions: Shared[aiohttp.ClientSession] = Shared(
            share, lambda: Sessions(make_session)
        )
        self._policy = policy
        self._sender = Sender(service, policy, judge or http_verdict, stats)
        # aiohttp bounds pauses, and this class the rest.
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=policy.connect_timeout, sock_read=policy.timeout
        )

    async def send(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        slot: Slot | None = None,
        renew: Callable[[], Awaitable[object]] | None = None,
    ) -> T:
        """Await ``attempt()``, which sends by `once`, until it succeeds or fails for good.

        See `fsspec_store.sending.Slot.send`; ``slot`` is one that `slot` returned, for attempts
        that leave a body to be read.
        """
        if slot is not None:
            return await slot.send(attempt, renew=renew)
        return await self._sender.send(attempt, renew=renew)

    def slot(self) -> Slot:
        """A slot for a request whose body is read after its attempt; to be entered."""
        return self._sender.slot()

    async def once(
        self,
        method: str,
        url: str,
        *,
        expect: Collection[int],
        headers: Mapping[str, str],
        data: RequestBody | None = None,
        **options: Any,
    ) -> Answer:
        """Send a request a single time, for an attempt of `send`; parameters as of `receive`."""
        # What is encoded on its way is aiohttp's.
        if self._is_plain and not options.get("auto_decompress"):
            body = None if data is None else data.in_one_piece()
            if data is None or body is not None:
                # Its own timeouts begin when the body is sent.
                longest = None if body is None else self._policy.transfer_timeout(body.nbytes)
                async with asyncio.timeout(longest):
                    response, stream = await self._ask(
                        method, url, headers, body, whole_up_to=CONTROL_BYTES
                    )
                if stream is not None:
                    stream.close()
                    raise OSError(
                        f"the service sent {response.length} bytes in answer to a {method} that "
                        f"asks for no value, and at most {CONTROL_BYTES} bytes are read"
                    )
                found = _expected(response, expect, url, headers)
                return Answer(response.status, found, bytes(response.body or b""))
        received = await self.receive(
            method,
            url,
            expect=expect,
            headers=headers,
            read=_control,
            data=data,
            **options,
        )
        return Answer(received.status, received.headers, received.body)

    async def fetch(
        self,
        url: str,
        *,
        expect: Collection[int],
        headers: Mapping[str, str],
        longest: Longest = longest_control,
        **options: Any,
    ) -> Received[bytes | memoryview | LargeBody]:
        """Send a GET a single time, whose answer may be large.

        Parameters
        ----------
        longest : callable, optional
            Returns, for the status of a success, the maximum size of a body of unknown length.
        url, expect, headers, **options
            As of `receive`.

        Returns
        -------
        Received
            With a `LargeBody`, to be closed, where the body of a status of 200 or 206 is of more
            than `LARGE_BYTES`; with the bytes as they were sent otherwise.
        """
        if self._is_plain:
            response, stream = await self._ask(
                "GET", url, headers, whole_up_to=LARGE_BYTES, longest=longest
            )
            if stream is not None and response.status not in expect:
                stream.close()
            found = _expected(response, expect, url, headers)
            if stream is not None:
                return Received(response.status, found, LargeBody(stream, response.length))
            return Received(response.status, found, response.body or b"")

        async def read(response: aiohttp.ClientResponse) -> bytes | memoryview | LargeBody:
            size = content_length(response.headers)
            if size is not None and size > LARGE_BYTES and response.status in (200, 206):
                return LargeBody(BodyStream(response), size)
            if response.status >= 300:
                return await read_up_to(response, REFUSAL_BYTES)
            return await read_body(response, size, longest(response.status))

        return await self.receive("GET", url, expect=expect, headers=headers, read=read, **options)

    async def fetch_part(
        self,
        url: str,
        part: RangeByteRequest,
        sink: memoryview,
        *,
        headers: Mapping[str, str],
        is_same: Callable[[Mapping[str, str]], bool],
        **options: Any,
    ) -> None:
        """Ask a single time for part of an object, whose other parts come with other answers.

        Parameters
        ----------
        url : str
            As of `receive`.
        part : RangeByteRequest
            Its bytes of the object.
        sink : memoryview
            Where they go.
        headers : mapping
            Sent with it; they ask for the part, and for no other version of the object.
        is_same : callable
            Says by the answer's headers whether it is of that version.
        **options
            As of `receive`.

        Raises
        ------
        TornError
            When the part does not belong to the others.
        """

        def check(status: int, headers: Mapping[str, str]) -> None:
            if status != 206 or not is_same(headers):
                raise TornError
            requested_part(sink, part, status=206, content_range=headers.get("Content-Range"))

        if self._is_plain:
            response, stream = await self._ask(
                "GET", url, headers, whole_up_to=LARGE_BYTES, into=sink
            )
            if stream is not None:
                stream.close()
            check(response.status, _expected(response, _PART_STATUSES, url, headers))
            body = response.body
            if body is None or body.nbytes != sink.nbytes:
                raise aiohttp.ClientPayloadError(f"{response.length} bytes came for {part!r}")
            if body is not sink:
                sink[:] = body
            return

        async def read(response: aiohttp.ClientResponse) -> None:
            check(response.status, response.headers)
            await read_part(response, sink)

        await self.receive("GET", url, expect=_PART_STATUSES, headers=headers, read=read, **options)

    async def _ask(
        self, method: str, url: str, *args: Any, **options: Any
    ) -> tuple[Response, Stream | None]:
        assert self._plain is not None
        try:
            return await self._plain.ask(method, url, *args, **options)
        except ProtocolError:
            # From now on this is aiohttp's, which takes what is almost HTTP.
            self._is_plain = False
            raise

    async def receive(
        self,
        method: str,
        url: str,
        *,
        expect: Collection[int],
        headers: Mapping[str, str] | None = None,
        read: Callable[[aiohttp.ClientResponse], Awaitable[T]],
        **options: Any,
    ) -> Received[T]:
        """Send a request a single time, for an attempt of `send`.

        Parameters
        ----------
        method, url : str
            The URL is sent as it is: already quoted.
        expect : collection of int
            Statuses that are answers. Any other raises `StatusError`.
        headers : mapping, optional
            Sent with it.
        read : callable
            Reads the body of an expected answer. A `LargeBody` that it returns keeps the answer
            open.
        **options
            Further arguments of ``aiohttp.ClientSession.request``.

        Raises
        ------
        StatusError
            When the status is none of ``expect``.
        aiohttp.ClientError, TimeoutError, OSError
            When it failed on the way.
        """
        size = getattr(options.get("data"), "size", None)
        try:
            if size is None:
                return await self._receive(method, url, expect, headers, read, options)
            # Its own timeouts begin when the body is sent.
            async with asyncio.timeout(self._policy.transfer_timeout(size)):
                return await self._receive(method, url, expect, headers, read, options)
        except StatusError as error:
            sent = dict(headers or {})
            if (auth := options.get("auth")) is not None:
                sent["Authorization"] = auth.encode()
            raise StatusError(public_answer(error.answer, url, sent)) from None
        except aiohttp.ClientError as error:
            clean = _without_secrets(error)
            if clean is None:
                raise
            raise clean from None

    async def _receive(
        self,
        method: str,
        url: str,
        expect: Collection[int],
        headers: Mapping[str, str] | None,
        read: Callable[[aiohttp.ClientResponse], Awaitable[T]],
        options: Mapping[str, Any],
    ) -> Received[T]:
        size = getattr(options.get("data"), "size", None) or 0
        session = self._sessions.get()
        async with Watchdog(self._policy, session, size) as watchdog:
            response = await self._request(
                session,
                method,
                URL(url, encoded=True),
                headers=headers,
                timeout=self._timeout,
                **options,
            )
            is_left_open = False
            try:
                if response.status not in expect:
                    watchdog.body_follows(response)
                    told = await _refusal(response)
                    raise StatusError(Answer(response.status, response.headers, told))
                watchdog.body_follows(response)
                body = await read(response)
                if isinstance(body, LargeBody):
                    is_left_open = True
                    stream = PacedStream(body.stream, response, self._policy)
                    body = cast("T", LargeBody(stream, body.size))
                return Received(response.status, response.headers, body)
            finally:
                if not is_left_open:
                    # Not read to its end, it costs the connection.
                    response.release()
                    await response.wait_for_close()

    def close(self) -> None:
        """Close the sessions; new ones are made when requests follow."""
        self._sessions.close()
        if self._plain is not None:
            self._plain.close()

    async def aclose(self) -> None:
        """As `close`, awaiting the running loop's."""
        await self._sessions.aclose()
        if self._plain is not None:
            await self._plain.aclose()


async def _control(response: aiohttp.ClientResponse) -> bytes:
    """The body of an answer that is no value."""
    return await read_up_to(response, CONTROL_BYTES if response.status < 300 else REFUSAL_BYTES)


async def _refusal(response: aiohttp.ClientResponse) -> bytes:
    """The body of an error, whole; empty if it is too long to be read."""
    try:
        return await read_up_to(response, REFUSAL_BYTES)
    except BodyTooLongError:
        return b""


async def _request(
    session: aiohttp.ClientSession, method: str, url: URL, **options: Any
) -> aiohttp.ClientResponse:
    # aiohttp would send a service's keys and tokens to whatever host a redirect names.
    return await session.request(method, url, **{"allow_redirects": False, **options})


def _expected(
    response: Response, expect: Collection[int], url: str, sent: Mapping[str, str]
) -> Mapping[str, str]:
    """The headers of an answer, if its status is one of these."""
    headers = CIMultiDict(response.headers)
    if response.status not in expect:
        body = b"" if response.body is None else bytes(response.body)
        raise StatusError(public_answer(Answer(response.status, headers, body), url, sent))
    return headers


def _without_secrets(error: aiohttp.ClientError) -> Exception | None:
    """The error in other words, where its message is too long or has a URL with a secret."""
    text = str(error)
    # aiohttp repeats all that it could not read.
    public = public_text(text[:_SHOWN])
    if public == text:
        return None
    told = f"{type(error).__name__}: {public}"
    return OSError(told) if http_verdict(error) is None else aiohttp.ClientConnectionError(told)
