"""Reads values: small ones in one response, large ones in parts of one version.

A service supplies the request for a value and the request for a part of a version of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, cast

import aiohttp

from ..._core.failures import ChangedWhileReadError
from ..._core.ranges import bounds
from ..._http.content_range import check_discarded, check_part, is_of_total, part_start, total_size
from ..._http.hedging import WHOLE
from ..._http.messages import LargeBody, Response, ResponseBody
from ..._http.parallel_reads import FetchPart, read_large, read_slice
from ..._runtime.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..._core.byte_requests import ByteRequest
    from ..._http.messages import Reserve
    from ..._http.retrier import Slot
    from ..._http.settings import Parts

__all__ = ["ValueReader", "is_version", "read_requested_range", "size_from_range"]

Target = TypeVar("Target")


class ValueReader(ABC, Generic[Target]):
    """Reads the values of one service.

    ``slot()`` returns a slot of the limiter, which a read holds until the value is in memory.
    """

    #: Header of a response with the version of the value.
    version_header: ClassVar[str]

    def __init__(self, slot: Callable[[], Slot], parts: Parts) -> None:
        self.slot = slot
        self._parts = parts

    @property
    def part_bytes(self) -> int:
        """Size of the parts of large values."""
        return self._parts.size

    async def get(
        self, target: Target, request: ByteRequest | None
    ) -> Response[bytes | memoryview]:
        """The response with the requested bytes, from one request or several."""
        with self.slot() as slot:
            slot.read = request or WHOLE
            response = await self._get(target, request, slot, allow_large=True)
            if isinstance(response.body, LargeBody):
                response = await self._get_large(target, request, slot, response, response.body)
        return cast("Response[bytes | memoryview]", response)

    @abstractmethod
    async def _get(
        self, target: Target, request: ByteRequest | None, slot: Slot, *, allow_large: bool
    ) -> Response[ResponseBody]:
        """Request a value, with retries. With ``allow_large`` a large body may be left unread."""

    @abstractmethod
    def supports_parts(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether parts of the version in a response can be requested."""

    def stated_digests(self, headers: Mapping[str, str]) -> dict[str, bytes]:
        """The digests of the whole value in the headers of a response to a range."""
        return {}

    @abstractmethod
    def fetch_part(
        self, target: Target, headers: Mapping[str, str], total: int | None
    ) -> FetchPart:
        """Return a function that reads a part of the version in a response."""

    def _checksum(self, response: Response[ResponseBody]) -> Callable[[memoryview], object] | None:
        """Return a function that verifies the bytes of a response; ``None`` without a checksum.

        The function raises `aiohttp.ClientPayloadError`.
        """
        return None

    async def _get_large(
        self,
        target: Target,
        request: ByteRequest | None,
        slot: Slot,
        response: Response[ResponseBody],
        body: LargeBody,
    ) -> Response[ResponseBody]:
        """Read the body of a response in parts, or request the value again as a whole."""
        content_range = response.headers.get("content-range")
        total = body.size if content_range is None else total_size(content_range)
        verify = self._checksum(response)
        with suppress(ChangedWhileReadError):
            memory = await read_large(
                body.stream,
                body.size,
                self.fetch_part(target, response.headers, total),
                slot,
                part_bytes=self._parts.size,
                first=part_start(content_range),
            )
            with suppress(aiohttp.ClientPayloadError):
                if verify is not None:
                    await in_thread(verify, memory)
                return Response(response.status, response.headers, memory)
            # It is read again, in the memory that is reserved.
            del memory
        # The value has changed, or a part is corrupt, and it is unknown which. A single response is
        # of one version.
        return await self._get(target, request, slot, allow_large=False)


async def read_requested_range(
    response: Response[ResponseBody],
    body: LargeBody,
    request: ByteRequest | None,
    reserve: Reserve,
    *,
    is_pinned: bool,
) -> tuple[Response[ResponseBody], bool]:
    """Read the requested range of a large body, unless it can be read in parts.

    Returns the response with the bytes, or with the unread body, and whether the range is the whole
    body. A body is left unread, and its stream open, if it is exactly the requested range and
    ``is_pinned``: the response identifies a version whose parts can be requested.

    Raises
    ------
    RangeNotSatisfiableError, aiohttp.ClientPayloadError
        See `fsspec_store._http.content_range.requested_part`.
    OSError
        When the server ignores the range, and more than 64 MiB precede it.
    MemoryInUseError
        When ``reserve`` raises it, called with the size of the range.
    """
    status, headers, size = response.status, response.headers, body.size
    start, end = 0, size
    try:
        content_range = headers.get("content-range")
        if not check_part(size, request, status=status, content_range=content_range):
            start, end = bounds(request, size)
            check_discarded(start)
        reserve(end - start)
    except BaseException:
        body.stream.close()
        raise
    is_whole = end - start == size
    if is_whole and is_pinned:
        return response, True
    return Response(status, headers, await read_slice(body.stream, start, end)), is_whole


def is_version(name: str, version: str, total: int | None) -> Callable[[Mapping[str, str]], bool]:
    """Return a function that checks whether headers are those of a part of this version."""
    # A service may ignore the condition of a request.
    return lambda headers: headers.get(name) == version and is_of_total(headers, total)


def size_from_range(response: Response[ResponseBody]) -> int:
    """The size in the response to a request for the first byte; ``OSError`` if there is none."""
    body, status = response.body, response.status
    size = body.size if isinstance(body, LargeBody) else len(body)
    if isinstance(body, LargeBody):
        body.stream.close()
        if status == 206:
            raise aiohttp.ClientPayloadError(f"{size} bytes received for one byte")
    total = total_size(response.headers.get("content-range"))
    if total is not None:
        return total
    if status == 206:
        raise OSError("the response to a range does not state the size of the value")
    # No range of an empty value is satisfiable (416).
    return size if status == 200 else 0
