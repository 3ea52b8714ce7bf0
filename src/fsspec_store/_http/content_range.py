"""Byte ranges in HTTP: how one is asked for, and whether what came is what was asked.

Pure functions on headers and bodies, no I/O; knows RFC 9110, section 14, and no service.
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
    "MOST_DECODED",
    "MOST_EXPANDED",
    "MOST_UNANNOUNCED",
    "MOST_WASTED",
    "check_part",
    "content_coding",
    "content_length",
    "is_of_total",
    "longest_body",
    "part_start",
    "range_header",
    "refuse_encoded_part",
    "refuse_waste",
    "requested_part",
    "stated_size",
    "total_size",
]

#: Maximum number of bytes read before a range that a server does not send alone.
MOST_WASTED = 64 * 2**20
#: Maximum size of a value whose response states no length.
MOST_UNANNOUNCED = 256 * 2**20
#: A compressed value may have this size, or this many times that of its compressed form.
MOST_DECODED = 256 * 2**20
MOST_EXPANDED = 100

#: No size has more digits: 2**63 - 1 has 19.
_MAX_DIGITS = 19
_NUMBER = f"[0-9]{{1,{_MAX_DIGITS}}}"
#: Of RFC 9110, section 8.4.1, RFC 7932, RFC 8878 and the others of IANA's registry; not
#: ``identity``, which leaves the body as it is.
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
#: The last byte of no bytes is -1, which Azurite says of an empty object.
_CONTENT_RANGE = re.compile(rf"bytes ({_NUMBER})-(-1|{_NUMBER})/({_NUMBER}|\*)", re.IGNORECASE)
_TOTAL = re.compile(rf"bytes (?:{_NUMBER}-{_NUMBER}|\*)/({_NUMBER})", re.IGNORECASE)
_SIZE = re.compile(_NUMBER)
#: Of what a server said, this much is repeated in an error.
_SHOWN = 80


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
    """The bytes that were asked for, cut from what came; never others.

    Parameters
    ----------
    body : bytes or memoryview
        What came.
    request : ByteRequest or None
        What was asked for.
    status : int, optional
        Of the answer, where it is known: 206 has to say which part it is.
    content_range : str, optional
        The answer's ``Content-Range``. Without one the body is the whole object: a server may
        ignore ranges.
    length : int, optional
        How long the body was announced to be.

    Raises
    ------
    RangeNotSatisfiableError
        When the object is too short for the request.
    aiohttp.ClientPayloadError
        When the body is shorter than announced, or another part than the one asked for.
    """
    if length is not None and length != len(body):
        raise aiohttp.ClientPayloadError(f"{len(body)} bytes came of {length} announced")
    if not check_part(len(body), request, status=status, content_range=content_range):
        return _part_of_whole(body, request)
    return body


def check_part(
    size: int, request: ByteRequest | None, *, status: int | None, content_range: str | None
) -> bool:
    """Whether a body is a part, the one that was asked for; ``False`` for a whole object.

    Parameters
    ----------
    size : int
        Of the body, in bytes.
    request, status, content_range
        As of `requested_part`.

    Raises
    ------
    RangeNotSatisfiableError, aiohttp.ClientPayloadError
        As `requested_part`.
    """
    match = _CONTENT_RANGE.fullmatch(content_range) if content_range else None
    if match is None:
        if status == 206:
            raise aiohttp.ClientPayloadError(
                f"part of an object came for {request!r}, and not which: "
                f"Content-Range is {_shown(content_range)}"
            )
        return False
    first, last, total = int(match[1]), int(match[2]), match[3]
    if last - first + 1 != size or not _is_asked(first, last, total, request):
        raise aiohttp.ClientPayloadError(
            f"{_shown(content_range)} with {size} bytes came for {request!r}"
        )
    if total != "*" and is_out_of_range(request, int(total)):
        # No bytes instead of a refusal.
        raise RangeNotSatisfiableError(int(total))
    return True


def longest_body(request: ByteRequest | None, status: int) -> int:
    """Maximum size of a body that comes without a length, in answer to a request for a value.

    A server that ignores ranges (200) sends what lies before and behind one as well.
    """
    if isinstance(request, RangeByteRequest):
        wanted = request.end - request.start
    elif isinstance(request, SuffixByteRequest):
        wanted = request.suffix
    else:
        return MOST_UNANNOUNCED
    return min(wanted if status == 206 else wanted + MOST_WASTED, MOST_UNANNOUNCED)


def refuse_waste(before: int | None) -> None:
    """Refuse to read more than 64 MiB before a part; ``None`` stands for the whole object.

    Raises
    ------
    OSError
        When the server ignores byte ranges, and the part lies so far behind.
    """
    if before is None or before > MOST_WASTED:
        what = "the whole object" if before is None else f"{before} bytes before it"
        raise OSError(
            f"the server ignores byte ranges: {what} would have to be read for this part, "
            f"and at most {MOST_WASTED} bytes are"
        )


def refuse_encoded_part(status: int, headers: Mapping[str, str]) -> None:
    """Raise ``OSError`` when an answer is part of a compressed body; to be asked before reading."""
    coding = content_coding(headers)
    if coding and (status == 206 or "Content-Range" in headers):
        raise OSError(f"the server sent a part of the object's {coding} form, not of the object")


def content_coding(headers: Mapping[str, str]) -> str:
    """The codings that the body was encoded with on its way, ``""`` when it was not.

    Only what IANA's registry of HTTP content codings has is one: services state what an uploader
    gave them, such as ``aws-chunked`` or ``UTF-8``. Joined by ``", "``, in the order of encoding.
    """
    if "Content-Encoding" not in headers:
        return ""
    getall = getattr(headers, "getall", None)
    values = [headers["Content-Encoding"]] if getall is None else getall("Content-Encoding")
    names = [name.strip().lower() for value in values for name in value.split(",")]
    return ", ".join([name for name in names if name in _CODINGS])


def content_length(headers: Mapping[str, str]) -> int | None:
    """The announced length of a body as it was sent; ``None`` for what is no length."""
    value = headers.get("Content-Length", "")
    return int(value) if _SIZE.fullmatch(value) else None


def stated_size(said: object, what: str) -> int:
    """A size that a service states in a document.

    Parameters
    ----------
    said : object
        Digits, or an integer.
    what : str
        What has this size, for the error.

    Raises
    ------
    OSError
        When it is no size.
    """
    if isinstance(said, int) and not isinstance(said, bool):
        said = str(said) if 0 <= said < 10**_MAX_DIGITS else "out of bounds"
    if not isinstance(said, str) or not _SIZE.fullmatch(said):
        raise OSError(f"the service stated a size of {what} that is none: {_shown(said)}")
    return int(said)


def total_size(content_range: str | None) -> int | None:
    """The object's size from the ``Content-Range`` of a part, or of a range out of bounds."""
    match = _TOTAL.fullmatch(content_range or "")
    return int(match[1]) if match else None


