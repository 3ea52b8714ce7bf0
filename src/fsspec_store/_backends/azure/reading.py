"""Reads a blob in one response, or a large one in parts of one version.

Does not know how a request is sent.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp

from ..._core.byte_requests import RangeByteRequest, SuffixByteRequest
from ..._core.failures import RangeNotSatisfiableError
from ..._core.ranges import is_out_of_range, resolve
from ..._core.versions import is_strong_etag
from ..._http.content_range import (
    content_length,
    is_of_total,
    longest_body,
    part_start,
    range_header,
    requested_part,
    stated_size,
    total_size,
)
from ..._http.large_reads import read_large, spares
from ..._http.responses import (
    ChangedWhileReadError,
    HTTPResponse,
    LargeBody,
    StatusError,
    WholeResponse,
    redacted_response,
)
from ..._http.single_stream import is_what_was_asked, read_alone
from ..._http.unexpected_responses import UnexpectedServerError
from ..._runtime.threads import in_thread
from .responses import AzureError, error_code, is_folder, verify_checksum

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..._core.byte_requests import ByteRequest
    from ..._http.large_reads import Fetch
    from ..._http.retrier import Slot
    from ..._http.settings import Parts
    from .client import Client

__all__ = ["Reader"]

#: The blob may change between the requests for its size and for its end.
_SUFFIX_ATTEMPTS = 10
#: MD5 of an empty body.
_EMPTY_MD5 = "1B2M2Y8AsgTpgAmY7PhCfg=="
_READ_STATUSES = frozenset({200, 206, 404, 416})


class Reader:
    """Reads blobs.

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

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        """The requested bytes; ``None`` when the blob is missing."""
        if isinstance(request, SuffixByteRequest):
            return await self._suffix(path, request)
        found = await self.get(path, request)
        return None if found is None else found[0]

    async def get(
        self, path: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview, str] | None:
        """The requested bytes and their ETag; ``None`` when the blob is missing."""
        try:
            received = await self._read(path, request)
        except RangeNotSatisfiableError as error:
            # The response for a directory is 416 too, and has no header that identifies it.
            if not error.size and await self.properties(path) is None:
                return None
            raise
        body = self._blob_body(received)
        return None if body is None else (body, _etag(received))

    @staticmethod
    def _blob_body(received: HTTPResponse[bytes | memoryview]) -> bytes | memoryview | None:
        """The body of a response; ``None`` if the blob is missing."""
        if received.status == 404:
            response = WholeResponse(received.status, received.headers, bytes(received.body))
            if error_code(response) != "BlobNotFound":
                raise AzureError(response)
            return None
        # Raises for a response without ETag.
        _etag(received)
        return None if is_folder(received.headers) else received.body

    async def _read(
        self, path: str, request: ByteRequest | None, etag: str | None = None
    ) -> HTTPResponse[bytes | memoryview]:
        """A response with the requested bytes, from one request or several."""
        with self._client.http.slot() as slot:
            received = await self._request(path, request, etag, allow_large=True, slot=slot)
            body: bytes | memoryview | None
            if isinstance(received.body, LargeBody):
                body = await self._read_in_parts(slot, path, received, received.body)
            else:
                body = received.body
        if body is None:
            # The blob changed between parts: read it in one response, which is of one version.
            received = await self._request(path, request, etag, allow_large=False)
            assert not isinstance(received.body, LargeBody)
            body = received.body
        return HTTPResponse(received.status, received.headers, body)

    async def _request(
        self,
        path: str,
        request: ByteRequest | None,
        etag: str | None,
        *,
        allow_large: bool,
        slot: Slot | None = None,
    ) -> HTTPResponse[bytes | memoryview | LargeBody]:
        """Send a GET. With ``allow_large`` a large body may be returned unread."""
        headers = {}
        if (range_value := range_header(request)) is not None:
            headers["x-ms-range"] = range_value
        if etag is not None:
            headers["If-Match"] = etag

        async def fetch(url: str, **options: Any) -> HTTPResponse[bytes | memoryview | LargeBody]:
            received = await self._client.http.fetch(
                url, expect=_READ_STATUSES, max_bytes=partial(longest_body, request), **options
            )
            body = received.body
            if isinstance(body, LargeBody):
                content_range = received.headers.get("Content-Range")
                arguments = body.stream, body.size, request, received.status, content_range
                is_pinned = is_strong_etag(received.headers.get("ETag", ""))
                if is_what_was_asked(*arguments) and allow_large and is_pinned:
                    return received
                # The checksum is not verified: users may set any Content-MD5, and one response is
                # of one version.
                part, _ = await read_alone(*arguments)
                return HTTPResponse(received.status, received.headers, part)
            body = _requested_bytes(request, received.status, received.headers, body)
            return HTTPResponse(received.status, received.headers, body)

        return await self._client.sign_and_retry("GET", path, "", headers, fetch, slot)

    async def _read_in_parts(
        self, slot: Slot, path: str, received: HTTPResponse[Any], body: LargeBody
    ) -> memoryview | None:
        """Read a large body by several requests; ``None`` if their versions differ."""
        etag = received.headers["ETag"]
        content_range = received.headers.get("Content-Range")
        total = body.size if content_range is None else total_size(content_range)

        def is_same(headers: Mapping[str, str]) -> bool:
            return headers.get("ETag") == etag and is_of_total(headers, total)

        def fetch_in(slot: Slot) -> Fetch:
            async def fetch(part: RangeByteRequest, sink: memoryview) -> None:
                fetch_part = partial(
                    self._client.http.fetch_part, part=part, sink=sink, is_same=is_same
                )
                headers = {"x-ms-range": range_header(part), "If-Match": etag}
                await self._client.sign_and_retry("GET", path, "", headers, fetch_part, slot)

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
                if received.status == 200:
                    await in_thread(verify_checksum, received.headers, memory)
            except (ChangedWhileReadError, aiohttp.ClientPayloadError):
                return None
        return memory

    async def _suffix(self, path: str, request: SuffixByteRequest) -> bytes | memoryview | None:
        """The last bytes. Azure has no suffix ranges: get the size, then a range."""
        for _ in range(_SUFFIX_ATTEMPTS):
            properties = await self.properties(path)
            if properties is None:
                return None
            size, etag = properties
            if size == 0:
                return b""
            part = RangeByteRequest(*resolve(request, size))
            try:
                # A weak ETag never matches If-Match (RFC 9110, section 13.1.1).
                response = await self._read(path, part, etag if is_strong_etag(etag) else None)
            except (AzureError, RangeNotSatisfiableError) as error:
                if isinstance(error, AzureError) and error.response.status != 412:
                    raise
                continue
            # Without a condition, or where the service ignores it, the size in the response proves
            # that this is the end.
            total = _blob_size(response)
            is_same = is_strong_etag(etag) and response.headers.get("ETag") == etag
            if response.status == 404 or total == size or (total is None and is_same):
                return self._blob_body(response)
        raise OSError(f"the blob changed {_SUFFIX_ATTEMPTS} times while its end was read")

    async def properties(self, path: str) -> tuple[int, str] | None:
        """Size and ETag of a blob; ``None`` when it is missing."""
        response = await self._client.request("HEAD", path, expect={200, 404})
        if response.status == 404:
            if error_code(response) != "BlobNotFound":
                raise AzureError(response)
            return None
        etag = _etag(response)
        if is_folder(response.headers):
            return None
        size = content_length(response.headers)
        if size or (size == 0 and response.headers.get("Content-MD5") == _EMPTY_MD5):
            return size, etag
        # A proxy dropped the Content-Length, or replaced it.
        size = await self._size_by_range(path)
        return None if size is None else (size, etag)

    async def _size_by_range(self, path: str) -> int | None:
        """The size of a blob from the response to a range; ``None`` when it is missing."""

        async def fetch(url: str, **options: Any) -> int | None:
            received = await self._client.http.fetch(url, expect=_READ_STATUSES, **options)
            body = received.body
            if isinstance(body, LargeBody):
                body.stream.close()
                return body.size
            if received.status == 404:
                response = WholeResponse(received.status, received.headers, bytes(body))
                if error_code(response) != "BlobNotFound":
                    raise StatusError(redacted_response(response, url, options["headers"]))
                return None
            total = total_size(received.headers.get("Content-Range"))
            if received.status == 200 and total is None:
                return len(body)
            if total is None and received.status == 206:
                raise OSError("the response to a range does not state the size of the blob")
            # No range of an empty blob is satisfiable.
            return total or 0

        headers = {"x-ms-range": "bytes=0-0"}
        return await self._client.sign_and_retry("GET", path, "", headers, fetch)


