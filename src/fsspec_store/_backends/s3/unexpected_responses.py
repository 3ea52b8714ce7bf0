"""Detects responses of other servers than S3: a proxy, a login page, a web server.

S3 describes each error in XML with a code (S3 API Reference, "Error responses"), and sends an ETag
with each object. Pure functions, no I/O.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

from ..._http.unexpected_responses import UnexpectedServerError, is_html_page
from .responses import error_code, error_headers, error_status

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NotS3Error", "announces_html", "check_is_value", "not_s3", "unreadable"]

#: Response headers of S3 services with the id of the request.
_REQUEST_ID = frozenset(
    {"x-amz-request-id", "x-amz-id-2", "x-amzn-requestid", "x-guploader-uploadid"}
)

#: The modules that parse responses, and the one that decodes some of them afterwards.
_PARSERS = frozenset({"aiobotocore.parsers", "botocore.parsers"})
_HANDLERS = "botocore.handlers"
#: Functions that look up an error by its code, and fail if it has nested elements.
_LOOKUPS = frozenset({"botocore.errorfactory", "s3fs.errors"})
_LOOKUP = "shape_for_error_code"


class NotS3Error(UnexpectedServerError):
    """The response is not from an S3 service."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__("S3", status, headers)
        # In the form of botocore's errors, without an error code.
        self.response = {
            "Error": {},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": self.headers},
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.headers)


def not_s3(error: BaseException) -> NotS3Error | None:
    """The exception for an error response whose body is not an S3 error; ``None`` otherwise.

    An S3 service may omit the body. A body without an S3 error code is from a proxy or from a
    server that does not speak S3.
    """
    status, headers = error_status(error), error_headers(error)
    if status is None or status < 300 or error_code(error) not in (None, "", str(status)):
        return None
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if not has_body or not (_is_html(headers) or _REQUEST_ID.isdisjoint(headers)):
        return None
    return NotS3Error(status, headers)


def unreadable(error: Exception) -> OSError | None:
    """The exception for a response that botocore failed to parse; ``None`` for other errors.

    botocore raises builtin exceptions: ``ValueError`` for an invalid size or date,
    ``RecursionError`` for nested elements.
    """
    if type(error).__module__ != "builtins" or isinstance(error, OSError):
        return None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        name, function = frame.f_globals.get("__name__"), frame.f_code.co_name
        is_parser = name in _PARSERS or (name == _HANDLERS and function.startswith("decode_"))
        if is_parser or name in _LOOKUPS or function == _LOOKUP:
            return OSError(
                f"the service sent a response that botocore cannot parse: {error!s:.120}"
            )
    return None


def announces_html(error: BaseException) -> bool:
    """Whether a HEAD response announces a page of HTML, which S3 never sends."""
    headers = error_headers(error)
    return (
        _is_html(headers)
        and headers.get("content-length", "0") != "0"
        and _REQUEST_ID.isdisjoint(headers)
    )


def check_is_value(status: int, headers: Mapping[str, str], body: object = None) -> None:
    """Raise `NotS3Error` for a page of HTML without an ETag, which S3 sends with each object."""
    if headers.get("etag"):
        return
    if _is_html(headers) or (isinstance(body, bytes | memoryview) and is_html_page(body)):
        raise NotS3Error(status, headers)


def _is_html(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").lower().startswith(("text/html", "application/xhtml"))
