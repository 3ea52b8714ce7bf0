"""Redirects, followed without sending the user's headers, cookies or credentials elsewhere.

On a redirect to another origin aiohttp drops ``Authorization`` and ``Cookie`` headers, but sends
all other headers, the session's headers and credentials, and cookies that have no domain.
"""

from __future__ import annotations

import base64
import netrc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from ..._http.aiohttp_sessions import without_own_retries
from ..._http.origins import SCHEMES, origin_of
from ..._runtime.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from multidict import CIMultiDict

    from ..._http.messages import Request
    from ..._http.origins import Origin

__all__ = ["DirectoryRedirectError", "Redirects"]

_STATUSES = frozenset({301, 302, 303, 307, 308})
_FOLLOWED = ("GET", "HEAD", "PROPFIND")
_MAX_REDIRECTS = 10
#: The user's options that apply to every host: proxy, TLS and parser settings. The only credentials
#: among them are the proxy's.
_FOR_ANY_HOST = (
    "max_field_size",
    "max_headers",
    "max_line_size",
    "proxy",
    "proxy_auth",
    "proxy_headers",
    "read_bufsize",
    "ssl",
    "ssl_context",
    "verify_ssl",
)


class DirectoryRedirectError(Exception):
    """The server redirects a path to the same path with a trailing ``/``: it is a directory."""


