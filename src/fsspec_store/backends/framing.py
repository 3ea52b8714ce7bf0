"""aiohttp's connections, made to refuse bodies that are little but the framing of chunks.

aiohttp drops extensions and trailers of chunks (RFC 9112, section 7.1.1) whatever their size, and
its timeouts start again with each piece. Knows aiohttp's protocol, and nothing of what is read.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

if TYPE_CHECKING:
    from aiohttp import ClientSession

__all__ = ["bound_framing"]

#: Maximum size of what comes beside a body, in bytes: one for all, more than one reading of a
#: socket, and one for each byte of the body.
_MAX_EXTRA = 2**20
_EXTRA_PER_BYTE = 16


class _BoundedProtocol(ResponseHandler):
    """A connection that ends when too much of what comes belongs to no body."""

    _counted: Any = None
    _came = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        body = self._payload
        if body is not self._counted:
            # The head came with the first bytes, which are not counted.
            self._counted, self._came = body, 0
            return
        if body is None:
            return
        self._came += len(data)
        # A response without a body has another kind of stream.
        received = getattr(body, "total_bytes", 0)
        if self._came > _MAX_EXTRA + (_EXTRA_PER_BYTE + 1) * received and not body.is_eof():
            body.set_exception(
                aiohttp.ClientPayloadError(
                    "the server sent extensions or trailers of chunks without an end"
                )
            )
            self.close()


def bound_framing(session: ClientSession) -> None:
    """Have the session's further connections bound what comes beside a body.

    Connectors of another kind than aiohttp's own stay as they are.
    """
    factory = getattr(session.connector, "_factory", None)
    if isinstance(factory, partial) and factory.func is ResponseHandler:
        session.connector._factory = partial(  # type: ignore[union-attr]
            _BoundedProtocol, *factory.args, **factory.keywords
        )
