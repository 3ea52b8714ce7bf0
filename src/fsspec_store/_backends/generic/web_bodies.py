"""Responses to fsspec's requests to web servers, of which no body is read without a bound.

fsspec reads bodies until they end. Knows aiohttp's responses, and nothing of what is requested.
"""

from __future__ import annotations

from typing import Any

import aiohttp

from ..._http.content_range import (
    MOST_DECODED,
    MOST_EXPANDED,
    MOST_UNANNOUNCED,
    content_coding,
    content_length,
)
from ..._http.http1.connection import BodyTooLongError

__all__ = ["BoundedResponse"]


class BoundedResponse(aiohttp.ClientResponse):
    """A response whose body has its stated length, or a maximum size where none is stated."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Receive the head."""
        await super().start(connection)
        length = content_length(self.headers)
        is_coded = bool(content_coding(self.headers))
        if length is None or is_coded:
            longest = MOST_UNANNOUNCED
            if is_coded:
                longest = max(MOST_DECODED, MOST_EXPANDED * (length or 0))
            self.content: Any = _BoundedContent(self.content, longest, is_coded=is_coded)
        return self


class _BoundedContent:
    """The stream of a body, of which at most so many bytes are read."""

    def __init__(self, content: aiohttp.StreamReader, longest: int, *, is_coded: bool) -> None:
        self._content = content
        self._is_coded = is_coded
        self._longest = longest
        self._left = longest

    async def read(self, n: int = -1) -> bytes:
        """Read so many bytes at most, or the rest of the body."""
        if n >= 0:
            return self._counted(await self._content.read(n))
        pieces = []
        while piece := self._counted(await self._content.readany()):
            pieces.append(piece)
        return b"".join(pieces)

    def iter_chunked(self, n: int) -> aiohttp.streams.AsyncStreamIterator[bytes]:
        """Iterate over pieces of so many bytes at most."""
        return aiohttp.streams.AsyncStreamIterator(lambda: self.read(n))

    def _counted(self, piece: bytes) -> bytes:
        self._left -= len(piece)
        if self._left < 0:
            if self._is_coded:
                raise OSError(
                    f"the server sent a compressed body that has more than {self._longest} bytes"
                )
            raise BodyTooLongError(self._longest)
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)
