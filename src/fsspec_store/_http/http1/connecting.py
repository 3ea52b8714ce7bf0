"""Name resolution and connect, with several addresses tried in parallel (RFC 8305).

Uses aiohappyeyeballs, because asyncio leaks sockets when a connect is cancelled.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from aiohappyeyeballs import start_connection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohappyeyeballs import AddrInfoType

__all__ = ["connect"]

#: Seconds after which the next address is tried too (RFC 8305, section 5).
_NEXT_ADDRESS_SECONDS = 0.25


async def connect(host: str, port: int) -> socket.socket:
    """Connect to a server.

    Returns
    -------
    socket.socket
        Connected and non-blocking.

    Raises
    ------
    OSError
        When the host is unknown, or none of its addresses accepts a connection.
    UnicodeError
        When the host name is invalid.
    """
    loop = asyncio.get_running_loop()
    addresses = await _resolve(loop, host, port)
    return await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, loop=loop)


async def _resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Sequence[AddrInfoType]:
    try:
        # An address needs no lookup in the resolver's threads, which may all be busy.
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
