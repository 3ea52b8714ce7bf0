"""What S3 answers mean: which bytes came for a range, and which error.

Pure functions on parsed responses and exceptions, no I/O.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import aiohttp

from ..byte_requests import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from ..ranges import is_out_of_range, resolve
from .base import RangeNotSatisfiableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..byte_requests import ByteRequest

__all__ = ["error_code", "error_details", "range_header", "requested_part"]

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


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
    response: Mapping[str, Any], body: bytes, request: ByteRequest | None
) -> bytes | memoryview:
    """The bytes that were asked for, cut from what came; never others.

    Raises
    ------
    RangeNotSatisfiableError
        When the object is too short for the request.
    aiohttp.ClientPayloadError
        When the body is shorter than announced, or another part than the one asked for.
    """
    announced = response.get("ContentLength")
    if announced is not None and announced != len(body):
        raise aiohttp.ClientPayloadError(f"{len(body)} bytes came of {announced} announced")
    if request is None:
        return body
    content_range = response.get("ContentRange")
    match = _CONTENT_RANGE.fullmatch(content_range) if content_range else None
    if match is None:
        # No Content-Range: the server did not apply the header, and sent the whole object.
        if is_out_of_range(request, len(body)):
            raise RangeNotSatisfiableError(len(body))
        start, end = resolve(request, len(body))
        return memoryview(body)[start:end]
    first, last, total = int(match[1]), int(match[2]), match[3]
    right = last - first + 1 == len(body)
    if total != "*":
        right = right and (first, last + 1) == resolve(request, int(total))
    elif isinstance(request, RangeByteRequest):
        right = right and first == request.start and last < request.end
    if not right:
        raise aiohttp.ClientPayloadError(
            f"{content_range!r} with {len(body)} bytes came for {request!r}"
        )
    return body


def error_code(error: BaseException) -> str | None:
    """The service's error code (``NoSuchKey``, ``403``, ...); ``None`` for errors on the way."""
    code = error_details(error).get("Code")
    return None if code is None else str(code)


def error_details(error: BaseException) -> Mapping[str, Any]:
    """The ``Error`` element of the service's answer, empty for errors on the way."""
    # s3fs puts its own exception around botocore's, once or twice.
    link: BaseException | None = error
    while link is not None:
        response = getattr(link, "response", None)
        if isinstance(response, dict):
            return response.get("Error", {})  # type: ignore[no-any-return]
        link = link.__cause__
    return {}
