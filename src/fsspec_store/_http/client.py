"""The HTTP client of the backends for Google Cloud Storage, Azure and web servers.

It selects the transport of each request, keeps the requests within the limit for the service,
retries transient failures, and redacts error responses. Does not know any service.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import aiohttp

from .._core.failures import ChangedWhileReadError
from .content_range import requested_part
from .http1.head_parser import ProtocolError
from .messages import (
    CONTROL_BYTES,
    LargeBody,
    Request,
    Response,
    max_control_bytes,
    reserve_nothing,
)
from .responses import (
    StatusError,
    redacted_response,
    retry_decision_of_error,
)
from .retrier import Budget, Retrier, Slot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from .._core.byte_requests import RangeByteRequest
    from .aiohttp_transport import AiohttpTransport
    from .hedging import Read
    from .messages import MaxBytes, Reserve, ResponseBody
    from .native_transport import NativeTransport
    from .payloads import Body
    from .retry_policy import RetryDecision
    from .settings import Settings

__all__ = ["HTTPClient"]

T = TypeVar("T")

_READ_STATUSES = frozenset({200, 206, 404, 416})
#: Expected statuses of a request for a part. The object may have changed, or the server may not
#: support ranges.
_PART_STATUSES = frozenset({200, 206, 400, 404, 410, 412, 416, 501})


class HTTPClient:
    """Sends requests to one service.

    Parameters
    ----------
    service : str
        Scheme, host and port. All stores of the process share the limit of a service.
    classify : callable, optional
        Returns the `RetryDecision` for an exception; `retry_decision_of_error` by default.
    """

    def __init__(
        self,
        service: str,
        settings: Settings,
        transport: AiohttpTransport,
        native: NativeTransport | None = None,
        classify: Callable[[Exception], RetryDecision | None] = retry_decision_of_error,
    ) -> None:
        self._transport = transport
        self._native = native
        self._transports = [each for each in (transport, native) if each is not None]
        self._policy = settings.policy
        self._stats = settings.stats
        self._large_bytes = settings.reads.above
        self._retrier = Retrier(
            service,
            settings.policy,
            classify,
            settings.stats,
            memory_bytes=settings.read_memory_bytes,
            hedge=settings.hedge_share,
        )

    async def send(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        slot: Slot | None = None,
        refresh: Callable[[], Awaitable[object]] | None = None,
        budget: Budget | None = None,
        read: Read | None = None,
    ) -> T:
        """Await ``attempt()``, and retry it after transient failures.

        See `fsspec_store._http.retrier.Slot.send`. An attempt that returns an unread body needs a
        ``slot`` from `slot`. Requests of one operation share a ``budget``. ``read`` is what the
        attempt reads, if it may be requested again when the response is slow.
        """
        if slot is not None:
            return await slot.send(attempt, refresh=refresh)
        return await self._retrier.send(attempt, refresh=refresh, budget=budget, read=read)

    def slot(self) -> Slot:
        """Return a slot for a request whose body is read after its attempt: a context manager."""
        return Slot(self._retrier)

    async def once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        expect: Collection[int],
        data: Body | None = None,
        decode: bool = False,
    ) -> Response[bytes]:
        """Send a request that does not read a value, without retries.

        The parameters are those of `fsspec_store._http.messages.Request`.
        """
        response = await self._send(Request(method, url, headers, expect, data, decode))
        body = response.body
        if isinstance(body, LargeBody):
            body.stream.close()
            raise OSError(
                f"the service sent {body.size} bytes in response to a {method} that does not read "
                f"a value, and at most {CONTROL_BYTES} bytes are read"
            )
        return Response(response.status, response.headers, bytes(body))

    async def fetch(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        max_bytes: MaxBytes = max_control_bytes,
        reserve: Reserve = reserve_nothing,
    ) -> Response[ResponseBody]:
        """Send a GET for a value without retries, and read its body unless that is large.

        Returns
        -------
        Response
            With status 200, 206, 404 or 416. With a `LargeBody`, which the caller closes, if the
            object or the part is larger than the threshold in the settings. Otherwise with the
            body, not decoded.
        """
        request = Request(
            "GET",
            url,
            headers,
            _READ_STATUSES,
            unread_above=self._large_bytes,
            max_bytes=max_bytes,
            reserve=reserve,
        )
        return await self._send(request)

    async def fetch_part(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        part: RangeByteRequest,
        sink: memoryview,
        is_same: Callable[[Mapping[str, str]], bool],
    ) -> None:
        """Read one part of an object into memory, without retries.

        The request headers have the range and the condition on the object's version. ``is_same``
        returns whether a response with these headers is of that version.

        Raises `ChangedWhileReadError` when the object has another version now.
        """
        size = sink.nbytes
        response = await self._send(
            Request(
                "GET",
                url,
                headers,
                _PART_STATUSES,
                unread_above=size,
                max_bytes=lambda status: max(size, CONTROL_BYTES),
                into=sink,
            )
        )
        body = response.body
        if isinstance(body, LargeBody):
            body.stream.close()
        if response.status != 206 or not is_same(response.headers):
            raise ChangedWhileReadError
        content_range = response.headers.get("Content-Range")
        requested_part(sink, part, status=206, content_range=content_range)
        if isinstance(body, LargeBody) or len(body) != size:
            raise aiohttp.ClientPayloadError(f"received more or fewer bytes than {part!r}")
        if body is not sink:
            sink[:] = body

    async def receive(
        self, request: Request, read: Callable[[aiohttp.ClientResponse], Awaitable[T]]
    ) -> Response[T]:
        """Send a request with aiohttp, without retries, and read the response with a function.

        The parameters are those of `fsspec_store._http.aiohttp_transport.AiohttpTransport.receive`.
        A `StatusError` of ``read`` is redacted.
        """
        try:
            return await self._transport.receive(request, read)
        except StatusError as error:
            response = redacted_response(error.response, request.url, request.headers)
            raise StatusError(response) from None

    async def _send(self, request: Request) -> Response[ResponseBody]:
        """Send a request; raise `StatusError` for an unexpected status."""
        transport: AiohttpTransport | NativeTransport = self._transport
        body = request.body
        size = None if body is None else body.size
        if self._native and not request.decode and (body is None or body.is_contiguous):
            transport = self._native
            self._stats.native += 1
        try:
            if size is None:
                response = await transport.send(request)
            else:
                # The timeouts of the transports start when the body is sent.
                async with asyncio.timeout(self._policy.transfer_timeout(size)):
                    response = await transport.send(request)
        except ProtocolError:
            # aiohttp, which is more lenient, sends all further requests.
            self._native = None
            raise
        if response.status in request.expect:
            return response
        found = response.body
        if isinstance(found, LargeBody):
            found.stream.close()
            found = b""
        error = Response(response.status, response.headers, bytes(found))
        raise StatusError(redacted_response(error, request.url, request.headers))

    def close(self) -> None:
        """Close all connections. Later requests open new ones."""
        for transport in self._transports:
            transport.close()

    async def aclose(self) -> None:
        """Close all connections, and wait until those of the running loop are closed."""
        for transport in self._transports:
            await transport.aclose()
