"""Reads an object in one response, or a large one in parts of one generation.

Does not know how a request is sent.
"""

from __future__ import annotations

import re
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, TypeGuard

import aiohttp

from ..._core.byte_requests import SuffixByteRequest
from ..._core.failures import RangeNotSatisfiableError
from ..._http.content_range import (
    content_length,
    is_of_total,
    longest_body,
    part_start,
    range_header,
    requested_part,
    total_size,
)
from ..._http.large_reads import read_large, spares
from ..._http.responses import ChangedWhileReadError, LargeBody, WholeResponse
from ..._http.single_stream import is_what_was_asked, read_alone
from ..._runtime.threads import in_thread
from .bodies import HASH_IN_THREAD_BYTES
from .responses import check_is_google, verify_checksum, with_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..._core.byte_requests import ByteRequest, RangeByteRequest
    from ..._http.large_reads import Fetch
    from ..._http.retrier import Slot
    from ..._http.settings import Parts
    from .client import Client

__all__ = ["GENERATION", "Reader", "is_generation"]

#: The response header with the version of the object.
GENERATION = "X-Goog-Generation"
_GENERATION = re.compile("[1-9][0-9]{0,18}")
#: Without gzip in this header the service decompresses objects that are stored compressed.
_HEADERS = {"Accept-Encoding": "gzip"}


