"""Bodies of HTTP responses as they arrive: bounded in bytes, and decoded.

Knows aiohttp's streams, and what to do when a server sends the whole object for a range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from ..._core.byte_requests import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from ..._core.failures import RangeNotSatisfiableError
from ..._core.ranges import is_out_of_range, resolve
from ..._core.versions import is_etag
from ..._http.content_range import (
    MOST_DECODED,
    MOST_EXPANDED,
    MOST_UNANNOUNCED,
    MOST_WASTED,
    content_coding,
    content_length,
    refuse_waste,
)
from ..._http.http1.buffer_pool import new_memory
from ..._http.http1.connection import BodyTooLongError
from .decoding import Decoder, decoders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiohttp import ClientResponse
    from multidict import CIMultiDictProxy
    from yarl import URL

    from ..._core.byte_requests import ByteRequest

__all__ = [
    "Body",
    "WholeSentError",
    "cut_from_whole",
    "may_come_in_parts",
    "whole_length",
]

#: A long unread rest of an answer costs its connection; a short one is cheaper read.
_SHORT_REST = 2**16
#: Shorter bodies are a piece or a few: to join them costs less than to look at each.
_JOINED_BYTES = 2**18


class WholeSentError(Exception):
    """A server has the end of an object, and sends all of it when it is told no last byte.

    Parameters
    ----------
    size : int
        Of the whole object, in bytes.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class Body:
    """The body of a response that is not read yet; a `fsspec_store._http.large_reads.Stream`.

    Parameters
    ----------
    response : ClientResponse
        With a body as it was sent, not decoded.

    Attributes
    ----------
    status : int
    headers : mapping
    url : URL
        Where it came from, after redirects.
    """

    def __init__(self, response: ClientResponse) -> None:
        self.status: int = response.status
        self.headers: CIMultiDictProxy[str] = response.headers
        self.url: URL = response.url
        self._response = response
        self._sent = 0
        self._coding = content_coding(response.headers)
        self._steps: list[Decoder] | None = None
        self._decoded: Iterator[bytes] = iter(())
        self._decoded_bytes = 0
        # Of the piece that was read last.
        self._left = memoryview(b"")

    async def read(self, limit: int = MOST_UNANNOUNCED) -> bytes:
        """All of it, decoded.

        Raises
        ------
        BodyTooLongError
            When it is longer than ``limit``.
        """
        pieces = []
        size = 0
        while piece := await self.next_piece():
            size += len(piece)
            if size > limit:
                raise BodyTooLongError(limit)
            pieces.append(piece)
        return b"".join(pieces)

    async def read_sized(self, size: int) -> bytes | memoryview:
        """All of a body of this size, which is not encoded."""
        if size <= _JOINED_BYTES:
            return await self.read(size)
        memory = new_memory(size)
        await self.read_into(memory)
        return memory

    async def read_into(self, sink: memoryview) -> None:
        """Fill a piece of memory with the next bytes, as they were sent.

        Raises
        ------
        aiohttp.ClientError, TimeoutError
            When the body ends before, or stalls.
        """
        filled = 0
        while filled < sink.nbytes:
            if not self._left:
                self._left = memoryview(await self._next())
                if not self._left:
                    raise aiohttp.ClientPayloadError("a body ended before its announced length")
            piece = self._left[: sink.nbytes - filled]
            sink[filled : filled + piece.nbytes] = piece
            filled += piece.nbytes
            self._left = self._left[piece.nbytes :]

    async def next_piece(self) -> bytes:
        """The next bytes, decoded; none at the end.

        Raises
        ------
        OSError
            When it is a small body of much that is decoded: nothing tells it from an attack.
        """
        if not self._coding:
            return await self._next()
        if self._steps is None:
            self._steps = decoders(self._coding.split(", "))
        while True:
            for piece in self._decoded:
                if piece:
                    self._count(piece)
                    return piece
            data = await self._next()
            if not data:
                for step in self._steps:
                    step.finish()
                return b""
            self._decoded = _through(self._steps, data)

    async def size(self) -> int:
        """How many bytes it has, counted; ``OSError`` beyond `MOST_WASTED`."""
        size = 0
        while piece := await self.next_piece():
            size += len(piece)
            if size > MOST_WASTED:
                raise OSError(
                    "the server does not say the object's size, which is more than "
                    f"{MOST_WASTED} bytes"
                )
        return size

    async def drain(self) -> None:
        """Read the rest if it is short, so that the connection serves again."""
        read = 0
        while read < _SHORT_REST and (piece := await self._next()):
            read += len(piece)

    def close(self) -> None:
        """Let go of the response: its connection serves again if it was read to its end."""
        self._response.close()

    def _count(self, piece: bytes) -> None:
        self._decoded_bytes += len(piece)
        if self._decoded_bytes > max(MOST_DECODED, MOST_EXPANDED * self._sent):
            raise OSError(
                f"the {self._coding} form of the object decodes to more than {MOST_DECODED} bytes "
                f"and {MOST_EXPANDED} times its own size: the rest is not read"
            )

    async def _next(self) -> bytes:
        """The next bytes as they were sent, none at the end."""
        piece = await self._response.content.readany()
        self._sent += len(piece)
        return piece


