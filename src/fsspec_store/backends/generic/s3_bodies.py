"""Sessions of s3fs below another filesystem: their bodies are bounded, and redirects not followed.

Knows the classes that bound s3fs's responses and a library's bodies.
"""

from __future__ import annotations

from ..s3.bounded import BoundedHTTPSession, S3Response, session_config
from .web_bodies import BoundedResponse

__all__ = ["SESSION_CONFIG"]


class _Response(BoundedResponse, S3Response):
    """A response of which documents, and values as well, have bounds."""


class _HTTPSession(BoundedHTTPSession):
    """An HTTP client of aiobotocore for values that s3fs reads by itself."""

    response_class = _Response


#: What a client's configuration says for its sessions to be these.
SESSION_CONFIG = session_config(_HTTPSession)
