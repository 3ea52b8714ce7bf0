"""Guards for services below another filesystem: no secrets to other origins, and bounded bodies.

Their libraries (fsspec's HTTP filesystem, s3fs, gcsfs) send the requests of such services. On a
redirect aiohttp sends all headers but ``Authorization`` and ``Cookie``, and the session's headers
and credentials.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from fsspec import AbstractFileSystem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

__all__ = ["guard_services", "is_on_web"]

#: Headers of the request itself, which no user configures.
_REQUEST_HEADERS = frozenset({"accept-encoding", "range", "if-range", "if-match", "if-none-match"})


def guard_services(fs: AbstractFileSystem) -> None:
    """Bound the bodies of the services below, and keep their options from other origins.

    A ``cookie_jar`` of the user is not changed: its cookies without a domain are sent to any host.
    """
    for kind, below in _services(fs, set()):
        _GUARDS[kind](below)


def is_on_web(fs: AbstractFileSystem) -> bool:
    """Whether a filesystem is fsspec's HTTP filesystem or uses it: its paths may be URLs."""
    return any(kind == _WEB for kind, _ in _services(fs, set()))


def _guard_web(web: Any) -> None:
    if isinstance(web.get_client, _GetClient):
        return
    # Imported now: during an import at the first request another thread may fork.
    from . import bounded_responses  # noqa: F401

    trusted = web.kwargs.pop("trusted_redirect_hosts", ())
    web.get_client = _GetClient(web.get_client, "cookie_jar" in web.client_kwargs, trusted)
    if web._session is not None:
        web.get_client.prepare(web._session)


def _guard_s3(s3: Any) -> None:
    from .bounded_s3 import SESSION_CONFIG

    # For future clients. A copy: the dictionary is the user's.
    s3.config_kwargs = {**SESSION_CONFIG, **(s3.config_kwargs or {})}


def _guard_gcs(gcs: Any) -> None:
    from .bounded_responses import BoundedResponse

    if gcs.session_kwargs.get("response_class") is BoundedResponse:
        return
    trace = _trace(())
    traces = [*(gcs.session_kwargs.get("trace_configs") or ()), trace]
    # A copy: the dictionary is the user's.
    gcs.session_kwargs = {
        **gcs.session_kwargs,
        "response_class": BoundedResponse,
        "trace_configs": traces,
    }
    if gcs._session is not None:
        trace.freeze()
        gcs._session._response_class = BoundedResponse
        gcs._session.trace_configs.append(trace)


_WEB = "fsspec.implementations.http"
#: Guards by the module of the filesystem's class.
_GUARDS = {_WEB: _guard_web, "gcsfs.core": _guard_gcs, "s3fs.core": _guard_s3}


def _services(fs: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """The services among a filesystem and those below it, each with its key in `_GUARDS`."""
    if id(fs) in seen or not isinstance(fs, AbstractFileSystem):
        return
    seen.add(id(fs))
    kind = next((cls.__module__ for cls in type(fs).__mro__ if cls.__module__ in _GUARDS), None)
    if kind is not None:
        yield kind, fs
        return
    # Without vars(): caching layers return the attributes of the filesystem below.
    own = object.__getattribute__(fs, "__dict__")
    fss = own.get("fss")
    opened = getattr(own.get("fo"), "fs", None)
    for below in (own.get("fs"), opened, *(fss.values() if isinstance(fss, dict) else ())):
        yield from _services(below, seen)


class _GetClient:
    """A ``get_client`` that calls the user's and guards the session."""

    def __init__(
        self, wrapped: Callable[..., Awaitable[Any]], has_jar: bool, trusted: Collection[str]
    ) -> None:
        self.wrapped = wrapped
        #: Whether the cookie jar is the user's.
        self._has_jar = has_jar
        #: Other hosts that receive the user's headers and credentials.
        self._trusted = trusted

    async def __call__(self, **options: Any) -> Any:
        session = await self.wrapped(**options)
        self.prepare(session)
        return session

    def prepare(self, session: Any) -> None:
        """Bound the session's bodies, and turn its credentials and cookies into headers.

        `_drop_secrets` removes headers on a redirect.
        """
        from .bounded_responses import BoundedResponse

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
        trace = _trace(self._trusted)
        trace.freeze()
        session.trace_configs.append(trace)


def _trace(trusted: Collection[str]) -> Any:
    import aiohttp

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(partial(_drop_secrets, trusted))
    return trace


async def _drop_secrets(
    trusted: Collection[str], session: Any, context: Any, redirect: Any
) -> None:
    """Drop the headers of a request that is redirected to another origin.

    The headers of a trace are those that the next request is sent with.
    """
    from yarl import URL

    from ..._http.origins import origin_of, trusted_origins

    try:
        target = redirect.url.join(URL(redirect.response.headers.get("Location", "")))
    except ValueError:
        # aiohttp raises an error for this URL.
        return
    if origin_of(target) not in trusted_origins(redirect.url, trusted):
        for name in set(redirect.headers):
            if name.lower() not in _REQUEST_HEADERS:
                redirect.headers.popall(name, None)