def is_of_total(headers: Mapping[str, str], total: int | None) -> bool:
    """Whether a part may be one of an object of this size; ``None`` is an unknown size."""
    stated = total_size(headers.get("Content-Range"))
    return total is None or stated is None or stated == total


def part_start(content_range: str | None) -> int:
    """Where the part begins whose ``Content-Range`` this is; 0 for a whole object."""
    match = _CONTENT_RANGE.fullmatch(content_range or "")
    return int(match[1]) if match else 0


def _part_of_whole(body: bytes | memoryview, request: ByteRequest | None) -> bytes | memoryview:
    if request is None:
        return body
    if is_out_of_range(request, len(body)):
        raise RangeNotSatisfiableError(len(body))
    start, end = resolve(request, len(body))
    return body if end - start == len(body) else memoryview(body)[start:end]


def _is_asked(first: int, last: int, total: str, request: ByteRequest | None) -> bool:
    if total != "*":
        return (first, last + 1) == resolve(request, int(total))
    # Of an object whose size the server does not know.
    if isinstance(request, RangeByteRequest):
        return first == request.start and last < request.end
    if isinstance(request, SuffixByteRequest):
        return last - first < request.suffix
    return first == (0 if request is None else request.offset)


def _shown(said: object) -> str:
    text = repr(said)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
