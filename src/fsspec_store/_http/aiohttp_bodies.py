"""Reading of aiohttp response bodies into existing memory, within time and size limits.

``ClientResponse.read`` collects pieces and joins them, which needs twice the memory.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp

from .messages import BodyStream, BodyTooLongError
from .parallel_reads import read_slice
from .retry_policy import RetryPolicy, too_slow

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession


__all__ = ["AiohttpStream", "PacedStream", "Watchdog", "read_body", "read_up_to"]

#: Smaller bodies are read with ``ClientResponse.read``: joining their few pieces is cheaper.
_JOINED_BYTES = 2**18


class AiohttpStream:
    """The `BodyStream` of an aiohttp response."""

    def __init__(self, response: ClientResponse) -> None:
        self._response = response
        # Unread bytes of the last piece.
        self._left = memoryview(b"")

    async def read_into(self, sink: memoryview) -> None:
        """Fill ``sink`` with the next bytes of the body."""
        filled = 0
        while filled < sink.nbytes:
            if not await self._has_more():
                raise aiohttp.ClientPayloadError("a body ended before its announced length")
            piece = self._left[: sink.nbytes - filled]
            sink[filled : filled + piece.nbytes] = piece
            filled += piece.nbytes
            self._left = self._left[piece.nbytes :]

    def close(self) -> None:
        """Close the response. The connection is reused if the body was read to its end."""
        self._response.close()

    async def _has_more(self) -> bool:
        at_boundary = True
        while not self._left and at_boundary:
            # Empty at the boundary of two chunks of a chunked body.
            piece, at_boundary = await self._response.content.readchunk()
            self._left = memoryview(piece)
        return bool(self._left)


class PacedStream:
    """A stream that fails when it is slower than the policy's minimum rate."""

    def __init__(self, stream: BodyStream, response: ClientResponse, policy: RetryPolicy) -> None:
        self._stream = stream
        self._response = response
        self._policy = policy

    async def read_into(self, sink: memoryview) -> None:
        """Fill ``sink`` with the next bytes of the body, as `AiohttpStream.read_into` does."""
        async with Watchdog(self._policy) as watchdog:
            watchdog.body_follows(self._response)
            await self._stream.read_into(sink)

    def close(self) -> None:
        """Close the response."""
        self._stream.close()


class Watchdog:
    """A context manager with a timeout for the head and a minimum rate for the body of a response.

    aiohttp only bounds the time between two reads, of any size. Cancels the block, and raises
    ``TimeoutError`` from it.
    """

    def __init__(
        self, policy: RetryPolicy, session: ClientSession | None = None, sent: int = 0
    ) -> None:
        self._policy = policy
        self._session = session
        self._head_timeout = policy.connect_timeout + policy.transfer_timeout(sent)
        self._response: ClientResponse | None = None
        # Body bytes received before the block.
        self._before = 0

    async def __aenter__(self) -> Watchdog:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._limit = asyncio.timeout(None)
        await self._limit.__aenter__()
        self._timer = self._loop.call_at(self._began + self._head_timeout, self._check)
        return self

    def body_follows(self, response: ClientResponse) -> None:
        """Record that the head is received."""
        self._response = response
        self._began = self._loop.time()
        self._before = _received(response)

    async def __aexit__(self, *error: Any) -> None:
        self._timer.cancel()
        try:
            await self._limit.__aexit__(*error)
        except TimeoutError as timeout:
            raise self._error() from timeout

    def _check(self) -> None:
        now = self._loop.time()
        deadline = self._deadline(now)
        if now < deadline:
            self._timer = self._loop.call_at(deadline, self._check)
        else:
            self._limit.reschedule(now)

    def _deadline(self, now: float) -> float:
        if self._response is not None:
            received = _received(self._response) - self._before
            return self._began + self._policy.transfer_timeout(0, received)
        if self._session is not None and getattr(self._session.connector, "_waiters", None):
            # The request may wait for a connection until other responses are read.
            return now + self._policy.timeout
        return self._began + self._head_timeout

    def _error(self) -> TimeoutError:
        if self._response is None:
            return TimeoutError(f"no complete response head for {self._head_timeout:g} s")
        received = _received(self._response) - self._before
        return too_slow(received, self._loop.time() - self._began)


def _received(response: ClientResponse) -> int:
    """Number of received body bytes. The stream of a response without a body does not count."""
    return getattr(response.content, "total_bytes", 0)


async def read_up_to(response: ClientResponse, max_bytes: int) -> bytes:
    """Read a whole body, decoded if the session decodes bodies.

    Raises `BodyTooLongError` when it has more than ``max_bytes`` bytes.
    """
    pieces = []
    size = 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > max_bytes:
            raise BodyTooLongError(max_bytes)
    return b"".join(pieces)


async def read_body(
    response: ClientResponse, size: int | None, max_bytes: int
) -> bytes | memoryview:
    """Read a whole body of a known size, or of at most ``max_bytes`` decoded bytes."""
    if size is None:
        return await read_up_to(response, max_bytes)
    if size <= _JOINED_BYTES:
        return await response.read()
    return await read_slice(AiohttpStream(response), 0, size)