class Reader:
    """Reads objects.

    Parameters
    ----------
    client : Client
        Sends requests.
    parts : Parts
        Sizes from which on, and in which, values are read in parts.
    """

    def __init__(self, client: Client, parts: Parts) -> None:
        self._client = client
        self._parts = parts

    async def read(
        self, bucket: str, name: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview | None, WholeResponse]:
        """The requested bytes, ``None`` if the object is missing, and the response without body."""
        with self._client.http.slot() as slot:
            data, response = await self._client.retry(
                lambda: self._read_once(bucket, name, request, allow_large=True), slot
            )
            if not isinstance(data, LargeBody):
                return data, response
            whole = await self._read_in_parts(slot, bucket, name, request, data, response)
        if whole is not None:
            return whole, response
        # The object changed between parts: read it in one response, which is of one version.
        return await self._client.retry(lambda: self.read_whole(bucket, name, request))

    async def read_whole(
        self, bucket: str, name: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview | None, WholeResponse]:
        """As `read`, in one attempt and one response of any size."""
        data, response = await self._read_once(bucket, name, request, allow_large=False)
        assert not isinstance(data, LargeBody)
        return data, response

    async def size(self, bucket: str, name: str) -> int | None:
        """The size of an object from the response to a range; ``None`` when it is missing.

        Raises
        ------
        OSError
            When the response states no size.
        """

        async def attempt() -> int | None:
            received = await self._client.sign_and_send(
                partial(self._client.http.fetch, self._client.url(bucket, name, alt="media")),
                expect=(200, 206, 404, 416),
                headers={**_HEADERS, "Range": "bytes=0-0"},
            )
            body = received.body
            total = total_size(received.headers.get("Content-Range"))
            if isinstance(body, LargeBody):
                body.stream.close()
                if received.status == 200:
                    return body.size
                raise aiohttp.ClientPayloadError(f"{body.size} bytes received for one byte")
            check_is_google(received.status, received.headers, body, is_value=True)
            if received.status == 404:
                return None
            if received.status == 200:
                return len(body)
            if total is None and received.status == 206:
                raise OSError("the response to a range does not state the size of the object")
            # No range of an empty object is satisfiable.
            return total or 0

        return await self._client.retry(attempt)

    async def _read_once(
        self, bucket: str, name: str, request: ByteRequest | None, *, allow_large: bool
    ) -> tuple[bytes | memoryview | LargeBody | None, WholeResponse]:
        """As `read` in one attempt. With ``allow_large`` a large body may be returned unread."""
        range_value = range_header(request)
        headers = _HEADERS if range_value is None else {**_HEADERS, "Range": range_value}
        received = await self._client.sign_and_send(
            partial(self._client.http.fetch, self._client.url(bucket, name, alt="media")),
            expect=(200, 206, 404, 416),
            headers=headers,
            max_bytes=partial(longest_body, request),
        )
        body = received.body
        response = WholeResponse(received.status, received.headers, b"")
        if isinstance(body, LargeBody):
            content_range = received.headers.get("Content-Range")
            arguments = body.stream, body.size, request, received.status, content_range
            is_pinned = is_generation(received.headers.get(GENERATION))
            if is_what_was_asked(*arguments) and allow_large and is_pinned:
                return body, response
            part, is_whole = await read_alone(*arguments)
            check_is_google(received.status, received.headers, part, is_value=True)
            if is_whole:
                await _check(received.status, received.headers, part)
            return part, response
        check_is_google(received.status, received.headers, body, is_value=True)
        if received.status == 404:
            return None, with_message(WholeResponse(received.status, received.headers, bytes(body)))
        total = total_size(response.headers.get("Content-Range"))
        if isinstance(request, SuffixByteRequest) and response.status != 200:
            # A suffix of an empty object: 416, or no bytes with an invalid Content-Range.
            is_empty = response.status == 416 or content_length(response.headers) == 0
            if is_empty and total:
                raise aiohttp.ClientPayloadError(
                    f"no bytes received for a suffix range of an object of {total} bytes"
                )
            if is_empty:
                return b"", response
        if response.status == 416:
            raise RangeNotSatisfiableError(total)
        return await _checked(body, request, response), response

    async def _read_in_parts(
        self,
        slot: Slot,
        bucket: str,
        name: str,
        request: ByteRequest | None,
        body: LargeBody,
        response: WholeResponse,
    ) -> memoryview | None:
        """Read a large body by several requests; ``None`` if their generations differ."""
        generation = response.headers[GENERATION]
        url = self._client.url(bucket, name, alt="media", generation=generation)
        content_range = response.headers.get("Content-Range")
        total = body.size if content_range is None else total_size(content_range)

        def is_same(headers: Mapping[str, str]) -> bool:
            return headers.get(GENERATION) == generation and is_of_total(headers, total)

        def fetch_in(slot: Slot) -> Fetch:
            async def fetch(part: RangeByteRequest, sink: memoryview) -> None:
                fetch_part = partial(self._client.http.fetch_part, url, part, sink, is_same=is_same)
                headers = {**_HEADERS, "Range": range_header(part)}
                await self._client.retry(
                    lambda: self._client.sign_and_send(fetch_part, headers=headers), slot
                )

            return fetch

        with closing(body.stream) as stream:
            try:
                memory = await read_large(
                    stream,
                    body.size,
                    fetch_in(slot),
                    first=part_start(content_range),
                    spare=spares(slot, fetch_in),
                    part_bytes=self._parts.size,
                )
                await _check(response.status, response.headers, memory)
            except (ChangedWhileReadError, aiohttp.ClientPayloadError):
                return None
        return memory


def is_generation(version: str | None) -> TypeGuard[str]:
    """Whether this is a valid generation of an object."""
    return version is not None and _GENERATION.fullmatch(version) is not None


async def _check(status: int, headers: Mapping[str, str], body: memoryview) -> None:
    """Verify the checksum of a large object, unless the response is a part of it."""
    if status == 200:
        await in_thread(verify_checksum, headers, body)


async def _checked(
    body: bytes | memoryview, request: ByteRequest | None, response: WholeResponse
) -> bytes | memoryview:
    """The requested bytes of a complete body, after the checksum of a whole object."""
    headers = response.headers
    if response.status == 200:
        if len(body) < HASH_IN_THREAD_BYTES:
            verify_checksum(headers, body)
        else:
            await in_thread(verify_checksum, headers, body)
    return requested_part(
        body,
        request,
        status=response.status,
        content_range=headers.get("Content-Range"),
        length=content_length(headers),
    )
