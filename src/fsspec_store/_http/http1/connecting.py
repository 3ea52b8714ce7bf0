"""A connected socket to the first of a server's addresses that accepts (RFC 8305).

aiohappyeyeballs tries the addresses. asyncio can do the same, and leaves sockets open when a
connect is cancelled.
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

#: Seconds for an address before the next one is tried as well (RFC 8305, section 5).
_NEXT_ADDRESS_SECONDS = 0.25


async def connect(host: str, port: int) -> socket.socket:
    """Connect to a server.

    Parameters
    ----------
    host : str
        Name or address.
    port : int
        Its port.

    Returns
    -------
    socket.socket
        Connected, and not blocking.

    Raises
    ------
    OSError
        When there is no such host, or none of its addresses accepts a connection.
    UnicodeError
        When the host's name cannot be one.
    """
    loop = asyncio.get_running_loop()
    addresses = await _resolve(loop, host, port)
    return await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, loop=loop)


async def _resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Sequence[AddrInfoType]:
    try:
        # An address needs no resolver, whose threads other lookups may occupy.
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
