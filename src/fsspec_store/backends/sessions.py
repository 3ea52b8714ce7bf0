"""aiohttp sessions, one for each event loop, and how one ends where nothing can be awaited.

Knows aiohttp, and nothing of what is asked through a session.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import ClientPayloadError
from aiohttp.client_proto import ResponseHandler

from .transports import end

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import ClientSession

__all__ = ["Sessions", "close_now", "end_reading", "forget", "without_own_repeats"]

#: Maximum size of all that is no body: heads, interim responses, and the extensions of chunks (RFC
#: 9112, section 7.1.1). A compressed body may be ahead of what was decoded of it by a part of this.
_MAX_EXTRA = 2**20
#: Chunks of one byte have 5 further bytes each.
_EXTRA_PER_BYTE = 16


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
        session = without_own_repeats(self._make())
        connector: Any = session.connector
        connector._factory = partial(_Connection, loop=connector._loop)
        return session

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


class _Connection(ResponseHandler):
    """A connection with a maximum size of what the server sends beside a body.

    aiohttp reads extensions of chunks without end, and counts them nowhere.
    """

    #: Bytes since the last request.
    _received = 0

    def set_response_params(self, **params: Any) -> None:
        self._received = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        body = self._payload
        self._received += len(data)
        size = 0 if body is None else getattr(body, "total_bytes", self._received)
        if self._received > _MAX_EXTRA + (1 + _EXTRA_PER_BYTE) * size:
            error = ClientPayloadError(
                "the server sent heads or extensions of chunks without an end"
            )
            self.set_exception(error)
            if body is not None:
                body.set_exception(error)
            if self.transport is not None:
                self.transport.abort()


def without_own_repeats(session: ClientSession) -> ClientSession:
    """The session, which repeats nothing by itself from now on.

    aiohttp sends a PUT again when a kept connection breaks, and does not say so: a conditional
    write would then fail for its own success.
    """
    session._retry_connection = False
    return session


def end_reading(session: ClientSession) -> None:
    """Tell who reads a body that no more of it comes; to be called before the session is closed.

    aiohttp tells nobody: who waits for the rest of a body would wait for ever, and one that goes
    on until its connection ends would pass for whole.
    """
    for protocol in getattr(session.connector, "_acquired", ()):
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
