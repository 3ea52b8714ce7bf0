"""Sessions of s3fs below another filesystem: bounded bodies, and no redirects."""

from __future__ import annotations

from ..s3.bounded import BoundedHTTPSession, S3Response, session_config
from .bounded_responses import BoundedResponse

__all__ = ["SESSION_CONFIG"]


class _Response(BoundedResponse, S3Response):
    """A response with bounds on both XML and values."""


class _HTTPSession(BoundedHTTPSession):
    """An HTTP client of aiobotocore for values that s3fs reads."""

    response_class = _Response


#: The client configuration that selects these sessions.
SESSION_CONFIG = session_config(_HTTPSession)
