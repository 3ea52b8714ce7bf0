"""Translates error responses of the native transport to s3fs's exceptions, or a fallback to s3fs.

Pure functions, no I/O.
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any

import botocore.exceptions
from s3fs.errors import translate_boto_error

from .responses import MissingError
from .xml import is_missing_key, parse_error

if TYPE_CHECKING:
    from ..._http.messages import Response

__all__ = ["UnexpectedResponseError", "error_of"]

#: Codes after which s3fs may succeed: it discovers regions, and supports other signatures.
_FALLBACK_CODES = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "PermanentRedirect",
        "SignatureDoesNotMatch",
        "TemporaryRedirect",
    }
)


_MISSING_KEY = {"Code": "NoSuchKey", "Message": "The specified key does not exist."}


class UnexpectedResponseError(Exception):
    """A response after which s3fs repeats the request; the message states the reason.

    It is permanent if the next response would be the same: the request went to the wrong endpoint,
    or its signature was of the wrong kind.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


def error_of(response: Response[Any], operation: str) -> Exception:
    """The exception that s3fs raises for an error response."""
    status = response.status
    if 300 <= status < 400:
        return UnexpectedResponseError(f"the status {status}", permanent=True)
    body = bytes(response.body)
    is_missing = status == 404 and is_missing_key(body)
    error = _MISSING_KEY if is_missing else parse_error(body)
    if not error:
        if body and status < 500 and status != 429:
            return UnexpectedResponseError(f"the status {status} without an S3 error body")
        if not body and status == 400:
            # For example to a HEAD in the wrong region.
            return UnexpectedResponseError("the status 400 without a body", permanent=True)
        error = {"Code": str(status), "Message": http.client.responses.get(status, "")}
    if error.get("Code") in _FALLBACK_CODES:
        return UnexpectedResponseError(f"the error {error['Code']}", permanent=True)
    parsed = {
        "Error": error,
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": response.headers},
    }
    if status == 404 and error.get("Code") in ("NoSuchKey", "404"):
        return MissingError(parsed)
    error_response = botocore.exceptions.ClientError(parsed, operation)
    translated: Exception = translate_boto_error(error_response)
    return translated
