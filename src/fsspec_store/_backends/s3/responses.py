"""Classifies S3's responses and errors: the bytes of a range, error codes, the retry decision.

Pure functions on parsed responses and exceptions, no I/O.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import aiohttp
import botocore.exceptions
from botocore.parsers import ResponseParserError

from ..._core.failures import BucketMissingError, Failure, builtin_failure
from ..._http.messages import BodyTooLongError
from ..._http.retry_policy import EXPIRED, TRANSIENT, RetryDecision, retry_decision_of_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "CONFLICT",
    "CORRUPT_BODY",
    "MAX_DOCUMENT_BYTES",
    "OUT_OF_RANGE",
    "PRECONDITION_FAILED",
    "DocumentTooLongError",
    "MissingError",
    "UnreadableResponseError",
    "are_credentials_rejected",
    "check_has_length",
    "error_code",
    "error_details",
    "error_headers",
    "error_status",
    "failure_of",
    "is_empty_etag",
    "is_part_rejected",
    "redact_signatures",
    "retry_decision",
]

#: The condition of a request was not met.
PRECONDITION_FAILED = frozenset({"PreconditionFailed", "412"})
#: A conditional write conflicts with another one in flight (S3 API Reference, "PutObject").
CONFLICT = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})
#: The requested range begins after the object's end.
OUT_OF_RANGE = frozenset({"InvalidRange", "416"})
#: The service received a corrupt or truncated body (S3 API Reference, "Error responses").
CORRUPT_BODY = frozenset(
    {"BadDigest", "IncompleteBody", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}
)

#: Credentials or signatures that have expired (S3 API Reference, "Error responses").
_EXPIRED = frozenset({"ExpiredToken", "TokenRefreshRequired", "RequestExpired"})
#: Throttling; some services send these codes with a status of 400 or 500.
_THROTTLED = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "TooManyRequests",
    }
)
_TRANSIENT = frozenset(
    {"InternalError", "RequestTimeout", "ServiceUnavailable", "XMinioServerNotInitialized"}
)
_FORBIDDEN = frozenset({"403", "AccessDenied", "AllAccessDisabled", "Forbidden"})
_UNAUTHENTICATED = frozenset(
    {
        "401",
        "AccountProblem",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        # MinIO's code for an invalid token.
        "InvalidTokenId",
        "NotSignedUp",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "Unauthorized",
    }
)
#: Codes of `_UNAUTHENTICATED` that new credentials do not resolve.
_PERMANENT_CREDENTIAL_CODES = frozenset({"AccountProblem", "NotSignedUp", "RequestTimeTooSkewed"})
_CREDENTIAL_ERRORS = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.TokenRetrievalError,
    botocore.exceptions.SSOError,
    botocore.exceptions.ProfileNotFound,
)
_INVALID_PATH = frozenset({"KeyTooLongError", "XMinioInvalidObjectName", "InvalidURI"})
_KEY_CONFLICTS = frozenset({"XMinioParentIsObject", "XMinioObjectExistsAsDirectory"})
#: Exceptions of requests that break off, time out, or whose response cannot be parsed.
_TRANSIENT_ERRORS = (
    aiohttp.ClientError,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.IncompleteReadError,
    ResponseParserError,
    ConnectionError,
    TimeoutError,
)
#: Those among them without a connection, or without a complete response.
_CONNECTION_ERRORS = (
    aiohttp.ClientConnectionError,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
)
_EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
#: Subclasses of `_TRANSIENT_ERRORS` that a repeated request would raise again.
_PERMANENT_ERRORS: tuple[type[Exception], ...] = (
    botocore.exceptions.SSLError,
    aiohttp.ClientSSLError,
    aiohttp.InvalidURL,
    BodyTooLongError,
    # Within an `HTTPClientError`: the file of ``verify`` is missing.
    FileNotFoundError,
)
#: Maximum size of an XML document in bytes. Each is parsed as a whole, by botocore on the event
#: loop. A page of 1,000 keys of 1,024 characters, each of them quoted, has 4 MiB.
MAX_DOCUMENT_BYTES = 8 * 2**20

#: A signature of version 4 (64 hexadecimal digits, unless after "/", as in a key) or version 2.
_SIGNATURE = re.compile(r"(?<![/0-9a-f])[0-9a-f]{64}(?![0-9a-f])|\bAWS \w+:[\w+/]+=*")


class UnreadableResponseError(ConnectionError):
    """A response with other contents than S3 sends. Like one that breaks off, it is retried."""


class MissingError(FileNotFoundError):
    """The object does not exist. `response` has the form of `botocore.exceptions.ClientError`."""

    def __init__(self, response: Mapping[str, Any]) -> None:
        super().__init__(response["Error"].get("Message", ""))
        self.response = response


class DocumentTooLongError(BodyTooLongError):
    """An XML document is longer than any that S3 sends."""

    def __str__(self) -> str:
        sent = f"an XML document of more than {MAX_DOCUMENT_BYTES} bytes, the maximum size"
        return f"the service sent {sent}"


def is_empty_etag(etag: str) -> bool:
    """Whether an ETag is the MD5 of no bytes, the usual ETag of an empty object."""
    return etag.strip('"') == _EMPTY_MD5


def check_has_length(headers: Mapping[str, str]) -> None:
    """Raise ``ConnectionError`` for a response that states neither length nor transfer encoding.

    A truncated body of such a response looks complete. S3 always states the length (S3 API
    Reference, "Common response headers").
    """
    if "content-length" not in headers and "transfer-encoding" not in headers:
        raise ConnectionError("the response states no length")


def error_code(error: BaseException) -> str | None:
    """The service's error code (``NoSuchKey``, ``403``, ...); ``None`` without a response."""
    code = error_details(error).get("Code")
    return None if code is None else str(code)


