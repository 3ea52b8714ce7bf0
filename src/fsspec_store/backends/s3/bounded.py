"""s3fs's HTTP sessions, made to read no body without a bound and to follow no redirect.

botocore reads errors and documents as a whole, whatever their size; values are read in pieces.
Knows aiobotocore's sessions, and no call.
"""

from __future__ import annotations

import inspect
import weakref
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession

from ...redaction import public_url
from ...retries import RetryPolicy
from ..framing import bound_framing
from ..streams import Watchdog, read_up_to
from ..wire.connection import BodyTooLongError
from .answers import MAX_DOCUMENT_BYTES, DocumentTooLongError
from .documents import MAX_ERROR_BYTES

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

__all__ = ["BoundedHTTPSession", "S3Response", "bounded", "session_config"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: By which S3 states a bucket's region ("HeadBucket", response headers).
_REGION = "x-amz-bucket-region"


class S3Response(aiohttp.ClientResponse):
    """A response whose body is read as a whole only up to a bound."""

    #: Of the request, where the body has to keep to its minimum rate.
    policy: RetryPolicy | None = None

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers as botocore reads them, which fails on values that are not in UTF-8.

        Metadata of other writers may be in Latin-1 (RFC 9110, section 5.5).
        """
        return tuple([(name, _in_utf8(value)) for name, value in super().raw_headers])

    async def read(self) -> bytes:
        """Read the whole body."""
        if self._body is None:
            try:
                async with _watched(self.policy) as watchdog:
                    if watchdog is not None:
                        watchdog.body_follows(self)
                    body = await read_up_to(self, MAX_DOCUMENT_BYTES)
                # As by the native transport: a longer one says no more than its status.
                is_page = self.status >= 300 and len(body) > MAX_ERROR_BYTES
                self._body = b"" if is_page else body
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
    """Sessions by proxy, each bounded as soon as it is made."""

    def __init__(self, sessions: dict[Any, Any], response_class: type[S3Response]) -> None:
        super().__init__(sessions)
        self._response_class = response_class

    def __setitem__(self, proxy: Any, session: Any) -> None:
        super().__setitem__(proxy, bounded(session, self._response_class))


class BoundedHTTPSession(AIOHTTPSession):  # type: ignore[misc, unused-ignore]
    """An HTTP client of aiobotocore whose responses are bounded."""

    response_class = S3Response
    _sessions: Any

    async def __aenter__(self) -> BoundedHTTPSession:
        await super().__aenter__()
        if isinstance(getattr(self, "_sessions", None), dict):
            self._sessions = _Sessions(self._sessions, self.response_class)
        return self


def bounded(
    session: aiohttp.ClientSession, response_class: type[S3Response] = S3Response
) -> aiohttp.ClientSession:
    """The session, whose responses are bounded from now on, and which follows no redirects."""
    session._response_class = response_class
    bound_framing(session)
    # What ``request()`` calls. The session does not hold itself.
    session._request = partial(_request, weakref.ref(session))  # type: ignore[method-assign]
    return session


async def _request(
    of: weakref.ref[aiohttp.ClientSession], *args: Any, **options: Any
) -> aiohttp.ClientResponse:
    """A response, unless it redirects to another server.

    aiohttp would send session tokens and keys of encrypted objects there. botocore goes by the
    region that S3 states, and asks without end where none is stated.
    """
    session = of()
    assert session is not None
    options["allow_redirects"] = False
    read = session.timeout.sock_read
    # The time of an upload depends on its size, and of its completion on the service.
    policy = None if read is None or options.get("data") else RetryPolicy(read)
    async with _watched(policy, session):
        response = await type(session)._request(session, *args, **options)
    if isinstance(response, S3Response):
        response.policy = policy
    location = response.headers.get("Location")
    if response.status in _REDIRECTS and location and _REGION not in response.headers:
        response.close()
        raise aiohttp.InvalidURL(
            f"the service redirects to {public_url(location)}, which is not followed: give the "
            "server that is meant as endpoint_url"
        )
    return response


def _watched(
    policy: RetryPolicy | None, session: aiohttp.ClientSession | None = None
) -> AbstractAsyncContextManager[Watchdog | None]:
    return nullcontext() if policy is None else Watchdog(policy, session)


def session_config(http_session: type[BoundedHTTPSession] = BoundedHTTPSession) -> dict[str, Any]:
    """What a client's configuration says for its sessions to be bounded.

    Older releases of aiobotocore cannot be told: sessions are bounded after their first request.
    """
    if "http_session_cls" in inspect.signature(AioConfig.__init__).parameters:
        return {"http_session_cls": http_session}
    return {}
