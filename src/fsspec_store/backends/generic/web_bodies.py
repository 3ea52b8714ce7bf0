"""Responses to a library's requests, of which no body is read without a bound in bytes and time.

fsspec, s3fs and gcsfs read bodies until they end. Knows aiohttp's responses, and nothing of what is
requested.
"""

from __future__ import annotations

import time
from typing import Any

import aiohttp

from ...retries import SLOWEST_DOWNLOAD, too_slow
from ..byte_ranges import (
    MOST_DECODED,
    MOST_EXPANDED,
    MOST_UNANNOUNCED,
    content_coding,
    content_length,
)
from ..wire.connection import BodyTooLongError

__all__ = ["BoundedResponse"]

#: Seconds before a body has to keep to the minimum rate, where the session has no timeout.
_LONGEST_WAIT = 300.0


class BoundedResponse(aiohttp.ClientResponse):
    """A response whose body has a minimum rate, and its stated length or a maximum size."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Receive the head."""
        await super().start(connection)
        length = content_length(self.headers)
        is_coded = bool(content_coding(self.headers))
        longest = MOST_UNANNOUNCED if length is None else length
        if is_coded:
            longest = max(MOST_DECODED, MOST_EXPANDED * (length or 0))
        timeout = getattr(self._session, "timeout", None)
        seconds = getattr(timeout, "sock_read", None) or getattr(timeout, "total", None)
        self.content: Any = _BoundedContent(
            self.content, longest, seconds or _LONGEST_WAIT, is_coded=is_coded
        )
        return self


class _BoundedContent:
    """The stream of a body, of which at most so many bytes are read, at a minimum rate.

    The libraries request a body again after a ``TimeoutError``, not after an ``OSError`` of another
    class.
    """

    def __init__(
        self, content: aiohttp.StreamReader, longest: int, seconds: float, *, is_coded: bool
    ) -> None:
        self._content = content
        self._is_coded = is_coded
        self._seconds = seconds
        self._waited = 0.0
        self._longest = longest
        self._left = longest

    async def read(self, n: int = -1) -> bytes:
        """Read so many bytes at most, or the rest of the body."""
        if n >= 0:
            return await self._piece(n)
        pieces = []
        while piece := await self._piece(None):
            pieces.append(piece)
        return b"".join(pieces)

    def iter_chunked(self, n: int) -> aiohttp.streams.AsyncStreamIterator[bytes]:
        """Iterate over pieces of so many bytes at most."""
        return aiohttp.streams.AsyncStreamIterator(lambda: self.read(n))

    async def _piece(self, n: int | None) -> bytes:
        began = time.monotonic()
        piece = await (self._content.readany() if n is None else self._content.read(n))
        # What the reader does in between is not the server's.
        self._waited += time.monotonic() - began
        self._left -= len(piece)
        received = self._longest - self._left
        if self._waited > self._seconds + received / SLOWEST_DOWNLOAD:
            raise OSError(str(too_slow(received, self._waited)))
        if self._left < 0:
            if self._is_coded:
                raise OSError(
                    f"the server sent a compressed body that has more than {self._longest} bytes"
                )
            raise BodyTooLongError(self._longest)
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)