def error_status(error: BaseException) -> int | None:
    """The status of the error response; ``None`` without a response."""
    status: int | None = _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def error_headers(error: BaseException) -> Mapping[str, str]:
    """The headers of the error response, names in lower case; empty without a response."""
    return _response(error).get("ResponseMetadata", {}).get("HTTPHeaders", {})  # type: ignore[no-any-return]


def error_details(error: BaseException) -> Mapping[str, Any]:
    """The ``Error`` element of the error response; empty without a response."""
    return _response(error).get("Error", {})  # type: ignore[no-any-return]


def is_part_rejected(error: Exception) -> bool:
    """Whether the service rejected a conditional range request, so that the parts cannot be read.

    Either the object was replaced, or the service does not support the request: ``If-Match`` never
    matches a weak ETag (RFC 9110, section 13.1.1).
    """
    response = _response(error)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = response.get("Error", {}).get("Code")
    return code in PRECONDITION_FAILED | OUT_OF_RANGE or (
        status in (400, 404, 410, 412, 416, 501)
        and code not in _UNAUTHENTICATED | _FORBIDDEN | {"NoSuchBucket"}
        and retry_decision(error) is None
    )


def redact_signatures(text: str) -> str:
    """`text` with everything that may be a request's signature replaced by ``***``."""
    return _SIGNATURE.sub("***", text)


def retry_decision(error: Exception) -> RetryDecision | None:
    """The retry decision for an error; ``None`` for permanent errors."""
    response = _response(error)
    code = response.get("Error", {}).get("Code")
    if code in _EXPIRED:
        return EXPIRED
    if code in CONFLICT:
        return TRANSIENT
    metadata = response.get("ResponseMetadata", {})
    headers = metadata.get("HTTPHeaders", {})
    if code in _THROTTLED:
        return retry_decision_of_status(429, headers)
    if code in _TRANSIENT:
        return retry_decision_of_status(500, headers)
    if response:
        return retry_decision_of_status(metadata.get("HTTPStatusCode", 0), headers)
    causes = list(_causes(error))
    # botocore keeps the original exception in ``kwargs`` instead of chaining it.
    causes += [
        cause.kwargs["error"]
        for cause in causes
        if isinstance(cause, botocore.exceptions.HTTPClientError) and "error" in cause.kwargs
    ]
    if any(isinstance(cause, _PERMANENT_ERRORS) for cause in causes):
        return None
    return TRANSIENT if any(isinstance(cause, _TRANSIENT_ERRORS) for cause in causes) else None


def failure_of(error: Exception) -> Failure:
    """The kind of failure of an error."""
    code = error_code(error)
    if code == "NoSuchBucket" or isinstance(error, BucketMissingError):
        return Failure.NO_BUCKET
    if code in _UNAUTHENTICATED or isinstance(error, _CREDENTIAL_ERRORS):
        return Failure.UNAUTHENTICATED
    if code in _FORBIDDEN:
        return Failure.FORBIDDEN
    if code in _INVALID_PATH:
        return Failure.INVALID_PATH
    if code in _KEY_CONFLICTS:
        return Failure.CONFLICT
    if code is not None or isinstance(error, UnreadableResponseError):
        return Failure.BACKEND
    if any(isinstance(cause, _CONNECTION_ERRORS) for cause in _causes(error)):
        return Failure.UNREACHABLE
    return builtin_failure(error)


def are_credentials_rejected(error: Exception) -> bool:
    """Whether credentials were missing or rejected, so that new ones may succeed."""
    code = error_code(error)
    if code is None:
        return isinstance(error, _CREDENTIAL_ERRORS)
    return code in _UNAUTHENTICATED - _PERMANENT_CREDENTIAL_CODES


def _response(error: BaseException) -> Mapping[str, Any]:
    """The parsed response of an exception or its causes; empty without a response."""
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return response
    return {}


def _causes(error: BaseException) -> Iterator[BaseException]:
    # s3fs wraps botocore's exception in its own, once or twice.
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__
