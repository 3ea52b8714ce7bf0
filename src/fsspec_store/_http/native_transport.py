"""The native transport: requests to one server with the HTTP/1.1 client of this package.

aiohttp needs three times the CPU time per request. Proxies, redirects, cookies, content encodings
and session options are not supported: aiohttp sends those requests. Does not know any service.
"""

from __future__ import annotations

import ssl
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from multidict import CIMultiDict

from .._runtime.loops import Shared
from .._runtime.threads import in_thread
from .http1.pool import DEFAULT_PORTS, Origin, Pool
from .messages import Expected, Request, Response, ResponseBody

if TYPE_CHECKING:
    from .retry_policy import RetryPolicy

__all__ = ["NativeTransport"]


class NativeTransport:
    """Sends requests to one server.

    Parameters
    ----------
    service : str
        URL of the server: scheme, host and port, in ASCII.
    threads : int
        Number of threads that transfer large bodies.
    """

    def __init__(self, service: str, policy: RetryPolicy, threads: int) -> None:
        parts = urlsplit(service)
        self._service = service
        self._host = parts.netloc
        self._address = (parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme])
        self._tls = parts.scheme == "https"
        self._origin: Origin | None = None if self._tls else Origin(*self._address, None)
        key = "native", policy.timeout, policy.connect_timeout, threads
        # One pool for all servers: it stores idle connections by origin.
        self._pools: Shared[Pool] = Shared(key, lambda: _Pools(policy, threads))

    async def send(self, request: Request) -> Response[ResponseBody]:
        """Send a request whose body is contiguous, and do not decode the response.

        Raises
        ------
        ValueError
            When a header contains a line break.
        ConnectionError, TimeoutError, OSError
            See `fsspec_store._http.http1.pool.Pool.request`.
        """
        body = None if request.body is None else request.body.in_one_piece()
        target = request.url[len(self._service) :]
        lines = [f"{name}: {value}\r\n" for name, value in request.headers.items()]
        if body is not None and "Content-Length" not in request.headers:
            lines.append(f"Content-Length: {body.nbytes}\r\n")
        head = f"{request.method} {target} HTTP/1.1\r\nHost: {self._host}\r\n{''.join(lines)}\r\n"
        if head.count("\n") != len(lines) + 3 or head.count("\r") != len(lines) + 3:
            raise ValueError("a request header contains a line break")
        if self._origin is None:
            # In a thread, because it reads the files of trusted certificates.
            self._origin = Origin(*self._address, await in_thread(_tls_context))
        is_head = request.method == "HEAD"
        expected = Expected(
            is_head,
            request.unread_above,
            request.max_bytes,
            request.into,
            reserve=request.reserve,
        )
        response = await self._pools.get().request(
            self._origin, head.encode("latin-1"), body, expected
        )
        return Response(response.status, CIMultiDict(response.headers), response.body)

    def close(self) -> None:
        """Close all connections. Later requests open new ones."""
        self._pools.close()

    async def aclose(self) -> None:
        """Close all connections, and wait until those of the running loop are closed."""
        await self._pools.aclose()


class _Pools:
    """Creates and closes the pools of a `fsspec_store._runtime.loops.PerLoop`."""

    aclose = staticmethod(Pool.aclose)
    close_now = staticmethod(Pool.close_now)

    def __init__(self, policy: RetryPolicy, threads: int) -> None:
        self._policy = policy
        self._threads = threads

    def make(self) -> Pool:
        """Create a pool for the running loop."""
        return Pool(
            timeout=self._policy.timeout,
            connect_timeout=self._policy.connect_timeout,
            threads=self._threads,
        )

    def forget(self, pool: Pool) -> None:
        """Do nothing in a forked child: the sockets belong to the parent."""


@cache
def _tls_context() -> ssl.SSLContext:
    """The TLS settings, equal to aiohttp's. One object, because it is part of a pool's keys."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
