"""The body of an aiohttp answer, piece by piece into memory that is there already.

aiohttp's own way to a whole body keeps its pieces, and joins them at the end: twice the memory.
Knows aiohttp's streams, and nothing of what is read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp

from .content_range import MOST_UNANNOUNCED
from .http1.connection import BodyTooLongError
from .large_reads import read_all
from .retry_policy import too_slow

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

    from .large_reads import Stream
    from .retry_policy import RetryPolicy

__all__ = [
    "BodyStream",
    "PacedStream",
    "Watchdog",
    "read_body",
    "read_part",
    "read_up_to",
]

#: Shorter bodies are a piece or a few: to join them costs less than to look at each.
_JOINED_BYTES = 2**18


class BodyStream:
    """A `fsspec_store._http.large_reads.Stream` of an answer that is not read yet.

    Parameters
    ----------
    response : ClientResponse
        With a body as it was sent, not decoded.
    """

    def __init__(self, response: ClientResponse) -> None:
        self._response = response
        # Of the piece that was read last.
        self._left = memoryview(b"")

    async def read_into(self, sink: memoryview) -> None:
        """Fill a piece of memory with the next bytes.

        Raises
        ------
        aiohttp.ClientError, TimeoutError
            When the body ends before, or comes no further.
        """
        filled = 0
        while filled < sink.nbytes:
            if not await self._has_more():
                raise aiohttp.ClientPayloadError("a body ended before its announced length")
            piece = self._left[: sink.nbytes - filled]
            sink[filled : filled + piece.nbytes] = piece
            filled += piece.nbytes
            self._left = self._left[piece.nbytes :]

    async def read_end(self) -> None:
        """Make sure that nothing more comes.

        Raises
        ------
        aiohttp.ClientPayloadError
            When something does.
        """
        if await self._has_more():
            raise aiohttp.ClientPayloadError("a body is longer than it should be")

    def close(self) -> None:
        """Let go of the answer: its connection serves again if it was read to its end."""
        self._response.close()

    async def _has_more(self) -> bool:
        at_boundary = True
        while not self._left and at_boundary:
            # A whole piece as it came, or the place between two chunks of a chunked body.
            piece, at_boundary = await self._response.content.readchunk()
            self._left = memoryview(piece)
        return bool(self._left)


class PacedStream:
    """A stream each of whose readings has to keep to the policy's minimum rate.

    Parameters
    ----------
    stream : Stream
        Of the response.
    response : ClientResponse
        With a body that is not read yet.
    policy : RetryPolicy
        States the rate.
    """

    def __init__(self, stream: Stream, response: ClientResponse, policy: RetryPolicy) -> None:
        self._stream = stream
        self._response = response
        self._policy = policy

    async def read_into(self, sink: memoryview) -> None:
        """Fill a piece of memory with the next bytes; see `BodyStream.read_into`."""
        async with Watchdog(self._policy) as watchdog:
            watchdog.body_follows(self._response)
            await self._stream.read_into(sink)

    def close(self) -> None:
        """Let go of the response."""
        self._stream.close()


class Watchdog:
    """A block in which a response is received, and which ends in time.

    aiohttp bounds the time between two pieces of a response, and not how small they are, and takes
    interim responses without end. Raises ``TimeoutError`` in place of what it cancels.

    Parameters
    ----------
    policy : RetryPolicy
        States time and rate.
    session : ClientSession, optional
        Of a request to be sent.
    sent : int, optional
        Bytes of the request's body.
    """

    def __init__(
        self, policy: RetryPolicy, session: ClientSession | None = None, sent: int = 0
    ) -> None:
        self._policy = policy
        self._session = session
        self._longest = policy.connect_timeout + policy.transfer_timeout(sent)
        self._response: ClientResponse | None = None
        self._before = 0

    async def __aenter__(self) -> Watchdog:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._limit = asyncio.timeout(None)
        await self._limit.__aenter__()
        self._timer = self._loop.call_at(self._began + self._longest, self._look)
        return self

    def body_follows(self, response: ClientResponse) -> None:
        """Record that the head has arrived."""
        self._response = response
        self._began = self._loop.time()
        self._before = _came(response)

    async def __aexit__(self, *error: Any) -> None:
        self._timer.cancel()
        try:
            await self._limit.__aexit__(*error)
        except TimeoutError as timeout:
            raise self._error() from timeout

    def _look(self) -> None:
        now = self._loop.time()
        due = self._due(now)
        if now < due:
            self._timer = self._loop.call_at(due, self._look)
        else:
            self._limit.reschedule(now)

    def _due(self, now: float) -> float:
        if self._response is not None:
            came = _came(self._response) - self._before
            return self._began + self._policy.transfer_timeout(0, came)
        if self._session is not None and getattr(self._session.connector, "_waiters", None):
            # It may wait for a connection, for as long as others take to be read.
            return now + self._policy.timeout
        return self._began + self._longest

    def _error(self) -> TimeoutError:
        if self._response is None:
            return TimeoutError(f"no complete head of a response for {self._longest:g} s")
        came = _came(self._response) - self._before
        return too_slow(came, self._loop.time() - self._began)


def _came(response: ClientResponse) -> int:
    # A response without a body has another kind of stream.
    return getattr(response.content, "total_bytes", 0)


async def read_up_to(response: ClientResponse, longest: int) -> bytes:
    """All of a body, decoded if it is to be.

    Raises
    ------
    BodyTooLongError
        When it has more than ``longest`` bytes.
    """
    pieces = []
    size = 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > longest:
            raise BodyTooLongError(longest)
    return b"".join(pieces)


async def read_body(
    response: ClientResponse, size: int | None, longest: int = MOST_UNANNOUNCED
) -> bytes | memoryview:
    """All of a body of this size; ``None`` where only its end tells, and where it is decoded.

    Parameters
    ----------
    response : ClientResponse
        With the body.
    size : int or None
        Its announced size.
    longest : int, optional
        Maximum size of one whose size is not announced.
    """
    if size is None:
        return await read_up_to(response, longest)
    if size <= _JOINED_BYTES:
        return await response.read()
    return await read_all(BodyStream(response), size)


async def read_part(response: ClientResponse, sink: memoryview) -> None:
    """A body that has to have just this size, into memory."""
    body = BodyStream(response)
    await body.read_into(sink)
    await body.read_end()
