"""How a connection ends whose event loop does not run any more. Knows asyncio's transports."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

__all__ = ["end"]


def end(transport: Any) -> None:
    """Do what a loop does to a transport that was closed. Other loops than asyncio's know how.

    Parameters
    ----------
    transport : asyncio.Transport or None
        Of a loop that stands still or is closed; nothing is to be sent over it any more. ``None``
        where it ended before.
    """
    inner = getattr(getattr(transport, "_ssl_protocol", None), "_transport", transport)
    if transport is None or getattr(inner, "_sock", transport) is None:
        return
    if not hasattr(inner, "_call_connection_lost"):
        with suppress(RuntimeError):
            transport.abort()
        return
    # A closed loop watches nothing, and lets nobody know.
    with suppress(RuntimeError):
        inner._loop._remove_reader(inner._sock_fd)
        # Or the next socket of this number would be taken for this one.
        inner._loop._remove_writer(inner._sock_fd)
    # What it says of itself as long as somebody holds it.
    inner._closing = True
    inner._conn_lost += 1
    with suppress(RuntimeError):
        inner._call_connection_lost(None)
