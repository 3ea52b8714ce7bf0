"""Reads values: small ones in one response, large ones in parts of one version.

A service supplies the request for a value and the request for a part of a version of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

import aiohttp

from ..._http.content_range import is_of_total, part_start, total_size
from ..._http.large_reads import read_large
from ..._http.messages import LargeBody, Response, ResponseBody
from ..._http.responses import ChangedWhileReadError
from ..._runtime.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..._core.byte_requests import ByteRequest, RangeByteRequest
    from ..._http.retrier import Slot
    from ..._http.settings import Parts

__all__ = [
    "FetchPart",
    "Found",
    "ValueReader",
    "is_version",
    "read_in_parts",
    "size_from_range",
]

Target = TypeVar("Target")

#: A response whose body was read, or left unread because it is large.
Found: TypeAlias = Response[ResponseBody]
#: ``await fetch(part, sink, slot)`` reads this range of one version of a value into ``sink``, or
#: raises `ChangedWhileReadError`.
FetchPart: TypeAlias = "Callable[[RangeByteRequest, memoryview, Slot], Awaitable[object]]"


class ValueReader(ABC, Generic[Target]):
    """Reads the values of one service.

    Parameters
    ----------
    slot : callable
        Returns a slot of the limiter, which a read holds until the value is in memory.
    parts : Parts
        Minimum size of a value that is read in parts, and size of a part.
    """

    def __init__(self, slot: Callable[[], Slot], parts: Parts) -> None:
        self._slot = slot
        self._part_bytes = parts.size

    async def get(
        self, target: Target, request: ByteRequest | None
    ) -> Response[bytes | memoryview]:
        """The response with the requested bytes, from one request or several."""
        with self._slot() as slot:
            response = await self._get(target, request, slot, allow_large=True)
            body = response.body
            if isinstance(body, LargeBody):
                content_range = response.headers.get("Content-Range")
                total = body.size if content_range is None else total_size(content_range)
                whole = await read_in_parts(
                    slot,
                    body,
                    content_range,
                    self._fetch_part(target, response.headers, total),
                    self._part_bytes,
                    self._checksum(response),
                )
                if whole is not None:
                    return Response(response.status, response.headers, whole)
                # The value changed between the parts. A single response is of one version.
                response = await self._get(target, request, slot, allow_large=False)
                body = response.body
                assert not isinstance(body, LargeBody)
        return Response(response.status, response.headers, body)

    @abstractmethod
    async def _get(
        self, target: Target, request: ByteRequest | None, slot: Slot, *, allow_large: bool
    ) -> Found:
        """Request a value, with retries. With ``allow_large`` a large body may be left unread."""

    @abstractmethod
    def _fetch_part(
        self, target: Target, headers: Mapping[str, str], total: int | None
    ) -> FetchPart:
        """Return a function that reads a part of the version in a response.

        Parameters
        ----------
        target
            The value.
        headers : mapping
            Of the response.
        total : int or None
            Size of the value in bytes, ``None`` if the response does not state it.
        """

    def _checksum(self, found: Found) -> Callable[[memoryview], None] | None:
        """Return a function that verifies the bytes of a response; ``None`` without a checksum."""
        return None


async def read_in_parts(
    slot: Slot,
    body: LargeBody,
    content_range: str | None,
    fetch: FetchPart,
    part_bytes: int,
    verify: Callable[[memoryview], None] | None = None,
) -> memoryview | None:
    """Read the rest of a response by several requests; ``None`` if their versions differ.

    Parameters
    ----------
    slot : Slot
        Slot of the response.
    body : LargeBody
        Body of the response. It is closed.
    content_range : str or None
        The response's header.
    fetch : callable
        Reads a part of the same version.
    part_bytes : int
        Size of a part in bytes, ``>= 1``.
    verify : callable, optional
        Raises `aiohttp.ClientPayloadError` for bytes that do not match a checksum.
    """
    with closing(body.stream) as stream:
        try:
            memory = await read_large(
                stream,
                body.size,
                fetch,
                slot,
                part_bytes=part_bytes,
                first=part_start(content_range),
            )
            if verify is not None:
                await in_thread(verify, memory)
        except (ChangedWhileReadError, aiohttp.ClientPayloadError):
            return None
    return memory


def is_version(name: str, version: str, total: int | None) -> Callable[[Mapping[str, str]], bool]:
    """Return whether headers are those of a part of this version.

    Parameters
    ----------
    name : str
        The header with the version.
    version : str
        Its value.
    total : int or None
        Size of the value in bytes, ``None`` if unknown.
    """
    # A service may ignore the condition of a request.
    return lambda headers: headers.get(name) == version and is_of_total(headers, total)


def size_from_range(found: Found) -> int:
    """The size of a value from the response to a request for its first byte.

    Raises
    ------
    OSError
        When the response does not state the size.
    """
    body = found.body
    if isinstance(body, LargeBody):
        body.stream.close()
        if found.status == 206:
            raise aiohttp.ClientPayloadError(f"{body.size} bytes received for one byte")
    total = total_size(found.headers.get("Content-Range"))
    if total is not None:
        return total
    if found.status == 206:
        raise OSError("the response to a range does not state the size of the value")
    if found.status == 200:
        return body.size if isinstance(body, LargeBody) else len(body)
    # No range of an empty value is satisfiable (416).
    return 0
