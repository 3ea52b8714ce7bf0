"""Options of fsspec's HTTP filesystem, and aiohttp sessions made from them.

fsspec binds its session to the event loop of the first call. A store makes sessions of the same
options for each loop.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import TYPE_CHECKING, Any

import aiohttp
from fsspec.implementations.http import get_client
from multidict import CIMultiDict

from ..._http.origins import TRUSTED_HOSTS
from ...errors import StorageOptionError
from ..option_names import AIOHTTP
from ..options import refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from fsspec import AbstractFileSystem

__all__ = ["check_options", "make_session", "request_options", "users_client"]

#: Options that are replaced by the store's own timeouts and checks.
_REPLACED = ("timeout", "raise_for_status", "auto_decompress", TRUSTED_HOSTS)


def check_options(fs: AbstractFileSystem) -> None:
    """Refuse options that aiohttp does not take, or that a store cannot support."""
    if users_client(fs) is get_client:
        # The user's own get_client may take other options.
        refuse_unknown(
            "aiohttp takes no client_kwargs",
            fs.client_kwargs,
            _parameters(aiohttp.ClientSession.__init__),
        )
        refuse_unknown(
            "aiohttp takes no storage option",
            fs.kwargs,
            _parameters(aiohttp.ClientSession._request) | {TRUSTED_HOSTS},
            AIOHTTP,
        )
    trusted = fs.storage_options.get(TRUSTED_HOSTS, ())
    if isinstance(trusted, str) or not all(isinstance(host, str) for host in trusted):
        raise StorageOptionError(f"{TRUSTED_HOSTS} must be a list of hosts, such as ['host:8443']")
    if fs.client_kwargs.get("connector") is not None:
        raise StorageOptionError(
            "client_kwargs: a connector belongs to one event loop, and a store is used from any "
            "loop; pass get_client=..., which makes a connector for each session"
        )
    for options in (fs.client_kwargs, fs.kwargs):
        if options.get("auto_decompress") is False:
            raise StorageOptionError("auto_decompress=False: the store always decodes values")
        for header in ("Range", "If-Range"):
            if header in _headers(options):
                raise StorageOptionError(f"headers: {header} is set by the store for each read")


def request_options(fs: AbstractFileSystem) -> dict[str, Any]:
    """The options of each request, including ``headers``, whose names are case-insensitive."""
    options = {name: value for name, value in fs.kwargs.items() if name not in _REPLACED}
    headers = _headers(options)
    auth = options.pop("auth", None)
    if auth is None and users_client(fs) is get_client:
        auth = fs.client_kwargs.get("auth")
    if auth is not None:
        if not isinstance(auth, aiohttp.BasicAuth):
            raise StorageOptionError(
                f"auth must be an aiohttp.BasicAuth, got {type(auth).__name__}"
            )
        if "Authorization" in headers:
            raise StorageOptionError(
                "auth and an Authorization header exclude each other: remove one of them"
            )
        headers["Authorization"] = auth.encode()
    return options | {"headers": headers, "raise_for_status": False}


def _headers(options: Mapping[str, Any]) -> CIMultiDict[str]:
    try:
        headers = CIMultiDict(options.get("headers") or {})
        # A value with a line break could add a header.
        if not any(re.search("[\r\n\0]", text) for item in headers.items() for text in item):
            return headers
    except (TypeError, ValueError):
        pass
    # Without their text, which may be a secret.
    raise StorageOptionError(
        "headers must be a mapping of str to str, without line breaks"
    ) from None


def make_session(fs: AbstractFileSystem) -> aiohttp.ClientSession:
    """Make a session for the running loop, as the filesystem would make it."""
    options = dict(fs.client_kwargs)
    if users_client(fs) is get_client:
        options.pop("auth", None)
        # The limiter of the service bounds the number of connections.
        options["connector"] = aiohttp.TCPConnector(limit=0)
    session = _completed(users_client(fs)(loop=asyncio.get_running_loop(), **options))
    if not isinstance(session, aiohttp.ClientSession):
        raise StorageOptionError(
            f"get_client must return an aiohttp.ClientSession, got {type(session).__name__}"
        )
    return session


def users_client(fs: AbstractFileSystem) -> Any:
    """The user's ``get_client``, unwrapped: below another filesystem it is wrapped by `guards`."""
    return getattr(fs.get_client, "wrapped", fs.get_client)


def _completed(awaitable: Awaitable[Any]) -> Any:
    """The result of an awaitable that never suspends."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as done:
        return done.value
    close = getattr(steps, "close", None)
    if close is not None:
        close()
    raise StorageOptionError("get_client must not await: it only makes a session")


def _parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self", "method", "str_or_url"}
