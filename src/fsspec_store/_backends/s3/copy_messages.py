"""The headers of a copy in the native transport, and its result. Pure functions, no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ..._http.unexpected_responses import unexpected_response
from .error_responses import error_of
from .requests import CopyObject, UploadPartCopy
from .responses import UnreadableResponseError
from .signing import quote_key
from .xml import parse_copy, parse_error

if TYPE_CHECKING:
    from ..._http.messages import Response

__all__ = ["copy_headers", "copy_result"]

_RESULTS = {"CopyObject": "CopyObjectResult", "UploadPartCopy": "CopyPartResult"}


def copy_headers(request: CopyObject | UploadPartCopy) -> dict[str, str]:
    """The headers with the source of a copy."""
    bucket, key = request.source
    # The form for access points (S3 API Reference, "CopyObject").
    separator = "/object/" if bucket.startswith("arn:") else "/"
    headers = {"x-amz-copy-source": quote_key(f"{bucket}{separator}{key}")}
    if isinstance(request, UploadPartCopy):
        headers["x-amz-copy-source-range"] = request.source_range
    if request.source_if_match is not None:
        headers["x-amz-copy-source-if-match"] = request.source_if_match
    return headers


def copy_result(
    response: Response[Any], document: bytes, operation: Literal["CopyObject", "UploadPartCopy"]
) -> dict[str, str]:
    """Elements of the result by name, such as ``ETag``; raise for a copy that failed.

    A copy may fail after the status 200 was sent (S3 API Reference, "CopyObject").
    """
    try:
        return parse_copy(document, _RESULTS[operation])
    except ValueError as error:
        if not parse_error(document):
            raise UnreadableResponseError(f"{unexpected_response('S3')}: {error}") from None
    raise error_of(response, operation)
