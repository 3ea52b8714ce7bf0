"""The HTTP client of the backends for Google Cloud Storage, Azure and web servers.

It sends requests with the native transport or aiohttp, within the limit for the service, and
retries transient failures, such as a body that breaks off. Does not know any service.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from .._core.redaction import public_text
from .._runtime.loops import Shared
from .aiohttp_bodies import BodyStream, PacedStream, Watchdog, read_body, read_part, read_up_to
from .aiohttp_sessions import Sessions
from .content_range import content_length, requested_part
from .http1.head_parser import ProtocolError
from .http1.response import CONTROL_BYTES, MAX_ERROR_BYTES, BodyTooLongError, max_control_bytes
from .responses import (
    ChangedWhileReadError,
    HTTPResponse,
    LargeBody,
    StatusError,
    WholeResponse,
    redacted_response,
    retry_decision_of_error,
)
from .retrier import Retrier

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping

    from .._core.byte_requests import RangeByteRequest
    from .http1.response import MaxBytes, Response
    from .large_reads import Stream
    from .native_client import NativeClient
    from .retrier import Slot
    from .retry_policy import RetryDecision
    from .settings import Settings

__all__ = ["HTTPClient", "RequestBody"]

T = TypeVar("T")

#: Maximum number of characters of an aiohttp error that are quoted.
_MAX_QUOTED = 1000
#: Expected statuses of a request for a part. The object may have changed, or the server may not
#: support ranges.
_PART_STATUSES = frozenset({200, 206, 400, 404, 410, 412, 416, 501})


class RequestBody(Protocol):
    """The body of a request, which can be sent several times. Also a payload for aiohttp."""

    @property
    def size(self) -> int | None:
        """Size of the body in bytes, ``None`` if unknown."""

    def in_one_piece(self) -> memoryview | None:
        """The whole body; ``None`` if that would copy much memory."""


class HTTPClient:
    """Sends requests to one service.

    Parameters
    ----------
    service : str
        Scheme, host and port. All stores of the process share the limit of a service.
    make_session : callable
        Returns a new session for the running loop. Must not hold a reference to this object.
    share : hashable
        Key of shared sessions: equal for clients whose ``make_session`` returns equal sessions.
    settings : Settings
        The store's options for requests.
    classify : callable, optional
        Returns the `RetryDecision` for an exception; `retry_decision_of_error` by default.
    native : NativeClient, optional
        Sends the requests that it supports. Without it aiohttp sends all requests.
    request : callable, optional
        Replaces ``ClientSession.request`` without redirects. Called with the session and the same
        arguments.
    """

    def __init__(
        self,
        service: str,
        make_session: Callable[[], aiohttp.ClientSession],
        share: Hashable,
        settings: Settings,
        classify: Callable[[Exception], RetryDecision | None] | None = None,
        native: NativeClient | None = None,
        request: Callable[..., Awaitable[aiohttp.ClientResponse]] | None = None,
    ) -> None:
        policy = settings.policy
        self._native = native
        self._request = request or _request
        self._is_native = native is not None
        self._stats = settings.stats
        self._large_bytes = settings.reads.above
        self._sessions: Shared[aiohttp.ClientSession] = Shared(
            share, lambda: Sessions(make_session)
        )
        self._policy = policy
        self._retrier = Retrier(
            service, policy, classify or retry_decision_of_error, settings.stats
        )
        # aiohttp bounds the time between two reads, `Watchdog` the rest.
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=policy.connect_timeout, sock_read=policy.timeout
        )

    async def send(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        slot: Slot | None = None,
        refresh: Callable[[], Awaitable[object]] | None = None,
    ) -> T:
        """Await ``attempt()``, and retry it after transient failures.

        As `fsspec_store._http.retrier.Slot.send`. An attempt that returns an unread body needs a
        ``slot`` from `slot`.
        """
        if slot is not None:
            return await slot.send(attempt, refresh=refresh)
        return await self._retrier.send(attempt, refresh=refresh)

    def slot(self) -> Slot:
        """Return a slot for a request whose body is read after its attempt: a context manager."""
        return self._retrier.slot()

    async def once(
        self,
        method: str,
        url: str,
        *,
        expect: Collection[int],
        headers: Mapping[str, str],
        data: RequestBody | None = None,
        **options: Any,
    ) -> WholeResponse:
        """Send a request without retries; parameters as in `receive`."""
        # The native transport does not decode bodies.
        if self._is_native and not options.get("auto_decompress"):
            body = None if data is None else data.in_one_piece()
            if data is None or body is not None:
                # The timeouts of the transport start when the body is sent.
                timeout = None if body is None else self._policy.transfer_timeout(body.nbytes)
                async with asyncio.timeout(timeout):
                    response, stream = await self._native_request(
                        method, url, headers, body, whole_up_to=CONTROL_BYTES
                    )
                if stream is not None:
                    stream.close()
                    raise OSError(
                        f"the service sent {response.length} bytes in response to a {method} that "
                        f"does not read a value, and at most {CONTROL_BYTES} bytes are read"
                    )
                received = _check_status(response, expect, url, headers)
                return WholeResponse(response.status, received, bytes(response.body or b""))
        whole = await self.receive(
            method,
            url,
            expect=expect,
            headers=headers,
            read=_read_control,
            data=data,
            **options,
        )
        return WholeResponse(whole.status, whole.headers, whole.body)

    async def fetch(
        self,
        url: str,
        *,
        expect: Collection[int],
        headers: Mapping[str, str],
        max_bytes: MaxBytes = max_control_bytes,
        **options: Any,
    ) -> HTTPResponse[bytes | memoryview | LargeBody]:
        """Send a GET without retries, and read its body unless that is large.

        Parameters
        ----------
        max_bytes : callable, optional
            Returns, for the status of a success, the maximum size of a body of unknown length.
        url, expect, headers, **options
            As in `receive`.

        Returns
        -------
        HTTPResponse
            With a `LargeBody`, which the caller closes, if the status is 200 or 206 and the body
            is larger than the threshold in the settings. Otherwise with the body, not decoded.
        """
        if self._is_native:
            response, stream = await self._native_request(
                "GET", url, headers, whole_up_to=self._large_bytes, max_bytes=max_bytes
            )
            if stream is not None and response.status not in expect:
                stream.close()
            received = _check_status(response, expect, url, headers)
            if stream is not None:
                return HTTPResponse(response.status, received, LargeBody(stream, response.length))
            return HTTPResponse(response.status, received, response.body or b"")

        async def read(response: aiohttp.ClientResponse) -> bytes | memoryview | LargeBody:
            size = content_length(response.headers)
            if size is not None and size > self._large_bytes and response.status in (200, 206):
                return LargeBody(BodyStream(response), size)
            if response.status >= 300:
                return await _read_control(response)
            return await read_body(response, size, max_bytes(response.status))

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
        """Read one part of an object into memory, without retries.

        Parameters
        ----------
        url : str
            As in `receive`.
        part : RangeByteRequest
            Range of the part in the object.
        sink : memoryview
            Memory for the part.
        headers : mapping
            Request headers, with the range and the condition on the object's version.
        is_same : callable
            Returns whether a response with these headers is of that version.
        **options
            As in `receive`.

        Raises
        ------
        ChangedWhileReadError
            When the object has another version now.
        """

        def check(status: int, headers: Mapping[str, str]) -> None:
            if status != 206 or not is_same(headers):
                raise ChangedWhileReadError
            requested_part(sink, part, status=206, content_range=headers.get("Content-Range"))

        if self._is_native:
            response, stream = await self._native_request(
                "GET", url, headers, whole_up_to=sink.nbytes, into=sink
            )
            if stream is not None:
                stream.close()
            check(response.status, _check_status(response, _PART_STATUSES, url, headers))
            body = response.body
            if body is None or body.nbytes != sink.nbytes:
                raise aiohttp.ClientPayloadError(f"received {response.length} bytes for {part!r}")
            if body is not sink:
                sink[:] = body
            return

        async def read(response: aiohttp.ClientResponse) -> None:
            check(response.status, response.headers)
            await read_part(response, sink)

        await self.receive("GET", url, expect=_PART_STATUSES, headers=headers, read=read, **options)

    async def _native_request(
        self, method: str, url: str, *args: Any, **options: Any
    ) -> tuple[Response, Stream | None]:
        assert self._native is not None
        self._stats.native += 1
        try:
            return await self._native.request(method, url, *args, **options)
        except ProtocolError:
            # aiohttp, which is more lenient, sends all further requests.
            self._is_native = False
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
    ) -> HTTPResponse[T]:
        """Send a request with aiohttp, without retries.

        Parameters
        ----------
        method : str
            The request method.
        url : str
            The quoted URL, which is sent unchanged.
        expect : collection of int
            Expected statuses. Any other raises `StatusError`.
        headers : mapping, optional
            Request headers.
        read : callable
            Reads the body of a response with an expected status. If it returns a `LargeBody`, the
            response stays open.
        **options
            Further arguments of ``aiohttp.ClientSession.request``.

        Raises
        ------
        StatusError
            When the status is not in ``expect``.
        aiohttp.ClientError, TimeoutError, OSError
            When the connection or the transfer failed.
        """
        size = getattr(options.get("data"), "size", None)
        try:
            if size is None:
                return await self._receive(method, url, expect, headers, read, options)
            # aiohttp's timeouts start when the body is sent.
            async with asyncio.timeout(self._policy.transfer_timeout(size)):
                return await self._receive(method, url, expect, headers, read, options)
        except StatusError as error:
            sent = dict(headers or {})
            if (auth := options.get("auth")) is not None:
                sent["Authorization"] = auth.encode()
            raise StatusError(redacted_response(error.response, url, sent)) from None
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
    ) -> HTTPResponse[T]:
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
                watchdog.body_follows(response)
                if response.status not in expect:
                    error = await _read_error(response)
                    raise StatusError(WholeResponse(response.status, response.headers, error))
                body = await read(response)
                if isinstance(body, LargeBody):
                    is_left_open = True
                    stream = PacedStream(body.stream, response, self._policy)
                    body = cast("T", LargeBody(stream, body.size))
                return HTTPResponse(response.status, response.headers, body)
            finally:
                if not is_left_open:
                    # Closes the connection if the body was not read to its end.
                    response.release()
                    await response.wait_for_close()

    def close(self) -> None:
        """Close all sessions. Later requests open new ones."""
        self._sessions.close()
        if self._native is not None:
            self._native.close()

    async def aclose(self) -> None:
        """Close all sessions, and wait until those of the running loop are closed."""
        await self._sessions.aclose()
        if self._native is not None:
            await self._native.aclose()


async def _read_control(response: aiohttp.ClientResponse) -> bytes:
    """Read a body that is not a value."""
    return await read_up_to(response, CONTROL_BYTES if response.status < 300 else MAX_ERROR_BYTES)


async def _read_error(response: aiohttp.ClientResponse) -> bytes:
    """Read an error body; empty if it is too large."""
    try:
        return await read_up_to(response, MAX_ERROR_BYTES)
    except BodyTooLongError:
        return b""


async def _request(
    session: aiohttp.ClientSession, method: str, url: URL, **options: Any
) -> aiohttp.ClientResponse:
    # aiohttp would send credentials to any host that a redirect names.
    return await session.request(method, url, **{"allow_redirects": False, **options})


def _check_status(
    response: Response, expect: Collection[int], url: str, sent: Mapping[str, str]
) -> Mapping[str, str]:
    """Raise `StatusError` for an unexpected status; return the headers otherwise."""
    headers = CIMultiDict(response.headers)
    if response.status not in expect:
        body = b"" if response.body is None else bytes(response.body)
        raise StatusError(
            redacted_response(WholeResponse(response.status, headers, body), url, sent)
        )
    return headers


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
