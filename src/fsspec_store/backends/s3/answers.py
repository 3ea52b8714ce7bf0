"""What S3 answers mean: which bytes came for a range, which error, and whether to ask again.

Pure functions on parsed responses and exceptions, no I/O.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import aiohttp
import botocore.exceptions
from botocore.parsers import ResponseParserError

from ...retries import EXPIRED, TRANSIENT, Verdict, status_verdict
from ..base import BucketMissingError, Failure, builtin_failure
from ..byte_ranges import requested_part as checked_part
from ..wire.connection import BodyTooLongError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...byte_requests import ByteRequest

__all__ = [
    "CONFLICT",
    "DAMAGED",
    "MAX_DOCUMENT_BYTES",
    "OUT_OF_RANGE",
    "PRECONDITION_FAILED",
    "DocumentTooLongError",
    "MissingError",
    "check_end",
    "error_code",
    "error_details",
    "error_headers",
    "error_status",
    "failure_of",
    "is_empty_etag",
    "is_no_part",
    "is_refused_credential",
    "requested_part",
    "verdict",
    "without_signatures",
]

#: A condition was not met.
PRECONDITION_FAILED = frozenset({"PreconditionFailed", "412"})
#: A conditional write met another one under way (S3 API Reference, "PutObject").
CONFLICT = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})
#: The object has no byte that was asked for.
OUT_OF_RANGE = frozenset({"InvalidRange", "416"})
#: A body was not the one that was sent (S3 API Reference, "Error responses").
DAMAGED = frozenset(
    {"BadDigest", "IncompleteBody", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}
)

#: Credentials that were good once (S3 API Reference, "Error responses").
_EXPIRED = frozenset({"ExpiredToken", "TokenRefreshRequired", "RequestExpired"})
#: Requests for fewer requests; some services say so with a status of 400 or 500.
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
_FORBIDDEN = frozenset(
    {
        "403",
        "AccessDenied",
        "AllAccessDisabled",
        "Forbidden",
    }
)
_UNAUTHENTICATED = frozenset(
    {
        "401",
        "AccountProblem",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        # MinIO's name for it.
        "InvalidTokenId",
        "NotSignedUp",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "Unauthorized",
    }
)
#: Among those, what other credentials do not help against.
_LASTING_REFUSALS = frozenset({"AccountProblem", "NotSignedUp", "RequestTimeTooSkewed"})
_CREDENTIAL_ERRORS = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.TokenRetrievalError,
    botocore.exceptions.SSOError,
    botocore.exceptions.ProfileNotFound,
)
_INVALID_PATH = frozenset({"KeyTooLongError", "XMinioInvalidObjectName", "InvalidURI"})
_IN_THE_WAY = frozenset({"XMinioParentIsObject", "XMinioObjectExistsAsDirectory"})
#: What a request raises that breaks off, stalls, or is answered with something else.
_BROKEN = (
    aiohttp.ClientError,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.IncompleteReadError,
    ResponseParserError,
    ConnectionError,
    TimeoutError,
)
_EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
#: Among those, what would break again.
_LASTING: tuple[type[Exception], ...] = (
    botocore.exceptions.SSLError,
    aiohttp.ClientSSLError,
    aiohttp.InvalidURL,
    BodyTooLongError,
)
#: Maximum size of a document: parsed as a whole, and by botocore on the event loop. A page of
#: 1,000 keys of 1,024 characters, each of them quoted, has 4 MiB.
MAX_DOCUMENT_BYTES = 8 * 2**20


#: In version 4 (64 hexadecimal digits, which after a "/" are part of a key) or in version 2.
_SIGNATURE = re.compile(r"(?<![/0-9a-f])[0-9a-f]{64}(?![0-9a-f])|\bAWS \w+:[\w+/]+=*")


class MissingError(FileNotFoundError):
    """An object that is not there, with the service's answer as botocore's errors have it.

    Parameters
    ----------
    response : mapping
        With an ``Error`` element.
    """

    def __init__(self, response: Mapping[str, Any]) -> None:
        super().__init__(response["Error"].get("Message", ""))
        self.response = response


class DocumentTooLongError(BodyTooLongError):
    """A document is longer than any of S3's."""

    def __init__(self, longest: int = MAX_DOCUMENT_BYTES) -> None:
        super().__init__(longest)
        self.args = (
            f"the service sent a document of more than {longest} bytes, and at most these are read",
        )


def is_empty_etag(etag: str) -> bool:
    """Whether an ETag is the MD5 of no bytes, as that of an empty object usually is."""
    return etag.strip('"') == _EMPTY_MD5


