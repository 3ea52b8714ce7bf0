"""Sessions of aiohttp, one for each event loop, and closing them without awaiting.

Knows aiohttp. Does not know any service.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from .aiohttp_framing import bound_framing
from .http1.closing import close_without_loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import ClientSession

__all__ = ["Sessions", "close_now", "end_reading", "forget", "without_own_retries"]


def without_own_retries(session: ClientSession) -> ClientSession:
    """Disable aiohttp's own retries, and return the session.

    aiohttp silently sends a PUT again when a keep-alive connection breaks. A conditional write that
    succeeded would then fail.
    """
    session._retry_connection = False
    return session


def end_reading(session: ClientSession) -> None:
    """Raise an error in all readers of bodies. Called before the session is closed.

    aiohttp does not: a reader would wait forever, and a body without a length would look complete.
    """
    # A copy, because a body that ends releases its connection, which changes the set.
    for protocol in list(getattr(session.connector, "_acquired", ())):
        body = getattr(protocol, "_payload", None)
        # A closed loop raises, and has no readers.
        with suppress(RuntimeError):
            if body is not None:
                body.set_exception(
                    RuntimeError("the store was closed while this request was under way")
                )


def close_now(session: ClientSession) -> None:
    """Close a session without awaiting, on the thread of its loop or after that has stopped."""
    end_reading(session)
    connector = session.connector
    session.detach()
    if connector is None:
        return
    if not connector._loop.is_running():
        # transport.close() would be completed by the loop, which may never run again.
        idle = [entry[0] for entries in connector._conns.values() for entry in entries]
        for protocol in {*idle, *connector._acquired}:
            close_without_loop(protocol.transport)
    # What aiohttp's close() does before it waits for the transports.
    connector._close()  # type: ignore[no-untyped-call, unused-ignore]


def forget(session: ClientSession) -> None:
    """Discard a session in a forked child, without closing the parent's sockets."""
    connector = session.connector
    session.detach()
    if connector is not None:
        # Closing the sockets would end the parent's TLS sessions.
        connector._closed = True


class Sessions:
    """Creates and closes the sessions of a `fsspec_store._runtime.loops.PerLoop`.

    ``make`` returns a new session for the running loop. It must not refer to the `PerLoop`.
    """

    close_now = staticmethod(close_now)
    forget = staticmethod(forget)

    def __init__(self, make: Callable[[], ClientSession]) -> None:
        self._make = make

    def make(self) -> ClientSession:
        """Create a session for the running loop."""
        session = without_own_retries(self._make())
        bound_framing(session)
        return session

    async def aclose(self, session: ClientSession) -> None:
        """Close a session, and wait until its connections are closed."""
        end_reading(session)
        await session.close()
