"""The aiohttp sessions by which s3fs sends requests, prepared before the first of each.

aiobotocore makes a session with the first request that needs it. Knows its attributes, and nothing
of S3's calls.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp

from ...redaction import public_url
from ..sessions import without_own_repeats

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["http_sessions", "prepare_sessions"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: By which S3 states a bucket's region ("HeadBucket", response headers).
_REGION = "x-amz-bucket-region"


def http_sessions(fs: Any) -> Iterator[Any]:
    """The aiohttp sessions of an s3fs filesystem so far."""
    for http in _botocore_sessions(fs):
        yield from (getattr(http, "_sessions", None) or {}).values()


def prepare_sessions(fs: Any, response_class: type[aiohttp.ClientResponse]) -> None:
    """Prepare the sessions of a filesystem's clients, those included that are made later.

    They repeat nothing by themselves, and follow no redirect: aiohttp would send session tokens and
    keys of encrypted objects to any host.

    Parameters
    ----------
    fs : S3FileSystem
        Its clients so far.
    response_class : type
        Of the responses.
    """
    for http in _botocore_sessions(fs):
        made = getattr(http, "_sessions", None)
        if type(made) is dict:
            http._sessions = _Prepared(response_class)
            for proxy, session in made.items():
                http._sessions[proxy] = session


def _botocore_sessions(fs: Any) -> Iterator[Any]:
    creator = getattr(fs, "_s3creator", None)
    for client in (getattr(fs, "_s3", None), *getattr(creator, "_regions", {}).values()):
        yield getattr(getattr(client, "_endpoint", None), "http_session", None)


class _Prepared(dict[Any, Any]):
    """aiohttp sessions by their proxies."""

    def __init__(self, response_class: type[aiohttp.ClientResponse]) -> None:
        super().__init__()
        self._response_class = response_class

    def __setitem__(self, proxy: Any, session: Any) -> None:
        without_own_repeats(session)
        session._response_class = self._response_class
        session._request = partial(_within_s3, session._request)
        super().__setitem__(proxy, session)


async def _within_s3(request: Any, *args: Any, **options: Any) -> Any:
    """A response, unless it redirects to another server.

    botocore goes by the region that S3 states, and asks without end where none is stated.
    """
    response = await request(*args, **options)
    location = response.headers.get("Location")
    if response.status in _REDIRECTS and location and _REGION not in response.headers:
        response.close()
        raise aiohttp.InvalidURL(
            response.url.origin(),
            f"the service redirects to {public_url(location)}, which is not followed: give the "
            "server that is meant as endpoint_url",
        )
    return response
