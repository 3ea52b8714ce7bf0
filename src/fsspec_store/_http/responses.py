"""HTTP responses, the errors for unexpected ones, and the classification of both.

Knows aiohttp's errors. Does not know any service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
from multidict import CIMultiDict

from .._core.failures import Failure, builtin_failure
from .._core.redaction import hidden, request_secrets
from .messages import Response
from .retry_policy import TRANSIENT, RetryDecision, retry_decision_of_status

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "StatusError",
    "http_failure",
    "redacted_response",
    "retry_decision_of_error",
]

#: Maximum size of the body in a redacted error response.
_ERROR_BYTES = 4096
#: Maximum number of bytes that encode one character of a secret: ``%F0%9F%94%91``.
_MAX_BYTES_PER_CHARACTER = 12
#: Maximum number of bytes of an error body that an error message quotes.
_MAX_QUOTED_BYTES = 300


class StatusError(Exception):
    """The status of a response is not one of those that the request expects."""

    def __init__(self, response: Response[bytes]) -> None:
        text = response.body[:_MAX_QUOTED_BYTES].decode("utf-8", "replace").strip()
        super().__init__(f"status {response.status}" + (f": {text}" if text else ""))
        self.response = response

    def __reduce__(self) -> tuple[Any, ...]:
        # aiohttp returns a view of the headers, which cannot be pickled.
        headers = CIMultiDict(self.response.headers)
        return type(self), (Response(self.response.status, headers, self.response.body),)


def redacted_response(
    response: Response[bytes], url: str, sent: Mapping[str, str]
) -> Response[bytes]:
    """Remove the request's credentials, which some services repeat, from an error response."""
    secrets = request_secrets(url, sent)
    headers = CIMultiDict(
        (name, hidden(value, secrets)) for name, value in response.headers.items()
    )
    # A secret that is cut off at the end is not found. The margin drops such a prefix.
    margin = _MAX_BYTES_PER_CHARACTER * max(map(len, secrets), default=0)
    start = response.body[: _ERROR_BYTES + margin]
    # Latin-1 maps each byte to one character, so invalid UTF-8 is unchanged.
    body = hidden(start.decode("latin-1"), secrets).encode("latin-1")
    if len(start) < len(response.body):
        body = body[: max(len(body) - margin, 0)]
    return Response(response.status, headers, body[:_ERROR_BYTES])


def retry_decision_of_error(error: Exception) -> RetryDecision | None:
    """Whether a request that raised this is sent again; ``None`` for a permanent failure."""
    if isinstance(error, StatusError):
        return retry_decision_of_status(error.response.status, error.response.headers)
    if isinstance(error, (aiohttp.ClientSSLError, aiohttp.InvalidURL, aiohttp.TooManyRedirects)):
        return None
    if isinstance(error, (aiohttp.ClientError, TimeoutError, ConnectionError)):
        return TRANSIENT
    return None


def http_failure(error: Exception) -> Failure:
    """Classify an exception of `HTTPClient.send` that the backend does not classify itself."""
    if isinstance(error, StatusError):
        if error.response.status == 401:
            return Failure.UNAUTHENTICATED
        if error.response.status == 403:
            return Failure.FORBIDDEN
        return Failure.BACKEND
    if isinstance(error, aiohttp.ClientConnectionError):
        return Failure.UNREACHABLE
    if isinstance(error, aiohttp.ClientError):
        return Failure.BACKEND
    return builtin_failure(error)