def _through(steps: Sequence[Decoder], data: bytes) -> Iterator[bytes]:
    """Data decoded by one decoder after the other."""
    if not steps:
        yield data
        return
    for piece in steps[0].decode(data):
        yield from _through(steps[1:], piece)


async def cut_from_whole(body: Body, request: ByteRequest | None, *, again: bool) -> bytes:
    """The part asked for, from an answer that is the whole object.

    Parameters
    ----------
    body : Body
        Of the answer.
    request : ByteRequest or None
        What was asked for.
    again : bool
        Raise `WholeSentError` where it is better to ask again, with a last byte.

    Raises
    ------
    RangeNotSatisfiableError
        When the object is too short.
    OSError
        When more than `MOST_WASTED` bytes would be read and dropped.
    """
    size = whole_length(body.headers)
    if size is None:
        return await _cut_from_unknown(body, request)
    if is_out_of_range(request, size):
        raise RangeNotSatisfiableError(size)
    start, end = resolve(request, size)
    # Azure, for one, takes ranges, and none without an end.
    open_ended = start > 0 and not isinstance(request, RangeByteRequest)
    takes_ranges = body.headers.get("Accept-Ranges") == "bytes"
    if again and open_ended and (takes_ranges or start > MOST_WASTED):
        raise WholeSentError(size)
    refuse_waste(start)
    return await _cut(body, start, end)


def may_come_in_parts(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a body may come in parts that are all of one version for certain.

    For which the server has to take ranges, and to give a version that stands for these bytes and
    no others: a weak ETag stands for what is much the same (RFC 9110, section 8.8.1).
    """
    takes_ranges = status == 206 or headers.get("Accept-Ranges") == "bytes"
    etag = headers.get("ETag", "")
    is_strong = is_etag(etag) and not etag.startswith("W/")
    return takes_ranges and is_strong


def whole_length(headers: Mapping[str, str]) -> int | None:
    """The object's size, where the length of the whole answer is that."""
    return None if content_coding(headers) else content_length(headers)


async def _cut_from_unknown(body: Body, request: ByteRequest | None) -> bytes:
    """As `cut_from_whole`, where only the end of the body tells the size."""
    if isinstance(request, SuffixByteRequest):
        part = await _cut(body, 0, MOST_WASTED + 1)
        if len(part) > MOST_WASTED:
            refuse_waste(None)
        return part[-request.suffix :]
    start, end = 0, None
    if isinstance(request, OffsetByteRequest):
        start = request.offset
    elif isinstance(request, RangeByteRequest):
        start, end = request.start, request.end
    refuse_waste(start)
    part = await _cut(body, start, end)
    if not part and request is not None:
        raise RangeNotSatisfiableError(None)
    return part


async def _cut(body: Body, start: int, end: int | None) -> bytes:
    """Bytes of a stream; what follows them is not read."""
    pieces = []
    position = 0
    while piece := await body.next_piece():
        pieces.append(piece[max(start - position, 0) : None if end is None else end - position])
        position += len(piece)
        if end is not None and position >= end:
            break
        if end is None and position - start > MOST_UNANNOUNCED:
            raise BodyTooLongError(MOST_UNANNOUNCED)
    return b"".join(pieces)
