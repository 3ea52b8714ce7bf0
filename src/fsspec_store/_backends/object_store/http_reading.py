"""Reads values with `HTTPClient`. A service supplies the signed request and response checks."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..._core.failures import RangeNotSatisfiableError
from ..._http.content_range import (
    content_length,
    max_body_bytes,
    range_header,
    requested_part,
    total_size,
)
from ..._http.messages import LargeBody, Response, ResponseBody
from .versioned_reads import ValueReader, is_version, read_requested_range, size_from_range

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..._core.byte_requests import ByteRequest, RangeByteRequest
    from ..._http.client import HTTPClient
    from ..._http.parallel_reads import FetchPart
    from ..._http.retrier import Slot
    from ..._http.settings import Parts

__all__ = ["HTTPReader"]

T = TypeVar("T")
Target = TypeVar("Target")


class HTTPReader(ValueReader[Target]):
    """Reads the values of one service."""

    def __init__(self, http: HTTPClient, parts: Parts) -> None:
        super().__init__(http.slot, parts)
        self._http = http

    @abstractmethod
    async def _send(
        self,
        target: Target,
        byte_range: str | None,
        version: str | None,
        send: Callable[[str, Mapping[str, str]], Awaitable[T]],
        slot: Slot,
    ) -> T:
        """Await ``send(url, headers)``, signed, with retries.

        ``byte_range`` is the ``Range`` header, ``version`` the version of the value, as in
        `version_header`; ``None`` for any version.
        """

    @abstractmethod
    def _is_pinnable(self, version: str) -> bool:
        """Whether the service supports requests for parts of this version."""

    def supports_parts(self, status: int, headers: Mapping[str, str]) -> bool:
        return self._is_pinnable(headers.get(self.version_header, ""))

    @abstractmethod
    def _is_missing(self, found: Response[ResponseBody]) -> bool:
        """Whether a response with an expected status means that the value is missing."""

    @abstractmethod
    def _verify(self, headers: Mapping[str, str], body: memoryview) -> None:
        """Verify the bytes of a whole value, if its headers state a checksum."""

    async def _check(
        self, found: Response[ResponseBody], body: bytes | memoryview, *, is_whole: bool
    ) -> None:
        """Check the complete body of a response, within the attempt. The default checks nothing."""

    def _requested(
        self, request: ByteRequest | None, found: Response[Any], body: bytes | memoryview
    ) -> bytes | memoryview:
        """The requested bytes of a complete body, as stored: Content-Encoding belongs to the value.

        The body of a 404 is returned unchanged.
        """
        content_range = found.headers.get("Content-Range")
        if found.status == 416:
            raise RangeNotSatisfiableError(total_size(content_range))
        if found.status == 404:
            return body
        return requested_part(
            body,
            request,
            status=found.status,
            content_range=content_range,
            length=content_length(found.headers),
        )

    async def size_by_range(self, target: Target) -> int | None:
        """The size of a value as in `size_from_range`; ``None`` when it is missing."""
        with self.slot() as slot:
            found = await self._send(target, "bytes=0-0", None, self._http.fetch, slot)
            return None if self._is_missing(found) else size_from_range(found)

    async def _get(
        self, target: Target, request: ByteRequest | None, slot: Slot, *, allow_large: bool
    ) -> Response[ResponseBody]:
        async def fetch(url: str, headers: Mapping[str, str]) -> Response[ResponseBody]:
            max_bytes = partial(max_body_bytes, request)
            found = await self._http.fetch(url, headers, max_bytes=max_bytes, reserve=slot.reserve)
            body = found.body
            if not isinstance(body, LargeBody):
                await self._check(found, body, is_whole=True)
                return Response(found.status, found.headers, self._requested(request, found, body))
            version = found.headers.get(self.version_header, "")
            is_pinned = allow_large and self._is_pinnable(version)
            found, is_whole = await read_requested_range(
                found, body, request, slot.reserve, is_pinned=is_pinned
            )
            if not isinstance(found.body, LargeBody):
                await self._check(found, found.body, is_whole=is_whole)
            return found

        return await self._send(target, range_header(request), None, fetch, slot)

    def fetch_part(
        self, target: Target, headers: Mapping[str, str], total: int | None
    ) -> FetchPart:
        version = headers[self.version_header]
        is_same = is_version(self.version_header, version, total)

        async def fetch(part: RangeByteRequest, sink: memoryview, slot: Slot) -> None:
            send = partial(self._http.fetch_part, part=part, sink=sink, is_same=is_same)
            await self._send(target, range_header(part), version, send, slot)

        return fetch

    def _checksum(self, found: Response[ResponseBody]) -> Callable[[memoryview], None] | None:
        return partial(self._verify, found.headers) if found.status == 200 else None
