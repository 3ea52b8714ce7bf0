"""A connection to whichever of a server's addresses takes one first (RFC 8305).

asyncio can do the same, but leaves sockets behind when it is given up. Knows names and sockets, and
nothing of what is said over them.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["connect_first"]

#: Seconds for an address before the next one is tried as well (RFC 8305, section 5).
_NEXT_ADDRESS_SECONDS = 0.25

#: Family, type, protocol, name, address: of `socket.getaddrinfo`.
_Address: TypeAlias = tuple[int, int, int, str, Any]


async def connect_first(host: str, port: int) -> socket.socket:
    """A connected socket, which does not block.

    Parameters
    ----------
    host : str
        Name or address.
    port : int
        Its port.

    Raises
    ------
    OSError
        When there is no such host, or none of its addresses takes a connection.
    UnicodeError
        When the host's name cannot be one.
    """
    loop = asyncio.get_running_loop()
    waiting = deque(_alternating(await _resolve(loop, host, port)))
    attempts: set[asyncio.Task[socket.socket]] = set()
    pending: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    try:
        while waiting or pending:
            if waiting:
                attempt = loop.create_task(_connect(loop, waiting.popleft()))
                attempts.add(attempt)
                pending.add(attempt)
            done, pending = await asyncio.wait(
                pending,
                timeout=_NEXT_ADDRESS_SECONDS if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                try:
                    connected = attempt.result()
                except OSError as error:
                    errors.append(error)
                else:
                    attempts.remove(attempt)
                    return connected
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_let_go)
    raise OSError("; ".join(map(str, errors)))


async def _resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Sequence[_Address]:
    try:
        # Where nobody has to be asked.
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _alternating(addresses: Iterable[_Address]) -> Iterable[_Address]:
    """First one of each family, then another of each, and so on (RFC 8305, section 4)."""
    families: dict[int, list[_Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    rows = zip_longest(*families.values())
    return [address for address in chain.from_iterable(rows) if address is not None]


async def _connect(loop: asyncio.AbstractEventLoop, address: _Address) -> socket.socket:
    connecting = socket.socket(*address[:3])
    try:
        connecting.setblocking(False)
        await loop.sock_connect(connecting, address[4])
    except BaseException:
        connecting.close()
        raise
    return connecting


def _let_go(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        # It came second, or when nobody waited for it any more.
        attempt.result().close()
