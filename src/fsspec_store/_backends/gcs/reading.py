"""Reads an object in one response, or a large one in parts of one generation.

Does not know how a request is sent.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, TypeGuard

import aiohttp

from ..._core.byte_requests import SuffixByteRequest
from ..._core.failures import RangeNotSatisfiableError
from ..._http.content_range import (
    content_length,
    max_body_bytes,
    range_header,
    requested_part,
    total_size,
)
from ..._http.messages import LargeBody, Response
from ..._runtime.threads import in_thread
from ..object_store.reading import (
    ValueReader,
    is_version,
    read_requested_range,
    size_from_range,
)
from .bodies import HASH_IN_THREAD_BYTES
from .responses import check_is_google, verify_checksum, with_message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..._core.byte_requests import ByteRequest, RangeByteRequest
    from ..._http.large_reads import FetchPart
    from ..._http.messages import ResponseBody
    from ..._http.retrier import Slot
    from ..._http.settings import Parts
    from .client import Client

__all__ = ["GENERATION", "Reader", "is_generation"]

#: The response header with the version of the object.
GENERATION = "X-Goog-Generation"
_GENERATION = re.compile("[1-9][0-9]{0,18}")
#: Without gzip in this header the service decompresses objects that are stored compressed.
_HEADERS = {"Accept-Encoding": "gzip"}


class Reader(ValueReader[tuple[str, str]]):
    """Reads objects, given by bucket and name.

    Parameters
    ----------
    client : Client
        Sends requests.
    parts : Parts
        Sizes from which on, and in which, values are read in parts.
    """

    def __init__(self, client: Client, parts: Parts) -> None:
        super().__init__(client.http.slot, parts)
        self._client = client

    async def size(self, bucket: str, name: str) -> int | None:
        """The size of an object from the response to a range; ``None`` when it is missing.

        Raises
        ------
        OSError
            When the response states no size.
        """

        async def attempt() -> int | None:
            received = await self._client.sign_and_send(
                self._client.url(bucket, name, alt="media"),
                {**_HEADERS, "Range": "bytes=0-0"},
                self._client.http.fetch,
            )
            body = received.body
            if not isinstance(body, LargeBody):
                check_is_google(received.status, received.headers, body, is_value=True)
            return None if received.status == 404 else size_from_range(received)

        return await self._client.retry(attempt)

    async def _get(
        self, target: tuple[str, str], request: ByteRequest | None, slot: Slot, *, allow_large: bool
    ) -> Response[ResponseBody]:
        return await self._client.retry(
            partial(self._get_once, target, request, allow_large=allow_large), slot
        )

    async def _get_once(
        self, target: tuple[str, str], request: ByteRequest | None, *, allow_large: bool
    ) -> Response[ResponseBody]:
        range_value = range_header(request)
        received = await self._client.sign_and_send(
            self._client.url(*target, alt="media"),
            _HEADERS if range_value is None else {**_HEADERS, "Range": range_value},
            partial(self._client.http.fetch, max_bytes=partial(max_body_bytes, request)),
        )
        status, headers, body = received.status, received.headers, received.body
        if isinstance(body, LargeBody):
            is_pinned = allow_large and is_generation(headers.get(GENERATION))
            received, is_whole = await read_requested_range(
                received, body, request, is_pinned=is_pinned
            )
            if not isinstance(received.body, LargeBody):
                check_is_google(status, headers, received.body, is_value=True)
                if is_whole and status == 200:
                    await in_thread(verify_checksum, headers, received.body)
            return received
        check_is_google(status, headers, body, is_value=True)
        if status == 404:
            return with_message(Response(status, headers, bytes(body)))
        return Response(status, headers, await _requested(body, request, status, headers))

    def _fetch_part(
        self, target: tuple[str, str], headers: Mapping[str, str], total: int | None
    ) -> FetchPart:
        generation = headers[GENERATION]
        url = self._client.url(*target, alt="media", generation=generation)
        is_same = is_version(GENERATION, generation, total)

        async def fetch(part: RangeByteRequest, sink: memoryview, slot: Slot) -> None:
            headers = {**_HEADERS, "Range": range_header(part)}
            fetch_part = partial(
                self._client.http.fetch_part, part=part, sink=sink, is_same=is_same
            )
            await self._client.retry(
                partial(self._client.sign_and_send, url, headers, fetch_part), slot
            )

        return fetch

    def _checksum(self, found: Response[ResponseBody]) -> Callable[[memoryview], None] | None:
        return partial(verify_checksum, found.headers) if found.status == 200 else None


def is_generation(version: str | None) -> TypeGuard[str]:
    """Whether this is a valid generation of an object."""
    return version is not None and _GENERATION.fullmatch(version) is not None


async def _requested(
    body: bytes | memoryview, request: ByteRequest | None, status: int, headers: Mapping[str, str]
) -> bytes | memoryview:
    """The requested bytes of a complete body, after the checksum of a whole object."""
    content_range = headers.get("Content-Range")
    total = total_size(content_range)
    if isinstance(request, SuffixByteRequest) and status != 200:
        # A suffix of an empty object: 416, or no bytes with an invalid Content-Range.
        is_empty = status == 416 or content_length(headers) == 0
        if is_empty and total:
            raise aiohttp.ClientPayloadError(
                f"no bytes received for a suffix range of an object of {total} bytes"
            )
        if is_empty:
            return b""
    if status == 416:
        raise RangeNotSatisfiableError(total)
    if status == 200:
        if len(body) < HASH_IN_THREAD_BYTES:
            verify_checksum(headers, body)
        else:
            await in_thread(verify_checksum, headers, body)
    return requested_part(
        body, request, status=status, content_range=content_range, length=content_length(headers)
    )
