"""The native transport: requests to one server over HTTP/1.1 connections of this package.

aiohttp takes three times as long from a request to the socket and back. Proxies, redirects,
cookies, content encodings and options of a session are not supported: aiohttp sends those requests.
Knows `fsspec_store._http.http1`, and no service.
"""

from __future__ import annotations

import ssl
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .._runtime.sharing import Shared
from .._runtime.threads import in_thread
from .http1.connection import longest_control
from .http1.pool import DEFAULT_PORTS, Origin, Pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .http1.connection import Longest, Response
    from .http1.pool import Stream
    from .retry_policy import RetryPolicy

__all__ = ["NativeClient"]


class NativeClient:
    """Sends requests to one server.

    Parameters
    ----------
    service : str
        Its URL: scheme, host and port, in ASCII.
    policy : RetryPolicy
        Timeouts.
    """

    def __init__(self, service: str, policy: RetryPolicy) -> None:
        parts = urlsplit(service)
        self._service = service
        self._host = parts.netloc
        self._address = (parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme])
        self._tls = parts.scheme == "https"
        self._origin: Origin | None = None if self._tls else Origin(*self._address, None)
        times = policy.timeout, policy.connect_timeout
        # Of all servers: a pool keeps their connections apart.
        self._pools: Shared[Pool] = Shared(("native", *times), lambda: _Pools(*times))

    async def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: memoryview | None = None,
        *,
        whole_up_to: int,
        into: memoryview | None = None,
        longest: Longest = longest_control,
    ) -> tuple[Response, Stream | None]:
        """Send a request, and await its response.

        Parameters
        ----------
        method, url : str
            The URL is below the service's, and quoted.
        headers : mapping
            All of them but ``Host``, and ``Content-Length``, which may be left out.
        body : memoryview, optional
            Sent with it.
        whole_up_to, into, longest
            As of `fsspec_store._http.http1.pool.Pool.ask`, which says what is returned and raised
            as well.

        Raises
        ------
        ValueError
            When a header holds a line break.
        """
        target = url[len(self._service) :]
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        if body is not None and "Content-Length" not in headers:
            lines.append(f"Content-Length: {body.nbytes}\r\n")
        head = f"{method} {target} HTTP/1.1\r\nHost: {self._host}\r\n{''.join(lines)}\r\n"
        if head.count("\n") != len(lines) + 3 or head.count("\r") != len(lines) + 3:
            raise ValueError("a header of a request holds a line break")
        if self._origin is None:
            # It reads files.
            self._origin = Origin(*self._address, await in_thread(_tls_context))
        return await self._pools.get().ask(
            self._origin,
            head.encode("latin-1"),
            body,
            bodiless=method == "HEAD",
            whole_up_to=whole_up_to,
            into=into,
            longest=longest,
        )

    def close(self) -> None:
        """Close the connections; new ones are made when requests follow."""
        self._pools.close()

    async def aclose(self) -> None:
        """As `close`, awaiting the running loop's."""
        await self._pools.aclose()


class _Pools:
    """Makes and ends the pools of a `fsspec_store._runtime.loops.PerLoop`."""

    def __init__(self, timeout: float, connect_timeout: float) -> None:
        self._times = (timeout, connect_timeout)

    def make(self) -> Pool:
        """Make one."""
        timeout, connect_timeout = self._times
        return Pool(timeout=timeout, connect_timeout=connect_timeout)

    async def aclose(self, pool: Pool) -> None:
        """Close one, and let the loop see its connections off."""
        await pool.aclose()

    def close_now(self, pool: Pool) -> None:
        """Close one at once."""
        pool.close_now()

    def forget(self, pool: Pool) -> None:
        """Silence one in a forked child: its sockets do nothing of their own accord."""


@cache
def _tls_context() -> ssl.SSLContext:
    """How servers are trusted, as aiohttp does: one for all, so that connections are shared."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
