"""An upper bound for the bytes that aiohttp receives outside of bodies.

aiohttp accepts interim responses, chunk extensions and trailers (RFC 9112, section 7.1.1) of any
size, and restarts its timeouts with each piece. Knows aiohttp's protocol class.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

if TYPE_CHECKING:
    from aiohttp import ClientSession

__all__ = ["bound_framing"]

#: Maximum number of bytes outside of bodies: heads, interim responses, framing of chunks. It also
#: covers received bytes of a compressed body that are not decoded yet.
_MAX_EXTRA = 2**20
#: Chunks of one byte have 5 bytes of framing each.
_EXTRA_PER_BYTE = 16


class _BoundedProtocol(ResponseHandler):
    """A connection that fails when it receives too many bytes outside of bodies."""

    #: Bytes since the last request.
    _received = 0

    def set_response_params(self, **params: Any) -> None:
        self._received = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        body = self._payload
        self._received += len(data)
        # A response without a body has another kind of stream.
        size = 0 if body is None else getattr(body, "total_bytes", self._received)
        if self._received > _MAX_EXTRA + (1 + _EXTRA_PER_BYTE) * size:
            error = aiohttp.ClientPayloadError(
                "the server sent too many interim responses or chunk extensions"
            )
            self.set_exception(error)
            if body is not None:
                body.set_exception(error)
            if self.transport is not None:
                self.transport.abort()


def bound_framing(session: ClientSession) -> None:
    """Apply the upper bound to all new connections of a session.

    Connectors of other libraries are unchanged.
    """
    factory = getattr(session.connector, "_factory", None)
    if isinstance(factory, partial) and factory.func is ResponseHandler:
        session.connector._factory = partial(  # type: ignore[union-attr]
            _BoundedProtocol, *factory.args, **factory.keywords
        )
