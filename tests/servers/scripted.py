"""A server on the test's own event loop that sends exactly the bytes a test tells it to.

Knows sockets and where a request ends. Does not know what an answer is.
"""

import asyncio
import gc
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from socket import SO_LINGER, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from typing import Any

from servers.acceptors import stop_accepting
from servers.ports import LOOPBACK, listener


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """The next request, with its body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return head + await self.reader.readexactly(length)

    async def send(self, *pieces: bytes) -> None:
        """Sends one piece after the other, each when the one before it can have been read."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            # On loopback what was sent is there at once, and is read in the loop's next round.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def finish(self) -> None:
        """Says that nothing more will be sent, and goes on reading."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Breaks the connection off: the client's side sees an error, and not an end."""
        # Not to linger is to send a reset (RFC 9293, section 3.10.7).
        socket = self.writer.get_extra_info("socket")
        socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def closed(self) -> None:
        """Returns when the client has closed the connection."""
        try:
            while await self.reader.read(2**16):
                pass
        except ConnectionError:
            pass


def narrow(socket: Any) -> None:
    """Has the system hold little of what is on its way; on loopback it takes tens of MB."""
    for option in (SO_RCVBUF, SO_SNDBUF):
        socket.setsockopt(SOL_SOCKET, option, 2**15)


Script = Callable[[Peer], Awaitable[None]]


@dataclass
class ScriptedServer:
    """Where it listens, and what came of it."""

    host: str
    port: int = 0
    #: Of the connections so far, in the order in which they were made.
    peers: list[Peer] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def done(self) -> None:
        """Returns when all scripts so far are over; raises what one of them raised."""
        await asyncio.gather(*self._tasks)


@asynccontextmanager
async def scripted_server(
    script: Script,
    *,
    tls: ssl.SSLContext | None = None,
    host: str = LOOPBACK,
    is_narrow: bool = False,
) -> AsyncIterator[ScriptedServer]:
    """Runs `script` for each connection, and closes the connection after it."""
    served = ScriptedServer(host)

    async def run(peer: Peer) -> None:
        try:
            await script(peer)
        finally:
            peer.writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        served.peers.append(peer)
        if is_narrow:
            narrow(writer.get_extra_info("socket"))
        served._tasks.add(asyncio.create_task(run(peer)))

    server = await asyncio.start_server(connected, sock=listener(host), ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        await stop_accepting(server)
        for task in served._tasks:
            task.cancel()
        # What a script raised, the test has seen if it asked for it.
        await asyncio.gather(*served._tasks, return_exceptions=True)
        for peer in served.peers:
            # asyncio raises this for a transport that was closed and then sent the rest.
            with suppress(AttributeError):
                peer.writer.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Finds that no task is left when the block is, and nothing that the loop complains of."""
    loop = asyncio.get_running_loop()
    said: list[dict[str, Any]] = []
    before = asyncio.all_tasks()
    loop.set_exception_handler(lambda _, context: said.append(context))
    yield
    for _ in range(5):
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        # The server's end of a connection is told of the other's by the system.
        _, left = await asyncio.wait(left, timeout=2)
    gc.collect()
    assert said == []
    assert not left
