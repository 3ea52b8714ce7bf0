"""aiohttp's connections, made to refuse what comes beside a body without an end.

aiohttp drops interim responses, and extensions and trailers of chunks (RFC 9112, section 7.1.1),
whatever their size, and its timeouts start again with each piece. Knows aiohttp's protocol, and
nothing of what is read.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

if TYPE_CHECKING:
    from aiohttp import ClientSession

__all__ = ["bound_framing"]

#: Maximum size of all that is no body: heads, interim responses, and the framing of chunks. A
#: compressed body may be ahead of what was decoded of it by a part of this.
_MAX_EXTRA = 2**20
#: Chunks of one byte have 5 further bytes each.
_EXTRA_PER_BYTE = 16


class _BoundedProtocol(ResponseHandler):
    """A connection that ends when too much of what comes belongs to no body."""

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
                "the server sent heads or extensions of chunks without an end"
            )
            self.set_exception(error)
            if body is not None:
                body.set_exception(error)
            if self.transport is not None:
                self.transport.abort()


def bound_framing(session: ClientSession) -> None:
    """Have the session's further connections bound what comes beside a body.

    Connectors of another kind than aiohttp's own stay as they are.
    """
    factory = getattr(session.connector, "_factory", None)
    if isinstance(factory, partial) and factory.func is ResponseHandler:
        session.connector._factory = partial(  # type: ignore[union-attr]
            _BoundedProtocol, *factory.args, **factory.keywords
        )
