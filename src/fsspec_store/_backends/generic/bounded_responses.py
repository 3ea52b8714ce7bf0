"""Responses of aiohttp with bounded bodies, in bytes and time, for the requests of libraries.

fsspec, s3fs and gcsfs read bodies without a limit.
"""

from __future__ import annotations

import time
from typing import Any

import aiohttp

from ..._http.content_range import (
    MAX_DECODED_BYTES,
    MAX_EXPANSION,
    MAX_UNSIZED_BYTES,
    content_coding,
    content_length,
)
from ..._http.messages import BodyTooLongError
from ..._http.retry_policy import MIN_DOWNLOAD_RATE, too_slow

__all__ = ["BoundedResponse"]

#: Grace period in seconds before the minimum rate applies, if the session has no timeout.
_GRACE = 300.0


class BoundedResponse(aiohttp.ClientResponse):
    """A response whose body has a minimum rate, and is limited to its length or a maximum size."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Receive the head."""
        await super().start(connection)
        length = content_length(self.headers)
        is_coded = bool(content_coding(self.headers))
        longest = MAX_UNSIZED_BYTES if length is None else length
        if is_coded:
            longest = max(MAX_DECODED_BYTES, MAX_EXPANSION * (length or 0))
        timeout = getattr(self._session, "timeout", None)
        seconds = getattr(timeout, "sock_read", None) or getattr(timeout, "total", None)
        self.content: Any = _BoundedContent(
            self.content, longest, seconds or _GRACE, is_coded=is_coded
        )
        return self


class _BoundedContent:
    """The stream of a body, with a maximum size and a minimum rate.

    Raises ``OSError``, because the libraries retry after a ``TimeoutError``.
    """

    def __init__(
        self, content: aiohttp.StreamReader, longest: int, seconds: float, *, is_coded: bool
    ) -> None:
        self._content = content
        self._is_coded = is_coded
        self._seconds = seconds
        self._waited = 0.0
        self._longest = longest
        self._received = 0

    async def read(self, n: int = -1) -> bytes:
        """Read at most ``n`` bytes, or the rest of the body."""
        if n >= 0:
            return await self._piece(n)
        pieces = []
        while piece := await self._piece(None):
            pieces.append(piece)
        return b"".join(pieces)

    def iter_chunked(self, n: int) -> aiohttp.streams.AsyncStreamIterator[bytes]:
        """Iterate over pieces of at most ``n`` bytes."""
        return aiohttp.streams.AsyncStreamIterator(lambda: self.read(n))

    async def _piece(self, n: int | None) -> bytes:
        began = time.monotonic()
        piece = await (self._content.readany() if n is None else self._content.read(n))
        # Only the time spent waiting for the server counts.
        self._waited += time.monotonic() - began
        self._received += len(piece)
        if self._waited > self._seconds + self._received / MIN_DOWNLOAD_RATE:
            raise OSError(str(too_slow(self._received, self._waited)))
        if self._received > self._longest:
            if self._is_coded:
                raise OSError(
                    f"the server sent a compressed body that has more than {self._longest} bytes"
                )
            raise BodyTooLongError(self._longest)
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)
