"""A pool of keep-alive connections for one event loop.

It does not limit the number of connections: the limiter bounds the requests in flight.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple, cast

from aiohappyeyeballs import start_connection

from ..messages import CONTROL_RESPONSE, Expected, LargeBody, Response, ResponseBody
from .channels import Channel, PlainChannel, TLSChannel
from .connection import Connection
from .handshakes import open_tls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohappyeyeballs import AddrInfoType

__all__ = ["DEFAULT_PORTS", "Origin", "Pool", "Stream"]

#: By the scheme of a URL (RFC 9110, section 4.2).
DEFAULT_PORTS = {"http": 80, "https": 443}

_IDLE_SECONDS = 15.0
#: Seconds after which the next address is tried too (RFC 8305, section 5).
_NEXT_ADDRESS_SECONDS = 0.25
#: Maximum number of characters of an invalid host name that an error message quotes.
_MAX_QUOTED = 80


class Origin(NamedTuple):
    """Address of a server."""

    #: Name or address, without brackets.
    host: str
    port: int
    #: ``None`` for plain HTTP.
    tls: ssl.SSLContext | None


class Pool:
    """The connections of the running event loop.

    Parameters
    ----------
    threads : int
        Number of threads that make TLS handshakes and transfer large bodies, ``>= 1``.
    idle_timeout : float, optional
        Seconds after which an idle connection is closed. Many servers close theirs after 20 s or
        more, and a request on a connection that is being closed has to be sent again.
    """

    def __init__(
        self,
        *,
        timeout: float,
        connect_timeout: float,
        threads: int,
        idle_timeout: float = _IDLE_SECONDS,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads = threads
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        #: With the time at which each was released, oldest first.
        self._idle: dict[Origin, list[tuple[float, Connection]]] = {}
        self._all: set[Connection] = set()
        #: Of the last connection to each origin with a response.
        self._sessions: dict[Origin, ssl.SSLSession | None] = {}
        #: Of connections without a response. Their session is read when no thread uses them.
        self._channels: dict[Connection, TLSChannel] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(
        self,
        origin: Origin,
        head: bytes,
        body: memoryview | None = None,
        expected: Expected = CONTROL_RESPONSE,
    ) -> Response[ResponseBody]:
        """Send a request and receive its response; for the parameters see `Connection.request`.

        Raises
        ------
        ConnectionError
            When no connection can be made, or it breaks.
        ssl.SSLError
            When the certificate is not trusted, or there is no common version of TLS.
        OSError
            When the host name is invalid.
        """
        idle = self._idle.get(origin)
        while idle:
            # The one that was used last, so that surplus ones expire.
            since, connection = idle.pop()
            if connection.is_open and self._loop.time() - since < self._idle_timeout:
                break
            self.drop(connection)
        else:
            connection = await self._connect(origin)
        try:
            response = await connection.request(head, body, expected)
        except BaseException:
            self.drop(connection)
            raise
        if connection in self._channels:
            self._sessions[origin] = self._channels.pop(connection).session
        if response.body is None:
            large = LargeBody(Stream(self, origin, connection), connection.unread)
            return Response(response.status, response.headers, large)
        if connection.reusable:
            self.release(origin, connection)
        else:
            self.drop(connection)
        return cast("Response[ResponseBody]", response)

    def release(self, origin: Origin, connection: Connection) -> None:
        """Return a connection to the pool."""
        if self._closed:
            connection.abort()
            return
        self._idle.setdefault(origin, []).append((self._loop.time(), connection))
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._idle_timeout, self._close_expired)

    def drop(self, connection: Connection) -> None:
        """Close a connection and forget it."""
        connection.abort()
        self._all.discard(connection)
        self._channels.pop(connection, None)

    async def aclose(self) -> None:
        """Close all connections, and wait until they are closed."""
        self._close()
        # The loop closes aborted transports in its next round.
        await asyncio.sleep(0)

    def close_now(self) -> None:
        """Close all connections without awaiting."""
        if self._loop.is_running():
            self._close()
            return
        for connection in self._forget_all():
            # An abort would be completed by the loop, which may never run again.
            connection.close_without_loop()

    def _close(self) -> None:
        for connection in self._forget_all():
            connection.abort()

    def _forget_all(self) -> set[Connection]:
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._idle.clear()
        self._channels.clear()
        connections, self._all = self._all, set()
        return connections

    async def _connect(self, origin: Origin) -> Connection:
        self._check_open()
        try:
            async with asyncio.timeout(self._connect_timeout):
                # By aiohappyeyeballs: asyncio leaks sockets when a connect is cancelled.
                sock = await start_connection(
                    await self._addresses(origin),
                    happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS,
                    loop=self._loop,
                )
                channel = await self._open_channel(origin, sock)
        except ssl.SSLError:
            # Not a ConnectionError: the failure is permanent.
            raise
        except TimeoutError as error:
            raise TimeoutError(
                f"no connection to {_address(origin)} in {self._connect_timeout:g} s"
            ) from error
        except OSError as error:
            raise ConnectionError(f"cannot connect to {_address(origin)}: {error}") from error
        except UnicodeError as error:
            # For example a label of more than 63 characters.
            raise OSError(f"{origin.host[:_MAX_QUOTED]!r} is not a valid host name") from error
        if self._closed:
            sock.close()
            self._check_open()
        connection = Connection(self._loop, channel, self._timeout, self._threads)
        self._all.add(connection)
        if isinstance(channel, TLSChannel):
            self._channels[connection] = channel
        return connection

    async def _open_channel(self, origin: Origin, sock: socket.socket) -> Channel:
        # A request is one or two writes, and each is to be sent at once.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        if origin.tls is None:
            return PlainChannel(sock)
        session = self._sessions.get(origin)
        return await open_tls(sock, origin.tls, origin.host, session, self._threads)

    async def _addresses(self, origin: Origin) -> Sequence[AddrInfoType]:
        try:
            # An address needs no lookup in the resolver's threads, which may all be busy.
            return socket.getaddrinfo(
                *origin[:2], type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
        except socket.gaierror:
            return await self._loop.getaddrinfo(*origin[:2], type=socket.SOCK_STREAM)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the store was closed while this request was under way")

    def _close_expired(self) -> None:
        """Close the connections that were idle for longer than the timeout."""
        self._sweeper = None
        now = self._loop.time()
        for origin, idle in list(self._idle.items()):
            fresh = [entry for entry in idle if now - entry[0] < self._idle_timeout]
            for _, connection in idle[: len(idle) - len(fresh)]:
                self.drop(connection)
            if fresh:
                self._idle[origin] = fresh
            else:
                del self._idle[origin]
        if self._idle:
            self._sweeper = self._loop.call_later(self._idle_timeout, self._close_expired)


class Stream:
    """An unread body on a connection of a pool."""

    def __init__(self, pool: Pool, origin: Origin, connection: Connection) -> None:
        self._pool = pool
        self._origin = origin
        self._connection = connection
        self._open = True

    async def read_into(self, sink: memoryview) -> None:
        """Fill ``sink`` with the next bytes of the body, as `Connection.read_into` does."""
        await self._connection.read_into(sink)

    def close(self) -> None:
        """Release the connection if the body was read to its end; close it otherwise."""
        if self._open:
            self._open = False
            if self._connection.is_open:
                self._pool.release(self._origin, self._connection)
            else:
                self._pool.drop(self._connection)


def _address(origin: Origin) -> str:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return f"{host}:{origin.port}"
