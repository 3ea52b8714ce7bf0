"""Streamed, decoded HTTP response bodies with size limits, and ranges cut from whole objects."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import aiohttp

from ..._core.byte_requests import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from ..._core.failures import RangeNotSatisfiableError
from ..._core.ranges import bounds
from ..._core.versions import is_etag
from ..._http.content_range import (
    MAX_DECODED_BYTES,
    MAX_DISCARDED_BYTES,
    MAX_EXPANSION,
    MAX_UNSIZED_BYTES,
    check_discarded,
    content_coding,
    content_length,
)
from ..._http.http1.buffer_pool import allocate
from ..._http.messages import BodyTooLongError
from .decoding import Decoder, decoders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiohttp import ClientResponse
    from multidict import CIMultiDictProxy
    from yarl import URL

    from ..._core.byte_requests import ByteRequest

__all__ = [
    "Body",
    "RangeIgnoredError",
    "extract_range",
    "object_size",
    "supports_parts",
]

#: Maximum number of unread bytes that are read to keep a connection alive. With more left, the
#: connection is closed.
_MAX_DRAIN = 2**16
#: Shorter bodies arrive in few chunks: joining them is faster than copying into a buffer.
_MAX_JOINED = 2**18
#: ``Date`` and ``Last-Modified`` have a precision of a second, and file times may lag the clock.
_MIN_AGE_SECONDS = 2


class RangeIgnoredError(Exception):
    """The server ignored a range without a last byte and sends the whole object of this size."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class Body:
    """The unread body of a response; a `fsspec_store._http.messages.BodyStream`.

    The response must be made with ``auto_decompress=False``: this class decodes.
    """

    def __init__(self, response: ClientResponse) -> None:
        self.status: int = response.status
        self.headers: CIMultiDictProxy[str] = response.headers
        #: URL of the response, after redirects.
        self.url: URL = response.url
        self._response = response
        self._sent = 0
        self._coding = content_coding(response.headers)
        self._steps: list[Decoder] | None = None
        self._decoded: Iterator[bytes] = iter(())
        self._decoded_bytes = 0
        # Unused bytes of the last chunk.
        self._left = memoryview(b"")

    async def read(
        self, limit: int = MAX_UNSIZED_BYTES, *, start: int = 0, end: int | None = None
    ) -> bytes:
        """Read and decode the body from byte ``start`` to its end, or only to byte ``end``.

        Raises
        ------
        BodyTooLongError
            When more than ``limit`` bytes are read to its end.
        """
        pieces = []
        position = 0
        while (end is None or position < end) and (piece := await self.next_piece()):
            pieces.append(piece[max(start - position, 0) : None if end is None else end - position])
            position += len(piece)
            if end is None and position - start > limit:
                raise BodyTooLongError(limit)
        return b"".join(pieces)

    async def read_sized(self, size: int) -> bytes | memoryview:
        """Read a body of known size that has no content coding."""
        if size <= _MAX_JOINED:
            return await self.read(size)
        memory = allocate(size)
        await self.read_into(memory)
        return memory

    async def read_into(self, sink: memoryview) -> None:
        """Fill a buffer with the next bytes, without decoding.

        Raises
        ------
        aiohttp.ClientError, TimeoutError
            When the body ends too early or stalls.
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
        """The next decoded bytes; empty at the end of the body.

        Raises
        ------
        OSError
            When the decoded body exceeds the limits: it may be a decompression bomb.
        """
        if not self._coding:
            return await self._next()
        if self._steps is None:
            self._steps = decoders(self._coding.split(", "))
        while True:
            for piece in self._decoded:
                self._count(piece)
                return piece
            data = await self._next()
            if not data:
                for step in self._steps:
                    step.finish()
                return b""
            self._decoded = _through(self._steps, data)

    async def size(self) -> int:
        """Count the decoded bytes by reading them; ``OSError`` above `MAX_DISCARDED_BYTES`."""
        size = 0
        while piece := await self.next_piece():
            size += len(piece)
            if size > MAX_DISCARDED_BYTES:
                raise OSError(
                    "the server does not state the object's size, which is more than "
                    f"{MAX_DISCARDED_BYTES} bytes"
                )
        return size

    async def drain(self) -> None:
        """Read the rest if it is short, so that the connection can be reused."""
        read = 0
        while read < _MAX_DRAIN and (piece := await self._next()):
            read += len(piece)

    def close(self) -> None:
        """Close the response; its connection is reused if the body was read to the end."""
        self._response.close()

    def _count(self, piece: bytes) -> None:
        self._decoded_bytes += len(piece)
        if self._decoded_bytes > max(MAX_DECODED_BYTES, MAX_EXPANSION * self._sent):
            raise OSError(
                f"the {self._coding} form of the object decodes to more than {MAX_DECODED_BYTES} "
                f"bytes and {MAX_EXPANSION} times its encoded size: the rest is not read"
            )

    async def _next(self) -> bytes:
        """The next bytes as sent; empty at the end of the body."""
        piece = await self._response.content.readany()
        self._sent += len(piece)
        return piece


def _through(steps: Sequence[Decoder], data: bytes) -> Iterator[bytes]:
    """Decode data with each decoder in turn; yield pieces that are not empty."""
    if not steps:
        yield data
        return
    for piece in steps[0].decode(data):
        if piece:
            yield from _through(steps[1:], piece)


async def extract_range(body: Body, request: ByteRequest | None, *, may_repeat: bool) -> bytes:
    """The requested part of a response that is the whole object.

    Raises
    ------
    RangeIgnoredError
        When ``may_repeat`` and a second request, with a last byte, is cheaper.
    RangeNotSatisfiableError
        When the object is too short.
    OSError
        When more than `MAX_DISCARDED_BYTES` bytes would be read and discarded.
    """
    size = object_size(body.headers)
    if size is None:
        return await _extract_unsized(body, request)
    start, end = bounds(request, size)
    # Azure, for example, supports ranges, but ignores a range without a last byte.
    open_ended = start > 0 and not isinstance(request, RangeByteRequest)
    supports_ranges = body.headers.get("Accept-Ranges") == "bytes"
    if may_repeat and open_ended and (supports_ranges or start > MAX_DISCARDED_BYTES):
        raise RangeIgnoredError(size)
    check_discarded(start)
    return await body.read(start=start, end=end)


def supports_parts(status: int, headers: Mapping[str, str]) -> bool:
    """Whether the object can be read in parts that are guaranteed to be of one version.

    This needs range support, and a strong ETag: a weak one may stay the same when bytes change
    (RFC 9110, section 8.8.1). Servers such as nginx compute ETags from the time in seconds and the
    size, so that the object must not have changed within the current second (section 8.8.2.2).
    """
    supports_ranges = status == 206 or headers.get("Accept-Ranges") == "bytes"
    etag = headers.get("ETag", "")
    is_strong = is_etag(etag) and not etag.startswith("W/")
    return supports_ranges and is_strong and not _changed_just_now(headers)


def _changed_just_now(headers: Mapping[str, str]) -> bool:
    """Whether the object may change again without a new ``Last-Modified``."""
    modified = headers.get("Last-Modified")
    if modified is None:
        return False
    try:
        age = parsedate_to_datetime(headers["Date"]) - parsedate_to_datetime(modified)
    except (KeyError, TypeError, ValueError):
        # No date, or an invalid one.
        return True
    return age.total_seconds() < _MIN_AGE_SECONDS


def object_size(headers: Mapping[str, str]) -> int | None:
    """The object's size by ``Content-Length``; ``None`` without it or with a content coding."""
    return None if content_coding(headers) else content_length(headers)


async def _extract_unsized(body: Body, request: ByteRequest | None) -> bytes:
    """Like `extract_range`, for a response that does not state the object's size."""
    if isinstance(request, SuffixByteRequest):
        part = await body.read(end=MAX_DISCARDED_BYTES + 1)
        if len(part) > MAX_DISCARDED_BYTES:
            check_discarded(None)
        return part[-request.suffix :]
    start, end = 0, None
    if isinstance(request, OffsetByteRequest):
        start = request.offset
    elif isinstance(request, RangeByteRequest):
        start, end = request.start, request.end
    check_discarded(start)
    part = await body.read(start=start, end=end)
    if not part and request is not None:
        raise RangeNotSatisfiableError(None)
    return part
