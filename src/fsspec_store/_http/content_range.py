"""Byte ranges in HTTP (RFC 9110, section 14): the ``Range`` header, and checks of the response.

Functions on headers and bodies, no I/O. Does not know any service.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, overload

import aiohttp

from .._core.byte_requests import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from .._core.failures import RangeNotSatisfiableError
from .._core.ranges import is_out_of_range, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core.byte_requests import ByteRequest

__all__ = [
    "MAX_DECODED_BYTES",
    "MAX_DISCARDED_BYTES",
    "MAX_EXPANSION",
    "MAX_UNSIZED_BYTES",
    "check_discarded",
    "check_not_encoded",
    "check_part",
    "content_coding",
    "content_length",
    "is_of_total",
    "max_body_bytes",
    "part_start",
    "range_header",
    "requested_part",
    "stated_size",
    "total_size",
]

#: Maximum number of bytes read before a range from a server that ignores ranges.
MAX_DISCARDED_BYTES = 64 * 2**20
#: Maximum size of a value of unknown length.
MAX_UNSIZED_BYTES = 256 * 2**20
#: Maximum decoded size of a compressed value: the larger of this size, and this many times the
#: compressed size.
MAX_DECODED_BYTES = 256 * 2**20
MAX_EXPANSION = 100

#: Number of digits of 2**63 - 1.
_MAX_DIGITS = 19
_NUMBER = f"[0-9]{{1,{_MAX_DIGITS}}}"
#: Content codings of IANA's registry (RFC 9110, section 8.4.1, RFC 7932, RFC 8878 and others),
#: without ``identity``.
_CODINGS = frozenset(
    {
        "aes128gcm",
        "br",
        "compress",
        "dcb",
        "dcz",
        "deflate",
        "exi",
        "gzip",
        "pack200-gzip",
        "x-compress",
        "x-gzip",
        "zstd",
    }
)
#: Azurite states the last byte of an empty object as -1.
_CONTENT_RANGE = re.compile(rf"bytes ({_NUMBER})-(-1|{_NUMBER})/({_NUMBER}|\*)", re.IGNORECASE)
_TOTAL = re.compile(rf"bytes (?:{_NUMBER}-{_NUMBER}|\*)/({_NUMBER})", re.IGNORECASE)
_SIZE = re.compile(_NUMBER)
#: Maximum number of characters of a header that an error message quotes.
_MAX_QUOTED = 80


@overload
def range_header(request: RangeByteRequest) -> str: ...
@overload
def range_header(request: ByteRequest | None) -> str | None: ...
def range_header(request: ByteRequest | None) -> str | None:
    """The ``Range`` header of a request (RFC 9110, section 14.2), ``None`` for the whole object."""
    if isinstance(request, RangeByteRequest):
        return f"bytes={request.start}-{request.end - 1}"
    if isinstance(request, SuffixByteRequest):
        return f"bytes=-{request.suffix}"
    if isinstance(request, OffsetByteRequest) and request.offset:
        return f"bytes={request.offset}-"
    return None


def requested_part(
    body: bytes | memoryview,
    request: ByteRequest | None,
    *,
    status: int | None = None,
    content_range: str | None = None,
    length: int | None = None,
) -> bytes | memoryview:
    """Return exactly the requested bytes, cut from the body if the server ignores ranges.

    Parameters
    ----------
    status : int, optional
        Of the response. A 206 needs a valid ``Content-Range``.
    content_range : str, optional
        ``Content-Range`` of the response. Without it the body is the whole object.

    Raises
    ------
    RangeNotSatisfiableError
        When the object is too short for the request.
    aiohttp.ClientPayloadError
        When the body has another length than stated, or is another part than the requested one.
    """
    if length is not None and length != len(body):
        raise aiohttp.ClientPayloadError(f"received {len(body)} of {length} bytes of the body")
    if request is None and not content_range and status != 206:
        # The usual response to a whole read.
        return body
    if check_part(len(body), request, status=status, content_range=content_range):
        return body
    if is_out_of_range(request, len(body)):
        raise RangeNotSatisfiableError(len(body))
    start, end = resolve(request, len(body))
    return body if end - start == len(body) else memoryview(body)[start:end]


def check_part(
    size: int, request: ByteRequest | None, *, status: int | None, content_range: str | None
) -> bool:
    """Check that a part is the requested one; return ``False`` for a whole object.

    Raises the errors of `requested_part`.
    """
    match = _CONTENT_RANGE.fullmatch(content_range) if content_range else None
    if match is None:
        if status == 206:
            raise aiohttp.ClientPayloadError(
                f"received an unknown part of the object for {request!r}: "
                f"Content-Range is {_quoted(content_range)}"
            )
        return False
    first, last, total = int(match[1]), int(match[2]), match[3]
    if last - first + 1 != size or not _is_requested(first, last, total, request):
        raise aiohttp.ClientPayloadError(
            f"received {size} bytes for {request!r}: Content-Range is {_quoted(content_range)}"
        )
    if total != "*" and is_out_of_range(request, int(total)):
        # An empty part instead of a 416.
        raise RangeNotSatisfiableError(int(total))
    return True


def max_body_bytes(request: ByteRequest | None, status: int) -> int:
    """Maximum size in bytes of a body of unknown length, for a request for a value.

    A server that ignores ranges (200) also sends the bytes before and after the range.
    """
    if isinstance(request, RangeByteRequest):
        wanted = request.end - request.start
    elif isinstance(request, SuffixByteRequest):
        wanted = request.suffix
    else:
        return MAX_UNSIZED_BYTES
    return min(wanted if status == 206 else wanted + MAX_DISCARDED_BYTES, MAX_UNSIZED_BYTES)


def check_discarded(before: int | None) -> None:
    """Raise ``OSError`` when more than 64 MiB would be read before a part.

    The number is ``None`` if the whole object would be read.
    """
    if before is None or before > MAX_DISCARDED_BYTES:
        what = "the whole object" if before is None else f"{before} bytes before it"
        raise OSError(
            f"the server ignores byte ranges: {what} would have to be read for this part, "
            f"and at most {MAX_DISCARDED_BYTES} bytes are"
        )


def check_not_encoded(status: int, headers: Mapping[str, str]) -> None:
    """Raise ``OSError`` for a part of a compressed body. Called before the body is read."""
    coding = content_coding(headers)
    if coding and (status == 206 or "Content-Range" in headers):
        raise OSError(f"the server sent a part of the object's {coding} form, not of the object")


def content_coding(headers: Mapping[str, str]) -> str:
    """The content codings of the body, joined by ``", "`` in the order of encoding; may be empty.

    Values that are not in IANA's registry are ignored: services repeat what an uploader stated,
    such as ``aws-chunked`` or ``UTF-8``.
    """
    if "Content-Encoding" not in headers:
        return ""
    getall = getattr(headers, "getall", None)
    values = [headers["Content-Encoding"]] if getall is None else getall("Content-Encoding")
    names = [name.strip().lower() for value in values for name in value.split(",")]
    return ", ".join([name for name in names if name in _CODINGS])


def content_length(headers: Mapping[str, str]) -> int | None:
    """The ``Content-Length`` of a response; ``None`` if it is missing or invalid.

    Header names are in lower case, or the mapping ignores case.
    """
    value = headers.get("content-length", "")
    return int(value) if _SIZE.fullmatch(value) else None


def stated_size(value: object, what: str) -> int:
    """Parse a size that a service states in XML or JSON; raise ``OSError`` if it is invalid."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if 0 <= value < 10**_MAX_DIGITS else "out of bounds"
    if not isinstance(value, str) or not _SIZE.fullmatch(value):
        raise OSError(f"the service stated an invalid size of {what}: {_quoted(value)}")
    return int(value)


def total_size(content_range: str | None) -> int | None:
    """The object's size from the ``Content-Range`` of a 206 or 416; ``None`` if not stated."""
    match = _TOTAL.fullmatch(content_range or "")
    return int(match[1]) if match else None


def is_of_total(headers: Mapping[str, str], total: int | None) -> bool:
    """Whether a part can be one of an object of this size; ``None`` for an unknown size."""
    stated = total_size(headers.get("content-range"))
    return total is None or stated is None or stated == total


def part_start(content_range: str | None) -> int:
    """Index of the first byte of the part with this ``Content-Range``; 0 for a whole object."""
    match = _CONTENT_RANGE.fullmatch(content_range or "")
    return int(match[1]) if match else 0


def _is_requested(first: int, last: int, total: str, request: ByteRequest | None) -> bool:
    if total != "*":
        return (first, last + 1) == resolve(request, int(total))
    # The server does not state the size of the object.
    if isinstance(request, RangeByteRequest):
        return first == request.start and last < request.end
    if isinstance(request, SuffixByteRequest):
        return last - first < request.suffix
    return first == (0 if request is None else request.offset)


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."
