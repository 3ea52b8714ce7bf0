"""Connections to servers, kept for the next request.

A pool belongs to one event loop. It makes as many connections as there are requests at once: how
many that may be is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, NamedTuple

from .connecting import connect
from .connection import Connection, longest_control
from .transports import end

if TYPE_CHECKING:
    from .connection import Longest, Response, Watch

__all__ = ["DEFAULT_PORTS", "Origin", "Pool", "Stream"]

#: By the scheme of a URL (RFC 9110, section 4.2).
DEFAULT_PORTS = {"http": 80, "https": 443}

_KEPT_SECONDS = 15.0
#: Of a name that is none, this much is repeated in an error.
_SHOWN = 80


class Origin(NamedTuple):
    """Where a server listens.

    Attributes
    ----------
    host : str
        Name or address, without brackets.
    port : int
        Its port.
    tls : ssl.SSLContext or None
        ``None`` for plain HTTP.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None


class Pool:
    """Connections of one event loop.

    Parameters
    ----------
    timeout : float
        Seconds to wait for a response, and within one for the next bytes.
    connect_timeout : float
        Seconds to wait for a connection.
    kept : float, optional
        Seconds after which a connection that nobody used is closed: many servers do so after 20 or
        more, and a request that meets a closing connection has to be sent again.
    """

    def __init__(
        self, *, timeout: float, connect_timeout: float, kept: float = _KEPT_SECONDS
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._kept_seconds = kept
        #: With the time at which each was given back, oldest first.
        self._idle: dict[Origin, list[tuple[float, Connection]]] = {}
        self._all: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def ask(
        self,
        origin: Origin,
        head: bytes,
        body: memoryview | None = None,
        *,
        bodiless: bool = False,
        whole_up_to: int,
        into: memoryview | None = None,
        longest: Longest = longest_control,
        watch: Watch | None = None,
    ) -> tuple[Response, Stream | None]:
        """Send a request, and await its response; parameters as of `Connection.ask`.

        Returns
        -------
        response : Response
            What the server answered.
        stream : Stream or None
            The body, where it is longer than ``whole_up_to``; to be closed.

        Raises
        ------
        ConnectionError
            When no connection can be made, or it breaks.
        TimeoutError
            When the server takes too long.
        ssl.SSLError
            When the server is not the one it should be, or speaks no TLS that is spoken here.
        OSError
            When its name cannot be one.
        RuntimeError
            When the pool was closed.
        """
        connection = self._kept(origin) or await self._connect(origin)
        try:
            response = await connection.ask(
                head,
                body,
                bodiless=bodiless,
                whole_up_to=whole_up_to,
                into=into,
                longest=longest,
                watch=watch,
            )
        except BaseException:
            self.drop(connection)
            raise
        if response.body is None:
            return response, Stream(self, origin, connection)
        if connection.is_open:
            self.give_back(origin, connection)
        else:
            self.drop(connection)
        return response, None

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """Keep a connection for the next request."""
        if self._closed:
            connection.abort()
            return
        self._idle.setdefault(origin, []).append((self._loop.time(), connection))
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._kept_seconds, self._sweep)

    def drop(self, connection: Connection) -> None:
        """Close a connection."""
        connection.abort()
        self._all.discard(connection)

    async def aclose(self) -> None:
        """Close all connections, and let the loop see them off."""
        self._close()
        # A transport that is aborted ends with the loop's next round.
        await asyncio.sleep(0)

    def close_now(self) -> None:
        """Close all connections from where nothing can be awaited."""
        if self._loop.is_running():
            self._close()
            return
        for connection in self._forget_all():
            # Its own way would leave the end to the loop, which may never run again.
            end(connection.transport)

    def _close(self) -> None:
        for connection in self._forget_all():
            connection.abort()

    def _forget_all(self) -> set[Connection]:
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._idle.clear()
        connections, self._all = self._all, set()
        return connections

    def _kept(self, origin: Origin) -> Connection | None:
        """The connection that was used last, so that the others may go."""
        kept = self._idle.get(origin)
        while kept:
            since, connection = kept.pop()
            if connection.is_open and self._loop.time() - since < self._kept_seconds:
                return connection
            self.drop(connection)
        return None

    async def _connect(self, origin: Origin) -> Connection:
        self._check_open()
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._loop, self._timeout),
                    sock=await connect(origin.host, origin.port),
                    ssl=origin.tls,
                    server_hostname=None if origin.tls is None else origin.host,
                )
        except ssl.SSLError:
            # The next attempt would fare no better.
            raise
        except TimeoutError as error:
            raise TimeoutError(
                f"no connection to {_named(origin)} in {self._connect_timeout:g} s"
            ) from error
        except OSError as error:
            raise ConnectionError(f"cannot connect to {_named(origin)}: {error}") from error
        except UnicodeError as error:
            # A label of more than 63 characters, for example.
            raise OSError(f"{origin.host[:_SHOWN]!r} is no name of a server") from error
        if self._closed:
            connection.abort()
            self._check_open()
        self._all.add(connection)
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the store was closed while this request was under way")

    def _sweep(self) -> None:
        """Close what nobody used for a while."""
        self._sweeper = None
        now = self._loop.time()
        for origin, kept in list(self._idle.items()):
            stays = [entry for entry in kept if now - entry[0] < self._kept_seconds]
            for _, connection in kept[: len(kept) - len(stays)]:
                self.drop(connection)
            if stays:
                self._idle[origin] = stays
            else:
                del self._idle[origin]
        if self._idle:
            self._sweeper = self._loop.call_later(self._kept_seconds, self._sweep)


class Stream:
    """The rest of a response: its body, read piece by piece.

    Parameters
    ----------
    pool : Pool
        Where the connection goes back to.
    origin : Origin
        Its server.
    connection : Connection
        With an unread body.
    """

    def __init__(self, pool: Pool, origin: Origin, connection: Connection) -> None:
        self._pool = pool
        self._origin = origin
        self._connection = connection
        self._open = True

    async def read_into(self, sink: memoryview) -> None:
        """Fill a piece of memory with the next bytes of the body; see `Connection.read_into`."""
        await self._connection.read_into(sink)

    def close(self) -> None:
        """Let the connection go: back to the pool when the body was read to its end."""
        if self._open:
            self._open = False
            if self._connection.is_open:
                self._pool.give_back(self._origin, self._connection)
            else:
                self._pool.drop(self._connection)


def _named(origin: Origin) -> str:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return f"{host}:{origin.port}"
