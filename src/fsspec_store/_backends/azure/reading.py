"""Reads a blob in one response, or a large one in parts of one version.

Does not know how a request is sent.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ..._core.byte_requests import RangeByteRequest, SuffixByteRequest
from ..._core.failures import RangeNotSatisfiableError
from ..._core.ranges import is_out_of_range, resolve
from ..._core.versions import is_strong_etag
from ..._http.content_range import (
    content_length,
    max_body_bytes,
    range_header,
    requested_part,
    stated_size,
    total_size,
)
from ..._http.messages import LargeBody, Response
from ..._http.responses import StatusError, redacted_response
from ..._http.unexpected_responses import UnexpectedServerError
from ..object_store.reading import (
    ValueReader,
    is_version,
    read_requested_range,
    size_from_range,
)
from .responses import AzureError, error_code, is_folder, verify_checksum

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..._core.byte_requests import ByteRequest
    from ..._http.large_reads import FetchPart
    from ..._http.messages import ResponseBody
    from ..._http.retrier import Slot
    from ..._http.settings import Parts
    from .client import Client

__all__ = ["Reader"]

#: The blob may change between the requests for its size and for its end.
_SUFFIX_ATTEMPTS = 10
#: MD5 of an empty body.
_EMPTY_MD5 = "1B2M2Y8AsgTpgAmY7PhCfg=="


class Reader(ValueReader[tuple[str, str | None]]):
    """Reads blobs, given by a path and the ETag that the blob must have, if any.

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

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        """The requested bytes; ``None`` when the blob is missing."""
        if isinstance(request, SuffixByteRequest):
            return await self._suffix(path, request)
        found = await self.read_version(path, request)
        return None if found is None else found[0]

    async def read_version(
        self, path: str, request: ByteRequest | None = None
    ) -> tuple[bytes | memoryview, str] | None:
        """The requested bytes and their ETag; ``None`` when the blob is missing."""
        try:
            received = await self.get((path, None), request)
        except RangeNotSatisfiableError as error:
            # The response for a directory is 416 too, and has no header that identifies it.
            if not error.size and await self.properties(path) is None:
                return None
            raise
        body = self._blob_body(received)
        return None if body is None else (body, _etag(received))

    @staticmethod
    def _blob_body(received: Response[bytes | memoryview]) -> bytes | memoryview | None:
        """The body of a response; ``None`` if the blob is missing."""
        if received.status == 404:
            response = Response(received.status, received.headers, bytes(received.body))
            if error_code(response) != "BlobNotFound":
                raise AzureError(response)
            return None
        # Raises for a response without ETag.
        _etag(received)
        return None if is_folder(received.headers) else received.body

    async def _get(
        self,
        target: tuple[str, str | None],
        request: ByteRequest | None,
        slot: Slot,
        *,
        allow_large: bool,
    ) -> Response[ResponseBody]:
        path, etag = target
        headers = {}
        if (range_value := range_header(request)) is not None:
            headers["x-ms-range"] = range_value
        if etag is not None:
            headers["If-Match"] = etag

        async def fetch(url: str, headers: Mapping[str, str]) -> Response[ResponseBody]:
            received = await self._client.http.fetch(
                url, headers, max_bytes=partial(max_body_bytes, request)
            )
            status, headers, body = received.status, received.headers, received.body
            if isinstance(body, LargeBody):
                is_pinned = allow_large and is_strong_etag(headers.get("ETag", ""))
                # The checksum of a single response is not verified: it is of one version, and users
                # may set any Content-MD5.
                received, _ = await read_requested_range(
                    received, body, request, is_pinned=is_pinned
                )
                return received
            return Response(status, headers, _requested_bytes(request, status, headers, body))

        return await self._client.sign_and_retry("GET", path, "", headers, fetch, slot)

    def _fetch_part(
        self, target: tuple[str, str | None], headers: Mapping[str, str], total: int | None
    ) -> FetchPart:
        etag = headers["ETag"]
        is_same = is_version("ETag", etag, total)

        async def fetch(part: RangeByteRequest, sink: memoryview, slot: Slot) -> None:
            fetch_part = partial(
                self._client.http.fetch_part, part=part, sink=sink, is_same=is_same
            )
            headers = {"x-ms-range": range_header(part), "If-Match": etag}
            await self._client.sign_and_retry("GET", target[0], "", headers, fetch_part, slot)

        return fetch

    def _checksum(self, found: Response[ResponseBody]) -> Callable[[memoryview], None] | None:
        return partial(verify_checksum, found.headers) if found.status == 200 else None

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
                response = await self.get((path, etag if is_strong_etag(etag) else None), part)
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

        async def fetch(url: str, headers: Mapping[str, str]) -> int | None:
            received = await self._client.http.fetch(url, headers)
            if received.status == 404 and not isinstance(received.body, LargeBody):
                response = Response(404, received.headers, bytes(received.body))
                if error_code(response) != "BlobNotFound":
                    raise StatusError(redacted_response(response, url, headers))
                return None
            return size_from_range(received)

        headers = {"x-ms-range": "bytes=0-0"}
        return await self._client.sign_and_retry("GET", path, "", headers, fetch)


def _etag(response: Response[Any]) -> str:
    """The ETag, which every response with a blob has."""
    etag: str | None = response.headers.get("ETag")
    if etag is None:
        raise UnexpectedServerError("Azure's protocol", response.status, response.headers)
    return etag


def _blob_size(response: Response[Any]) -> int | None:
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