class Redirects:
    """Sends requests with the user's options and follows redirects.

    The user's headers and options are sent only to trusted origins. Any other origin receives the
    headers of the request itself (``Range``), cookies that servers set, by the rules of the
    session's cookie jar, and the credentials of its own netrc entry.

    Parameters
    ----------
    root : URL
        Root URL of the store, with the user name and password, if it has them.
    trusted : collection of Origin
        The trusted origins: the root's, and those the user named.
    headers : CIMultiDict
        The user's headers.
    options : mapping
        The user's further arguments for ``aiohttp.ClientSession.request``.
    """

    def __init__(
        self,
        root: URL,
        trusted: Collection[Origin],
        headers: CIMultiDict[str],
        options: Mapping[str, Any],
    ) -> None:
        self._user, self._password = root.user, root.password
        self._host = root.raw_host
        self._is_secure = root.scheme == "https"
        self._trusted = frozenset(trusted)
        self._headers = headers
        self._options = dict(options)
        self._follows = self._options.pop("allow_redirects", True)
        self._max = self._options.pop("max_redirects", _MAX_REDIRECTS)
        #: Added to the store's URLs, but not to the target of a redirect.
        self._params = self._options.pop("params", None)
        self._for_any_host = {
            name: value for name, value in self._options.items() if name in _FOR_ANY_HOST
        }

    def is_trusted(self, url: URL) -> bool:
        """Whether the origin of a URL receives the user's headers and options."""
        return origin_of(url) in self._trusted

    async def request(
        self,
        session: aiohttp.ClientSession,
        request: Request,
        timeouts: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """Send a request, and follow redirects of reads; return the response, body unread.

        This is a `fsspec_store._http.aiohttp_transport.Follow`.

        Raises
        ------
        DirectoryRedirectError
            When the path is a directory.
        aiohttp.TooManyRedirects, aiohttp.InvalidURL
            When there are too many redirects, or a target is not an http or https URL.
        """
        # `bodies` decodes, with size limits.
        common: dict[str, Any] = {
            "timeout": timeouts,
            "allow_redirects": False,
            "auto_decompress": False,
        }
        method, headers = request.method, request.headers
        url = URL(request.url, encoded=True)
        params = self._params
        history: list[aiohttp.ClientResponse] = []
        while True:
            if self.is_trusted(url):
                sent = self._headers.copy()
                sent.update(headers)
                response = await session.request(
                    method,
                    self._with_user(url),
                    headers=sent,
                    params=params,
                    data=request.body,
                    **self._options,
                    **common,
                )
            else:
                response = await self._request_elsewhere(session, method, url, headers, common)
            location = response.headers.get("Location")
            if not self._follows or response.status not in _STATUSES or location is None:
                return response
            response.release()
            history.append(response)
            if self._max and len(history) >= self._max:
                raise aiohttp.TooManyRedirects(history[0].request_info, tuple(history))
            target = _target(url, location, encoded=not session.requote_redirect_url)
            if url.path + "/" == target.path and method != "PROPFIND":
                raise DirectoryRedirectError
            if method not in _FOLLOWED:
                # The body of a write must reach only the server of the store.
                raise OSError(f"{url.origin()} redirects a {method} request, which is not followed")
            url, params = target, None

    async def _request_elsewhere(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        common: Mapping[str, Any],
    ) -> aiohttp.ClientResponse:
        """Send a request to another origin. Only the connection pool of the session is used."""
        options = {**self._for_any_host, **common}
        sent = dict(headers)
        if options.get("proxy") is None:
            # Absent before aiohttp 3.11.
            options["proxy"] = getattr(session, "_default_proxy", None)
            options["proxy_auth"] = getattr(session, "_default_proxy_auth", None)
        if session.trust_env:
            if options["proxy"] is None:
                options["proxy"] = await in_thread(_proxy_for, url)
            if self._is_for_netrc(url):
                credentials = await in_thread(_machine_credentials, url.raw_host or "")
                if credentials is not None:
                    sent["Authorization"] = credentials
        cookies = _cookies_of_servers(session.cookie_jar, url)
        if cookies:
            sent["Cookie"] = cookies
        bare = without_own_retries(
            aiohttp.ClientSession(
                connector=session.connector,
                connector_owner=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        )
        try:
            response = await bare.request(
                method, url, headers=sent, raise_for_status=False, **options
            )
        finally:
            bare.detach()
        if response.cookies:
            session.cookie_jar.update_cookies(response.cookies, response.url)
        return response

    def _is_for_netrc(self, url: URL) -> bool:
        """Whether to use netrc: for another host, and not over plain HTTP after HTTPS.

        The netrc entry of the store's host is only for the store's port and scheme.
        """
        is_safe = url.scheme == "https" or not self._is_secure
        return url.raw_host != self._host and url.raw_user is None and is_safe

    def _with_user(self, url: URL) -> URL:
        if self._user is None:
            # aiohttp rejects a URL with a user name together with an Authorization header.
            return url if url.raw_user is None else url.with_user(None)
        return url.with_user(self._user).with_password(self._password)


def _target(url: URL, location: str, *, encoded: bool) -> URL:
    try:
        target = url.with_user(None).join(URL(location, encoded=encoded))
        if target.raw_host and target.scheme in SCHEMES and target.port:
            return target
    except ValueError:
        pass
    # Without the text of the header, which may contain a secret.
    raise aiohttp.InvalidURL(f"{url.origin()} redirects to a URL that is neither http nor https")


def _cookies_of_servers(jar: aiohttp.abc.AbstractCookieJar, url: URL) -> str:
    """The ``Cookie`` header for another origin, without the user's cookies that have no domain."""
    given = {(cookie.key, cookie.value) for cookie in jar if not cookie["domain"]}
    cookies = jar.filter_cookies(url).values()
    return "; ".join(
        f"{cookie.key}={cookie.coded_value}"
        for cookie in cookies
        if (cookie.key, cookie.value) not in given
    )


def _proxy_for(url: URL) -> URL | None:
    """The proxy for a URL from ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``."""
    if proxy_bypass(url.host or ""):
        return None
    proxy = getproxies().get(url.scheme)
    return URL(proxy) if proxy else None


def _machine_credentials(host: str) -> str | None:
    """The ``Authorization`` header from the netrc entry of this host.

    The ``default`` entry is not used: a server could redirect to any host to get it.
    """
    try:
        found = netrc.netrc(os.environ.get("NETRC") or Path.home() / ".netrc").hosts.get(host)
    except (OSError, RuntimeError, netrc.NetrcParseError, UnicodeDecodeError):
        return None
    if found is None:
        return None
    pair = f"{found[0]}:{found[2] or ''}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
