"""The body of an aiohttp answer, piece by piece into memory that is there already.

aiohttp's own way to a whole body keeps its pieces, and joins them at the end: twice the memory.
Knows aiohttp's streams, and nothing of what is read.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from .byte_ranges import MOST_UNANNOUNCED
from .large_reads import read_all
from .wire.connection import BodyTooLongError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import ClientResponse, ClientSession

    from ..retries import RetryPolicy
    from .large_reads import Stream

__all__ = [
    "BodyStream",
    "PacedStream",
    "head_awaited",
    "paced",
    "read_body",
    "read_part",
    "read_up_to",
]

#: Shorter bodies are a piece or a few: to join them costs less than to look at each.
_JOINED_BYTES = 2**18


class BodyStream:
    """A `fsspec_store.backends.large_reads.Stream` of an answer that is not read yet.

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
        async with paced(self._response, self._policy):
            await self._stream.read_into(sink)

    def close(self) -> None:
        """Let go of the response."""
        self._stream.close()


@asynccontextmanager
async def paced(response: ClientResponse, policy: RetryPolicy) -> AsyncIterator[None]:
    """A block in which a body is read: given up when it comes slower than the policy allows.

    aiohttp bounds the time between two pieces, and not their size.

    Raises
    ------
    TimeoutError
        When the body is too slow.
    """
    loop = asyncio.get_running_loop()
    began, before = loop.time(), _came(response)

    def due() -> float:
        return began + policy.transfer_timeout(0, _came(response) - before)

    def said() -> str:
        came = _came(response) - before
        return f"the response was too slow: {came} bytes of a body in {loop.time() - began:.3g} s"

    async with _until(due, said):
        yield


@asynccontextmanager
async def head_awaited(
    session: ClientSession, policy: RetryPolicy, sent: int
) -> AsyncIterator[None]:
    """A block in which a request is sent and the head of its response awaited.

    aiohttp bounds the time between two pieces of a head, and takes interim responses without end.

    Parameters
    ----------
    session : ClientSession
        Of the request.
    policy : RetryPolicy
        States the time.
    sent : int
        Bytes of the request's body.

    Raises
    ------
    TimeoutError
        When the head does not come in time.
    """
    loop = asyncio.get_running_loop()
    longest = policy.connect_timeout + policy.transfer_timeout(sent)
    began = loop.time()

    def due() -> float:
        # A request may wait for a connection here, as long as bodies of others take.
        is_queued = bool(getattr(session.connector, "_waiters", None))
        return loop.time() + policy.timeout if is_queued else began + longest

    async with _until(due, lambda: f"no complete head of a response for {longest:g} s"):
        yield


@asynccontextmanager
async def _until(due: Callable[[], float], said: Callable[[], str]) -> AsyncIterator[None]:
    """A block that ends by ``TimeoutError`` at a time that may be put off.

    Parameters
    ----------
    due : callable
        Returns the loop's time at which to give up; called again when that has come.
    said : callable
        Returns the error's message.
    """
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def look() -> None:
        when = due()
        if loop.time() < when:
            timers[:] = [loop.call_at(when, look)]
        else:
            limit.reschedule(loop.time())

    timers.append(loop.call_at(due(), look))
    try:
        async with asyncio.timeout(None) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(said()) from error
    finally:
        for timer in timers:
            timer.cancel()


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
