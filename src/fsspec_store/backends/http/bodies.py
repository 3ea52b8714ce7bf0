"""Bodies of HTTP answers as they come in: the part that is wanted, and no more than it takes.

Knows aiohttp's streams, and what to do when a server sends the whole object for a range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...byte_requests import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from ...ranges import is_out_of_range, resolve
from ..base import RangeNotSatisfiableError, is_etag
from ..byte_ranges import content_coding, content_length
from ..large_reads import LARGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientResponse

    from ...byte_requests import ByteRequest

__all__ = [
    "MOST_WASTED",
    "WholeSentError",
    "comes_in_parts",
    "counted",
    "cut_from_whole",
    "drain",
    "whole_length",
]

#: Bytes read, at most, for the sake of others behind them that a server will not send alone.
MOST_WASTED = 64 * 2**20
#: A long unread rest of an answer costs its connection; a short one is cheaper read.
_SHORT_REST = 2**16


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


async def cut_from_whole(
    response: ClientResponse, request: ByteRequest | None, *, again: bool
) -> bytes:
    """The part asked for, from an answer that is the whole object.

    Parameters
    ----------
    response : ClientResponse
        Its body not read yet.
    request : ByteRequest or None
        What was asked for.
    again : bool
        Raise `WholeSentError` where it is better to ask again, with a last byte.

    Raises
    ------
    RangeNotSatisfiableError
        When the object is too short.
    OSError
        When more than `MOST_WASTED` bytes would be read in vain.
    """
    size = whole_length(response.headers)
    if size is None:
        return await _cut_from_unknown(response, request)
    if is_out_of_range(request, size):
        raise RangeNotSatisfiableError(size)
    start, end = resolve(request, size)
    # Azure, for one, takes ranges, and none without an end.
    open_ended = start > 0 and not isinstance(request, RangeByteRequest)
    takes_ranges = response.headers.get("Accept-Ranges") == "bytes"
    if again and open_ended and (takes_ranges or start > MOST_WASTED):
        raise WholeSentError(size)
    _refuse_waste(start)
    return await _cut(response, start, end)


def comes_in_parts(status: int, size: int, headers: Mapping[str, str]) -> bool:
    """Whether a body is large, and may come in parts that are all of one version for certain.

    For which the server has to take ranges, and to give a version that stands for these bytes and
    no others: a weak ETag stands for what is much the same (RFC 9110, section 8.8.1).
    """
    takes_ranges = status == 206 or headers.get("Accept-Ranges") == "bytes"
    etag = headers.get("ETag", "")
    is_strong = is_etag(etag) and not etag.startswith("W/")
    return size > LARGE_BYTES and takes_ranges and is_strong


async def counted(response: ClientResponse) -> int:
    """How long a body is of which nothing says so; ``OSError`` beyond `MOST_WASTED`."""
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MOST_WASTED:
            raise OSError(
                f"the server does not say the object's size, which is more than {MOST_WASTED} bytes"
            )
    return size


async def drain(response: ClientResponse) -> None:
    """Read the rest of an answer if it is short, so that its connection serves again."""
    read = 0
    while read < _SHORT_REST and (chunk := await response.content.readany()):
        read += len(chunk)


def whole_length(headers: Mapping[str, str]) -> int | None:
    """The object's size, where the length of the whole answer is that."""
    return None if content_coding(headers) else content_length(headers)


async def _cut_from_unknown(response: ClientResponse, request: ByteRequest | None) -> bytes:
    """As `cut_from_whole`, where only the end of the body tells the size."""
    if isinstance(request, SuffixByteRequest):
        body = await _cut(response, 0, MOST_WASTED + 1)
        if len(body) > MOST_WASTED:
            _refuse_waste(None)
        return body[-request.suffix :]
    start, end = 0, None
    if isinstance(request, OffsetByteRequest):
        start = request.offset
    elif isinstance(request, RangeByteRequest):
        start, end = request.start, request.end
    _refuse_waste(start)
    part = await _cut(response, start, end)
    if not part and request is not None:
        raise RangeNotSatisfiableError(None)
    return part


async def _cut(response: ClientResponse, start: int, end: int | None) -> bytes:
    """Bytes of a stream; what follows them is not read."""
    pieces = []
    position = 0
    async for chunk in response.content.iter_any():
        pieces.append(chunk[max(start - position, 0) : None if end is None else end - position])
        position += len(chunk)
        if end is not None and position >= end:
            break
    return b"".join(pieces)


def _refuse_waste(start: int | None) -> None:
    if start is None or start > MOST_WASTED:
        what = "the whole object" if start is None else f"{start} bytes before it"
        raise OSError(
            f"the server ignores byte ranges: {what} would have to be read for this part, "
            f"and at most {MOST_WASTED} bytes are"
        )
