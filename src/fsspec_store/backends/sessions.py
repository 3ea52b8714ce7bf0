"""aiohttp sessions, one for each event loop, and how one ends where nothing can be awaited.

Knows aiohttp, and nothing of what is asked through a session.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .framing import bound_framing
from .transports import end

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import ClientSession

__all__ = ["Sessions", "close_now", "end_reading", "forget", "without_own_repeats"]


class Sessions:
    """Makes and ends the sessions of a `fsspec_store.loops.PerLoop`.

    Parameters
    ----------
    make : callable
        Returns a new session; called on the loop it is for. Must not hold the `PerLoop` itself.
    """

    def __init__(self, make: Callable[[], ClientSession]) -> None:
        self._make = make

    def make(self) -> ClientSession:
        """Make one."""
        return without_own_repeats(self._make())

    async def aclose(self, session: ClientSession) -> None:
        """Close one, and await the connections' end."""
        end_reading(session)
        await session.close()

    def close_now(self, session: ClientSession) -> None:
        """Close one at once."""
        close_now(session)

    def forget(self, session: ClientSession) -> None:
        """Silence one in a forked child."""
        forget(session)


def without_own_repeats(session: ClientSession) -> ClientSession:
    """The session, which repeats nothing by itself from now on.

    aiohttp sends a PUT again when a kept connection breaks, and does not say so: a conditional
    write would then fail for its own success.
    """
    session._retry_connection = False
    bound_framing(session)
    return session


def end_reading(session: ClientSession) -> None:
    """Tell who reads a body that no more of it comes; to be called before the session is closed.

    aiohttp tells nobody: who waits for the rest of a body would wait for ever, and one that goes
    on until its connection ends would pass for whole.
    """
    # A body that ends gives its connection back, which changes the set.
    for protocol in list(getattr(session.connector, "_acquired", ())):
        body = getattr(protocol, "_payload", None)
        # Where its loop is closed already, nobody waits.
        with suppress(RuntimeError):
            if body is not None:
                body.set_exception(
                    RuntimeError("the store was closed while this request was under way")
                )


def close_now(session: ClientSession) -> None:
    """Close a session's connections without awaiting, on its loop's thread or when that is over."""
    end_reading(session)
    connector = session.connector
    session.detach()
    if connector is None:
        return
    if not connector._loop.is_running():
        # A transport's own close() leaves its end to the loop, which may never run again.
        for transport in _transports(connector):
            end(transport)
    # What aiohttp's own close() does before it waits for transports to say goodbye.
    connector._close()  # type: ignore[no-untyped-call, unused-ignore]


def forget(session: ClientSession) -> None:
    """Silence a session that a forked child inherited."""
    connector = session.connector
    session.detach()
    if connector is not None:
        # Its sockets are the parent's: closing them would end TLS sessions there.
        connector._closed = True


def _transports(connector: Any) -> list[Any]:
    idle = [entry[0] for entries in connector._conns.values() for entry in entries]
    return [protocol.transport for protocol in {*idle, *connector._acquired}]