def check_end(headers: Mapping[str, str]) -> None:
    """Raise for a body of which nothing says where it ends.

    Its connection's end might be the body's, or come too early. S3 states the length of what it
    sends (S3 API Reference, "Common response headers").

    Parameters
    ----------
    headers : mapping
        Of the answer, names in lower case.
    """
    if "content-length" not in headers and "transfer-encoding" not in headers:
        raise ConnectionError("the response states no length")


def requested_part(
    response: Mapping[str, Any], body: bytes | memoryview, request: ByteRequest | None
) -> bytes | memoryview:
    """The bytes that were asked for, cut from what came; never others.

    Raises
    ------
    RangeNotSatisfiableError
        When the object is too short for the request.
    aiohttp.ClientPayloadError
        When the body is shorter than announced, or another part than the one asked for.
    """
    return checked_part(
        body,
        request,
        status=response.get("ResponseMetadata", {}).get("HTTPStatusCode"),
        content_range=response.get("ContentRange"),
        length=response.get("ContentLength"),
    )


def error_code(error: BaseException) -> str | None:
    """The service's error code (``NoSuchKey``, ``403``, ...); ``None`` for errors on the way."""
    code = error_details(error).get("Code")
    return None if code is None else str(code)


def error_status(error: BaseException) -> int | None:
    """The status of the service's answer; ``None`` for errors on the way."""
    status: int | None = _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def error_headers(error: BaseException) -> Mapping[str, str]:
    """The headers of the service's answer, names in lower case; empty for errors on the way."""
    return _response(error).get("ResponseMetadata", {}).get("HTTPHeaders", {})  # type: ignore[no-any-return]


def error_details(error: BaseException) -> Mapping[str, Any]:
    """The ``Error`` element of the service's answer, empty for errors on the way."""
    return _response(error).get("Error", {})  # type: ignore[no-any-return]


def is_no_part(error: Exception) -> bool:
    """Whether a service refused a part under a condition: it was replaced, or cannot be asked for.

    Some services compare no ETags that they state themselves (weak ones, by RFC 9110, section
    13.1.1), or know no such request.
    """
    response = _response(error)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = response.get("Error", {}).get("Code")
    return code in PRECONDITION_FAILED | OUT_OF_RANGE or (
        status in (400, 404, 410, 412, 416, 501)
        and code not in _UNAUTHENTICATED | _FORBIDDEN | {"NoSuchBucket"}
        and verdict(error) is None
    )


def without_signatures(text: str) -> str:
    """A text without what may be the signature of a request."""
    return _SIGNATURE.sub("***", text)


def verdict(error: Exception) -> Verdict | None:
    """Why a request that failed this way may be repeated, ``None`` where that is no use."""
    response = _response(error)
    code = response.get("Error", {}).get("Code")
    if code in _EXPIRED:
        return EXPIRED
    if code in CONFLICT:
        return TRANSIENT
    metadata = response.get("ResponseMetadata", {})
    headers = metadata.get("HTTPHeaders", {})
    if code in _THROTTLED:
        return status_verdict(429, headers)
    if code in _TRANSIENT:
        return status_verdict(500, headers)
    if response:
        return status_verdict(metadata.get("HTTPStatusCode", 0), headers)
    causes = list(_causes(error))
    # botocore names the exception it replaces, and does not chain it.
    causes += [
        cause.kwargs["error"]
        for cause in causes
        if isinstance(cause, botocore.exceptions.HTTPClientError) and "error" in cause.kwargs
    ]
    if any(isinstance(cause, _LASTING) for cause in causes):
        return None
    return TRANSIENT if any(isinstance(cause, _BROKEN) for cause in causes) else None


def failure_of(error: Exception) -> Failure:
    """What kind of failure an error is."""
    code = error_code(error)
    if code == "NoSuchBucket" or isinstance(error, BucketMissingError):
        return Failure.NO_BUCKET
    if code in _UNAUTHENTICATED or isinstance(error, _CREDENTIAL_ERRORS):
        return Failure.UNAUTHENTICATED
    if code in _FORBIDDEN:
        return Failure.FORBIDDEN
    if code in _INVALID_PATH:
        return Failure.INVALID_PATH
    if code in _IN_THE_WAY:
        return Failure.CONFLICT
    return builtin_failure(error) if code is None else Failure.BACKEND


def is_refused_credential(error: Exception) -> bool:
    """Whether credentials were not found, or not accepted, and others may be by now."""
    code = error_code(error)
    if code is None:
        return isinstance(error, _CREDENTIAL_ERRORS)
    return code in _UNAUTHENTICATED - _LASTING_REFUSALS


def _response(error: BaseException) -> Mapping[str, Any]:
    """The service's parsed answer behind an exception, empty for errors on the way."""
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return response
    return {}


def _causes(error: BaseException) -> Iterator[BaseException]:
    # s3fs puts its own exception around botocore's, once or twice.
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__
