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

#: The modules that read responses.
_PARSERS = frozenset({"aiobotocore.parsers", "botocore.parsers"})


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
    """What to raise for an error of botocore's parser, of which some are Python's own.

    A size or a date that is none makes it raise ``ValueError``, for example.

    Parameters
    ----------
    error : Exception
        As s3fs raises it.
    """
    if not isinstance(error, (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)):
        return None
    frames = traceback.walk_tb(error.__traceback__)
    if not any(frame.f_globals.get("__name__") in _PARSERS for frame, _ in frames):
        return None
    return OSError(f"the service sent a response that botocore cannot read: {error!s:.120}")


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
