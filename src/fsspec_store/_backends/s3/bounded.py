"""HTTP sessions for s3fs that limit the size of response bodies and follow no redirects.

botocore reads errors and XML documents as a whole, without a limit. Values are read in chunks.
"""

from __future__ import annotations

import inspect
import weakref
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession

from ..._core.redaction import public_url
from ..._http.aiohttp_bodies import Watchdog, read_up_to
from ..._http.aiohttp_framing import bound_framing
from ..._http.messages import BodyTooLongError
from ..._http.retry_policy import RetryPolicy
from .responses import MAX_DOCUMENT_BYTES, DocumentTooLongError
from .xml import MAX_ERROR_BYTES

__all__ = ["BoundedHTTPSession", "S3Response", "bound_session", "session_config"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: The header with a bucket's region (S3 API Reference, "HeadBucket").
_REGION = "x-amz-bucket-region"


class S3Response(aiohttp.ClientResponse):
    """A response whose `read` limits the size of the body."""

    #: Minimum rate of the body; ``None`` for no minimum.
    policy: RetryPolicy | None = None

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers with all values in UTF-8, the only encoding that botocore reads.

        Metadata of other writers may be in Latin-1 (RFC 9110, section 5.5).
        """
        return tuple([(name, _in_utf8(value)) for name, value in super().raw_headers])

    async def read(self) -> bytes:
        """Read the whole body, of at most `MAX_DOCUMENT_BYTES`."""
        if self._body is None:
            try:
                async with _watchdog(self.policy) as watchdog:
                    if watchdog is not None:
                        watchdog.body_follows(self)
                    body = await read_up_to(self, MAX_DOCUMENT_BYTES)
                # As in the native transport, only the status of a longer error body is used.
                is_too_long = self.status >= 300 and len(body) > MAX_ERROR_BYTES
                self._body = b"" if is_too_long else body
            except BaseException as error:
                self.close()
                if isinstance(error, BodyTooLongError):
                    raise DocumentTooLongError from None
                raise
        await self.wait_for_close()
        return self._body


def _in_utf8(value: bytes) -> bytes:
    try:
        value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1").encode()
    return value


class _Sessions(dict[Any, Any]):
    """aiobotocore's sessions by proxy, each passed to `bound_session` when it is stored."""

    def __init__(self, sessions: dict[Any, Any], response_class: type[S3Response]) -> None:
        super().__init__(sessions)
        self._response_class = response_class

    def __setitem__(self, proxy: Any, session: Any) -> None:
        super().__setitem__(proxy, bound_session(session, self._response_class))


class BoundedHTTPSession(AIOHTTPSession):  # type: ignore[misc, unused-ignore]
    """HTTP session of aiobotocore with responses of limited size."""

    response_class = S3Response
    _sessions: Any

    async def __aenter__(self) -> BoundedHTTPSession:
        await super().__aenter__()
        if isinstance(getattr(self, "_sessions", None), dict):
            self._sessions = _Sessions(self._sessions, self.response_class)
        return self


def bound_session(
    session: aiohttp.ClientSession, response_class: type[S3Response] = S3Response
) -> aiohttp.ClientSession:
    """Limit the response bodies of a session, and disable redirects. Returns the session."""
    session._response_class = response_class
    bound_framing(session)
    # Called by ``session.request()``. The weak reference avoids a reference cycle.
    session._request = partial(_request, weakref.ref(session))  # type: ignore[method-assign]
    return session


async def _request(
    of: weakref.ref[aiohttp.ClientSession], *args: Any, **options: Any
) -> aiohttp.ClientResponse:
    """Send a request, and raise for a redirect to another server.

    aiohttp would send session tokens and encryption keys there. Only a redirect to another region
    is returned: botocore follows the region that S3 states, and never stops where none is stated.
    """
    session = of()
    assert session is not None
    options["allow_redirects"] = False
    read = session.timeout.sock_read
    # No minimum rate for uploads: their duration depends on the size and on the service.
    policy = None if read is None or options.get("data") else RetryPolicy(read)
    async with _watchdog(policy, session):
        response = await type(session)._request(session, *args, **options)
    if isinstance(response, S3Response):
        response.policy = policy
    location = response.headers.get("Location")
    if response.status in _REDIRECTS and location and _REGION not in response.headers:
        response.close()
        raise aiohttp.InvalidURL(
            f"the service redirects to {public_url(location)}, which is not followed: set "
            "endpoint_url to the URL of the right server"
        )
    return response


def _watchdog(
    policy: RetryPolicy | None, session: aiohttp.ClientSession | None = None
) -> AbstractAsyncContextManager[Watchdog | None]:
    return nullcontext() if policy is None else Watchdog(policy, session)


def session_config(http_session: type[BoundedHTTPSession] = BoundedHTTPSession) -> dict[str, Any]:
    """Options of ``AioConfig`` by which clients use `http_session`.

    Older releases of aiobotocore have no such option: their sessions are passed to `bound_session`
    before each request.
    """
    if "http_session_cls" in inspect.signature(AioConfig.__init__).parameters:
        return {"http_session_cls": http_session}
    return {}
