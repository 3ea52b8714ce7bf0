"""Reads a blob in one response, or a large one in parts of one version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ..._core.byte_requests import ByteRequest, RangeByteRequest, SuffixByteRequest
from ..._core.failures import RangeNotSatisfiableError
from ..._core.ranges import resolve
from ..._core.versions import is_strong_etag
from ..._http.content_range import content_length, total_size
from ..._http.hedging import HEAD
from ..._http.unexpected_responses import UnexpectedServerError
from ..checksums import digests
from ..object_store.http_reading import HTTPReader
from .responses import AzureError, is_folder, is_missing, verify_checksum

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..._http.messages import Response, ResponseBody
    from ..._http.retrier import Slot
    from ..._http.settings import Parts
    from .client import Client

__all__ = ["Reader"]

T = TypeVar("T")

#: The blob may change between the requests for its size and for its end.
_SUFFIX_ATTEMPTS = 10
#: MD5 of an empty body.
_EMPTY_MD5 = "1B2M2Y8AsgTpgAmY7PhCfg=="


class Reader(HTTPReader[tuple[str, str | None]]):
    """Reads blobs, given by a path and the ETag that the blob must have, if any."""

    version_header = "ETag"
    # Only for values in parts: a single response is of one version, and users may set any MD5.
    _verify = staticmethod(verify_checksum)

    def __init__(self, client: Client, parts: Parts) -> None:
        super().__init__(client.http, parts)
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
        found = await self.blob(path, request)
        return None if found is None else (found.body, _etag(found))

    async def blob(
        self, path: str, request: ByteRequest | None
    ) -> Response[bytes | memoryview] | None:
        """The response with the requested bytes; ``None`` when the blob is missing."""
        try:
            received = await self.get((path, None), request)
        except RangeNotSatisfiableError as error:
            # The response for a directory is 416 too, and has no header that identifies it.
            if not error.size and await self.properties(path) is None:
                return None
            raise
        return None if self._blob_body(received) is None else received

    @staticmethod
    def _blob_body(received: Response[bytes | memoryview]) -> bytes | memoryview | None:
        """The body of a response; ``None`` if the blob is missing."""
        if is_missing(received):
            return None
        # Raises for a response without ETag.
        _etag(received)
        return None if is_folder(received.headers) else received.body

    async def _send(
        self,
        target: tuple[str, str | None],
        byte_range: str | None,
        version: str | None,
        send: Callable[[str, Mapping[str, str]], Awaitable[T]],
        slot: Slot,
    ) -> T:
        path, etag = target
        headers = {}
        if byte_range is not None:
            headers["x-ms-range"] = byte_range
        if (match := version or etag) is not None:
            headers["If-Match"] = match
        return await self._client.sign_and_retry("GET", path, "", headers, send, slot)

    def _is_pinnable(self, version: str) -> bool:
        return is_strong_etag(version)

    def _is_missing(self, found: Response[ResponseBody]) -> bool:
        return is_missing(found)

    def stated_digests(self, headers: Mapping[str, str]) -> dict[str, bytes]:
        # Content-MD5 in the response to a range is the one of the range.
        return digests({"md5": headers.get("x-ms-blob-content-md5")})

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
        found = await self.head(path)
        return None if found is None else (found[0], found[1]["ETag"])

    async def head(self, path: str) -> tuple[int, Mapping[str, str]] | None:
        """Size of a blob and the headers of a HEAD; ``None`` when it is missing."""
        response = await self._client.request("HEAD", path, expect={200, 404}, read=HEAD)
        if is_missing(response):
            return None
        # Raises for a response without ETag.
        _etag(response)
        if is_folder(response.headers):
            return None
        size = content_length(response.headers)
        if size is None or (size == 0 and response.headers.get("Content-MD5") != _EMPTY_MD5):
            # A proxy dropped the Content-Length, or replaced it.
            size = await self.size_by_range((path, None))
        return None if size is None else (size, response.headers)


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
