"""The user's options of fsspec's HTTP filesystem, and sessions made by them.

fsspec binds its session to the loop of the first call, so a store makes its own, in the same way.
Knows aiohttp's and fsspec's options, and nothing of what is requested.
"""

from __future__ import annotations

import asyncio
import inspect
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

#: Options that the store's own policy and checks take the place of.
_OURS = ("timeout", "raise_for_status", "auto_decompress", TRUSTED_HOSTS)


def check_options(fs: AbstractFileSystem) -> None:
    """Refuse the options that aiohttp does not take, or that a store cannot keep to.

    Raises
    ------
    StorageOptionError
        Naming each of them.
    """
    if users_client(fs) is get_client:
        # Whoever makes other sessions may have other options.
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
        raise StorageOptionError(f"{TRUSTED_HOSTS} is a list of hosts, such as ['host:8443']")
    if fs.client_kwargs.get("connector") is not None:
        raise StorageOptionError(
            "client_kwargs: a connector belongs to one event loop, and a store is used from any; "
            "give get_client=..., which makes one for each session"
        )
    for options in (fs.client_kwargs, fs.kwargs):
        if options.get("auto_decompress") is False:
            raise StorageOptionError("auto_decompress=False: values are stored as they were given")
        for header in ("Range", "If-Range"):
            if header in _headers(options):
                raise StorageOptionError(f"headers: {header} is what a store says with each read")


def request_options(fs: AbstractFileSystem) -> dict[str, Any]:
    """The options that go with each request; ``headers`` among them, case-insensitive.

    Raises
    ------
    StorageOptionError
        When ``auth`` is of no use, or ``headers`` are none.
    """
    options = {name: value for name, value in fs.kwargs.items() if name not in _OURS}
    headers = _headers(options)
    auth = options.pop("auth", None)
    if auth is None and users_client(fs) is get_client:
        auth = fs.client_kwargs.get("auth")
    if auth is not None:
        if not isinstance(auth, aiohttp.BasicAuth):
            raise StorageOptionError(f"auth is an aiohttp.BasicAuth, got {type(auth).__name__}")
        if "Authorization" in headers:
            raise StorageOptionError("auth and an Authorization header exclude each other")
        headers["Authorization"] = auth.encode()
    return options | {"headers": headers, "raise_for_status": False}


def _headers(options: Mapping[str, Any]) -> CIMultiDict[str]:
    try:
        headers = CIMultiDict(options.get("headers") or {})
        if all(isinstance(value, str) for value in headers.values()):
            return headers
    except (TypeError, ValueError):
        pass
    # Without their text, which may be a secret.
    raise StorageOptionError("headers is a mapping of names to values, all of them str") from None


def make_session(fs: AbstractFileSystem) -> aiohttp.ClientSession:
    """A session for the running loop, as the filesystem would make one.

    Raises
    ------
    StorageOptionError
        When ``get_client`` makes something else, or takes its time.
    """
    options = dict(fs.client_kwargs)
    if users_client(fs) is get_client:
        options.pop("auth", None)
        # The process's limit for the service is the limit on connections.
        options["connector"] = aiohttp.TCPConnector(limit=0)
    session = _now(users_client(fs)(loop=asyncio.get_running_loop(), **options))
    if not isinstance(session, aiohttp.ClientSession):
        raise StorageOptionError(
            f"get_client makes an aiohttp.ClientSession, got {type(session).__name__}"
        )
    return session


def users_client(fs: AbstractFileSystem) -> Any:
    """The user's function, which may be wrapped where the filesystem is also below another."""
    return getattr(fs.get_client, "wrapped", fs.get_client)


def _now(making: Awaitable[Any]) -> Any:
    """The result of an awaitable that has nothing to wait for."""
    steps = making.__await__()
    try:
        next(steps)
    except StopIteration as made:
        return made.value
    close = getattr(steps, "close", None)
    if close is not None:
        close()
    raise StorageOptionError("get_client makes a session without waiting for anything")


def _parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self", "method", "str_or_url"}
