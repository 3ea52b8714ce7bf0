"""Web filesystems below another, whose requests are fsspec's: secrets stay, and bodies have bounds.

aiohttp follows redirects by itself, with all headers but ``Authorization`` and ``Cookie``, and with
what a session has for every host. Knows fsspec's HTTP filesystem and aiohttp's sessions.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from fsspec import AbstractFileSystem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

__all__ = ["guard_web", "is_on_web"]

#: What belongs to a request, and not to who sends it.
_OF_REQUEST = frozenset({"accept-encoding", "range", "if-range", "if-match", "if-none-match"})


def guard_web(fs: AbstractFileSystem) -> None:
    """Have the web filesystems below this one bound bodies, and send no option to another origin.

    The user's ``cookie_jar`` is left as it is: cookies in it that have no domain go to any host.

    Parameters
    ----------
    fs : AbstractFileSystem
        A caching layer, references, or any other with filesystems of its own.
    """
    for web in _web_filesystems(fs, set()):
        if not isinstance(web.get_client, _Client):
            # Now, and not with the first request, during which another thread may fork.
            from . import web_bodies  # noqa: F401

            trusted = web.kwargs.pop("trusted_redirect_hosts", ())
            web.get_client = _Client(web.get_client, "cookie_jar" in web.client_kwargs, trusted)
            if web._session is not None:
                web.get_client.prepare(web._session)


def is_on_web(fs: AbstractFileSystem) -> bool:
    """Whether a filesystem is one of web servers, or on one: its paths may be URLs."""
    return any(True for _ in _web_filesystems(fs, set()))


def _web_filesystems(fs: Any, seen: set[int]) -> Iterator[Any]:
    if id(fs) in seen or not isinstance(fs, AbstractFileSystem):
        return
    seen.add(id(fs))
    if any(cls.__module__ == "fsspec.implementations.http" for cls in type(fs).__mro__):
        yield fs
        return
    # Not by vars(): caching layers answer with the attributes of the filesystem below.
    own = object.__getattribute__(fs, "__dict__")
    fss = own.get("fss")
    opened = getattr(own.get("fo"), "fs", None)
    for below in (own.get("fs"), opened, *(fss.values() if isinstance(fss, dict) else ())):
        yield from _web_filesystems(below, seen)


class _Client:
    """Makes sessions as the user's ``get_client`` does, and prepares them.

    Parameters
    ----------
    make : callable
        The user's.
    has_jar : bool
        Whether the cookies are the user's own.
    trusted : collection of str
        Other hosts that get what the user configured.

    Attributes
    ----------
    wrapped : callable
        The user's.
    """

    def __init__(
        self, make: Callable[..., Awaitable[Any]], has_jar: bool, trusted: Collection[str]
    ) -> None:
        self.wrapped = make
        self._has_jar = has_jar
        self._trusted = trusted

    async def __call__(self, **options: Any) -> Any:
        session = await self.wrapped(**options)
        self.prepare(session)
        return session

    def prepare(self, session: Any) -> None:
        """Bound its bodies; make what it has for all hosts headers, dropped at another origin."""
        import aiohttp

        from .web_bodies import BoundedResponse

        session._response_class = BoundedResponse
        if session.auth is not None and "Authorization" not in session.headers:
            session.headers["Authorization"] = session.auth.encode()
            session._default_auth = None
        if not self._has_jar:
            shared = [cookie for cookie in session.cookie_jar if not cookie["domain"]]
            session.cookie_jar.clear(lambda cookie: not cookie["domain"])
            given = [session.headers["Cookie"]] if "Cookie" in session.headers else []
            pairs = [*given, *(f"{cookie.key}={cookie.coded_value}" for cookie in shared)]
            if pairs:
                session.headers["Cookie"] = "; ".join(pairs)
        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(partial(_drop_secrets, self._trusted))
        trace.freeze()
        session.trace_configs.append(trace)


async def _drop_secrets(
    trusted: Collection[str], session: Any, context: Any, redirect: Any
) -> None:
    """Drop the headers of a request that is redirected to another origin.

    The headers of a trace are those that the next request is sent with.
    """
    from yarl import URL

    from ..origins import origin_of, trusted_origins

    try:
        target = redirect.url.join(URL(redirect.response.headers.get("Location", "")))
    except ValueError:
        # aiohttp refuses it.
        return
    if origin_of(target) not in trusted_origins(redirect.url, trusted):
        for name in set(redirect.headers):
            if name.lower() not in _OF_REQUEST:
                redirect.headers.popall(name, None)
