"""TLS handshakes by threads while the event loop of the request waits.

A handshake takes 1 to 2 ms of CPU: many at once would stop the event loop for tens of them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..._runtime.io_threads import next_loop
from .channels import TLSChannel

if TYPE_CHECKING:
    import socket
    import ssl

__all__ = ["open_tls"]


async def open_tls(
    sock: socket.socket,
    context: ssl.SSLContext,
    host: str,
    session: ssl.SSLSession | None,
    threads: int,
) -> TLSChannel:
    """Return a channel after its handshake, which one of ``threads`` threads makes.

    The socket is closed if that fails; for the errors see `TLSChannel.handshake`.

    Raises
    ------
    ConnectionError
        When the system starts no more threads.
    """
    try:
        loop = next_loop(threads)
    except RuntimeError as error:
        sock.close()
        raise ConnectionError(str(error)) from error
    channel = asyncio.run_coroutine_threadsafe(_shake_hands(sock, context, host, session), loop)
    try:
        return await asyncio.wrap_future(channel)
    except BaseException:
        # There, after the loop has stopped to watch it: another socket may get its number.
        loop.call_soon_threadsafe(sock.close)
        raise


async def _shake_hands(
    sock: socket.socket, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None
) -> TLSChannel:
    channel = TLSChannel(sock, context, host, session)
    await channel.handshake()
    return channel
