"""The body of an aiohttp answer, piece by piece into memory that is there already.

aiohttp's own way to a whole body keeps its pieces, and joins them at the end: twice the memory.
Knows aiohttp's streams, and nothing of what is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from .large_reads import read_all

if TYPE_CHECKING:
    from aiohttp import ClientResponse

__all__ = ["BodyStream", "read_body", "read_part"]

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


async def read_body(response: ClientResponse, size: int | None) -> bytes | memoryview:
    """All of a body of this size; ``None`` where only its end tells, and where it is decoded."""
    if size is None or size <= _JOINED_BYTES:
        return await response.read()
    return await read_all(BodyStream(response), size)


async def read_part(response: ClientResponse, sink: memoryview) -> None:
    """A body that has to have just this size, into memory."""
    body = BodyStream(response)
    await body.read_into(sink)
    await body.read_end()
