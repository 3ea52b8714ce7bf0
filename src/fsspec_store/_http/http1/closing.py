"""Closing of connections whose event loop does not run any more. Knows asyncio's transports."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

__all__ = ["close_without_loop"]


def close_without_loop(transport: Any) -> None:
    """Close a transport, and do what asyncio's loop does after that.

    The loop is stopped or closed, and nothing is left to send; ``None`` is a closed transport.
    Transports of other loops than asyncio's are aborted, which is enough there.
    """
    inner = getattr(getattr(transport, "_ssl_protocol", None), "_transport", transport)
    if transport is None or getattr(inner, "_sock", transport) is None:
        return
    if not hasattr(inner, "_call_connection_lost"):
        with suppress(RuntimeError):
            transport.abort()
        return
    # A closed loop has no readers and writers, and raises RuntimeError.
    with suppress(RuntimeError):
        # Otherwise the loop would call this transport for the next socket with the same number.
        inner._loop._remove_reader(inner._sock_fd)
        inner._loop._remove_writer(inner._sock_fd)
    # The state that `is_closing` returns.
    inner._closing = True
    inner._conn_lost += 1
    with suppress(RuntimeError):
        inner._call_connection_lost(None)
