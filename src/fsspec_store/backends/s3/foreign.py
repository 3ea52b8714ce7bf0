"""Answers that came from something else than S3: a proxy's page, a login page, another server.

S3 describes each error in an XML document with a code (S3 API Reference, "Error responses"), and
sends an ETag with each object. Pure functions, no I/O.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

from ..foreign import ForeignAnswerError, is_page
from .answers import error_code, error_headers, error_status

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NotS3Error", "check_is_value", "has_page", "not_s3", "unreadable"]

#: Headers by which services that speak S3 name a request in their answer.
_REQUEST_ID = frozenset(
    {"x-amz-request-id", "x-amz-id-2", "x-amzn-requestid", "x-guploader-uploadid"}
)

#: The modules that read responses, and the one that changes some of them afterwards.
_PARSERS = frozenset({"aiobotocore.parsers", "botocore.parsers"})
_HANDLERS = "botocore.handlers"
#: What looks up an error by its code, which nested elements make a dictionary.
_LOOKUPS = frozenset({"botocore.errorfactory", "s3fs.errors"})
_LOOKUP = "shape_for_error_code"


class NotS3Error(ForeignAnswerError):
    """The answer did not come from a server that speaks S3.

    Parameters
    ----------
    status : int
        Of the answer.
    headers : mapping
        Of the answer, names in lower case.
    """

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__("S3", status, headers)
        # As botocore's errors have it, without a code of S3's.
        self.response = {
            "Error": {},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": self.headers},
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.headers)


def not_s3(error: BaseException) -> NotS3Error | None:
    """What to raise for an error whose answer had a body that is no error of S3.

    S3 describes each error in an XML document with a code (S3 API Reference, "Error responses").
    Services may leave the body out, which says nothing; another body is a page of a proxy, or of a
    server that speaks no S3.

    Parameters
    ----------
    error : BaseException
        As s3fs raises it.
    """
    status, headers = error_status(error), error_headers(error)
    if status is None or status < 300 or error_code(error) not in (None, "", str(status)):
        return None
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if not has_body or not (_is_html(headers) or _REQUEST_ID.isdisjoint(headers)):
        return None
    return NotS3Error(status, headers)


def unreadable(error: Exception) -> OSError | None:
    """What to raise where botocore failed to read a response, with one of Python's own exceptions.

    A size or a date that is none makes it raise ``ValueError``, and nested elements
    ``RecursionError``, for example.

    Parameters
    ----------
    error : Exception
        As s3fs raises it.
    """
    if type(error).__module__ != "builtins" or isinstance(error, OSError):
        return None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        name, function = frame.f_globals.get("__name__"), frame.f_code.co_name
        is_read = name in _PARSERS or (name == _HANDLERS and function.startswith("decode_"))
        if is_read or name in _LOOKUPS or function == _LOOKUP:
            return OSError(f"the service sent a response that botocore cannot read: {error!s:.120}")
    return None


def has_page(error: BaseException) -> bool:
    """Whether the answer to a HEAD announced a page of HTML, which S3 has for no error."""
    headers = error_headers(error)
    return (
        _is_html(headers)
        and headers.get("content-length", "0") != "0"
        and _REQUEST_ID.isdisjoint(headers)
    )


def check_is_value(status: int, headers: Mapping[str, str], body: object = None) -> None:
    """Raise `NotS3Error` for a page of HTML without an ETag, which S3 sends with each object.

    Parameters
    ----------
    status : int
        Of the answer.
    headers : mapping
        Of the answer, names in lower case.
    body : bytes or memoryview, optional
        What came, where that is known.
    """
    if headers.get("etag"):
        return
    if _is_html(headers) or (isinstance(body, bytes | memoryview) and is_page(body)):
        raise NotS3Error(status, headers)


def _is_html(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").lower().startswith(("text/html", "application/xhtml"))