def _etag(response: HTTPResponse[Any]) -> str:
    """The ETag, which every response with a blob has."""
    etag: str | None = response.headers.get("ETag")
    if etag is None:
        raise UnexpectedServerError("Azure's protocol", response.status, response.headers)
    return etag


def _blob_size(response: HTTPResponse[Any]) -> int | None:
    """The size of the whole blob as stated in a response, ``None`` if it is not."""
    content_range = response.headers.get("Content-Range")
    if content_range is None:
        return content_length(response.headers)
    return total_size(content_range)


def _requested_bytes(
    request: ByteRequest | None,
    status: int,
    headers: Mapping[str, str],
    body: bytes | memoryview,
) -> bytes | memoryview:
    """The requested bytes, as stored: Content-Encoding is a property of the blob."""
    content_range = headers.get("Content-Range", "")
    if status == 416:
        raise RangeNotSatisfiableError(total_size(content_range))
    if status not in (200, 206):
        return body
    total = content_range.rpartition("/")[2]
    if not body and total.isdigit() and is_out_of_range(request, stated_size(total, "a blob")):
        # Azurite's response to a range that starts at the end of the blob.
        raise RangeNotSatisfiableError(int(total))
    return requested_part(
        body,
        request,
        status=status,
        content_range=content_range,
        length=content_length(headers),
    )
