"""How a blob comes from Azure: in one answer, or a large one in parts of one version.

Knows what is asked of a blob, and not how a request is sent.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp

from ...byte_requests import RangeByteRequest, SuffixByteRequest
from ...ranges import is_out_of_range, resolve
from ...threads import in_thread
from ..base import RangeNotSatisfiableError, is_etag
from ..byte_ranges import content_length, part_start, range_header, requested_part, total_size
from ..foreign import ForeignAnswerError
from ..http_answers import Answer, LargeBody, Received, StatusError, TornError
from ..large_reads import LARGE_BYTES, read_all, read_large
from .answers import AzureError, check_whole, error_code, is_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...byte_requests import ByteRequest
    from .requests import Requests

__all__ = ["Reader"]

#: The object may change between asking for its size and for its end.
_SUFFIX_TRIES = 10
#: Of no bytes.
_EMPTY_MD5 = "1B2M2Y8AsgTpgAmY7PhCfg=="
_READ_STATUSES = frozenset({200, 206, 404, 416})


class Reader:
    """Reads blobs.

    Parameters
    ----------
    requests : Requests
        Sends requests.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        """What a request names; ``None`` when the blob is missing."""
        if isinstance(request, SuffixByteRequest):
            return await self._read_end(path, request)
        found = await self.get(path, request)
        return None if found is None else found[0]

    async def get(
        self, path: str, request: ByteRequest | None, etag: str | None = None
    ) -> tuple[bytes | memoryview, str] | None:
        """The bytes and their ETag; ``None`` when the blob is missing."""
        try:
            found = await self._ask(path, request, etag, leave_large=True)
            body = found.body
            if isinstance(body, LargeBody):
                whole = await self._read_large(path, request, found, body)
                if whole is None:
                    found = await self._ask(path, request, etag, leave_large=False)
                    body = found.body
                    assert not isinstance(body, LargeBody)
                else:
                    body = whole
        except RangeNotSatisfiableError as error:
            # Every range of a directory is out of bounds, and its answer does not say what it is.
            if not error.size and await self.properties(path) is None:
                return None
            raise
        if found.status == 404:
            answer = Answer(found.status, found.headers, bytes(body))
            if error_code(answer) != "BlobNotFound":
                raise AzureError(answer)
            return None
        return None if is_folder(found.headers) else (body, _etag(found))

    async def _ask(
        self, path: str, request: ByteRequest | None, etag: str | None, *, leave_large: bool
    ) -> Received[bytes | memoryview | LargeBody]:
        """The answer with the bytes asked for; a large body may be left in it."""
        headers = {}
        if (wanted := range_header(request)) is not None:
            headers["x-ms-range"] = wanted
        if etag is not None:
            headers["If-Match"] = etag

        async def fetch(url: str, **options: Any) -> Received[bytes | memoryview | LargeBody]:
            found = await self._requests.http.fetch(url, expect=_READ_STATUSES, **options)
            body = found.body
            if isinstance(body, LargeBody):
                is_asked = found.status == 206 or wanted is None
                if leave_large and is_asked and is_etag(found.headers.get("ETag", "")):
                    return found
                body = await read_all(body.stream, body.size)
            part = await _part(request, found.status, found.headers, body)
            return Received(found.status, found.headers, part)

        return await self._requests.signed("GET", path, "", headers, fetch)

    async def _read_large(
        self,
        path: str,
        request: ByteRequest | None,
        found: Received[Any],
        body: LargeBody,
    ) -> bytes | memoryview | None:
        """A large body, its end by other requests for this very version; ``None`` if torn."""
        etag = found.headers["ETag"]

        async def fetch(part: RangeByteRequest, sink: memoryview) -> None:
            fetch_part = partial(
                self._requests.http.fetch_part,
                part=part,
                sink=sink,
                is_same=lambda headers: headers.get("ETag") == etag,
            )
            headers = {"x-ms-range": range_header(part), "If-Match": etag}
            await self._requests.signed("GET", path, "", headers, fetch_part)

        try:
            first = part_start(found.headers.get("Content-Range"))
            memory = await read_large(body.stream, body.size, fetch, first=first)
            return await _part(request, found.status, found.headers, memory)
        except (TornError, aiohttp.ClientPayloadError):
            return None

    async def _read_end(self, path: str, request: SuffixByteRequest) -> bytes | memoryview | None:
        """The last bytes, which Azure cannot be asked for: the size first, then a range of that."""
        for attempt in range(_SUFFIX_TRIES):
            found = await self.properties(path)
            if found is None:
                return None
            size, etag = found
            if size == 0:
                return b""
            part = RangeByteRequest(*resolve(request, size))
            try:
                found_part = await self.get(path, part, etag)
            except (AzureError, RangeNotSatisfiableError) as error:
                changed = not isinstance(error, AzureError) or error.code == "ConditionNotMet"
                if not changed or attempt == _SUFFIX_TRIES - 1:
                    raise
            else:
                return None if found_part is None else found_part[0]
        raise AssertionError("the last attempt returns or raises")

    async def properties(self, path: str) -> tuple[int, str] | None:
        """Size and ETag of a blob; ``None`` when it is missing."""
        answer = await self._requests.send("HEAD", path, expect={200, 404})
        if answer.status == 404:
            if error_code(answer) != "BlobNotFound":
                raise AzureError(answer)
            return None
        etag = _etag(answer)
        if is_folder(answer.headers):
            return None
        size = content_length(answer.headers)
        if size or (size == 0 and answer.headers.get("Content-MD5") == _EMPTY_MD5):
            return size, etag
        # A proxy left the length out, or states that of its own answer.
        size = await self._size_by_range(path)
        return None if size is None else (size, etag)

    async def _size_by_range(self, path: str) -> int | None:
        """The size of a blob as the answer to a range of it says; ``None`` when it is missing."""

        async def fetch(url: str, **options: Any) -> int | None:
            found = await self._requests.http.fetch(url, expect=_READ_STATUSES, **options)
            body = found.body
            if isinstance(body, LargeBody):
                body.stream.close()
                return body.size
            if found.status == 404:
                answer = Answer(found.status, found.headers, bytes(body))
                if error_code(answer) != "BlobNotFound":
                    raise StatusError(answer)
                return None
            total = total_size(found.headers.get("Content-Range"))
            if found.status == 200 and total is None:
                return len(body)
            if total is None and found.status == 206:
                raise OSError("the service does not say how large the blob is")
            # Of an empty blob no range is satisfiable.
            return total or 0

        headers = {"x-ms-range": "bytes=0-0"}
        return await self._requests.signed("GET", path, "", headers, fetch)


def _etag(answer: Received[Any]) -> str:
    """The ETag, which Azure sends with each blob."""
    etag: str | None = answer.headers.get("ETag")
    if etag is None:
        raise ForeignAnswerError("Azure's protocol", answer.status, answer.headers)
    return etag


async def _part(
    request: ByteRequest | None,
    status: int,
    headers: Mapping[str, str],
    body: bytes | memoryview,
) -> bytes | memoryview:
    """The bytes asked for. A blob's Content-Encoding is a note on it, not how it was sent."""
    content_range = headers.get("Content-Range", "")
    if status == 416:
        raise RangeNotSatisfiableError(total_size(content_range))
    if status not in (200, 206):
        return body
    total = content_range.rpartition("/")[2]
    if not body and total.isdigit() and is_out_of_range(request, int(total)):
        # Azurite's answer to a range that starts where the blob ends.
        raise RangeNotSatisfiableError(int(total))
    if status == 200 and len(body) > LARGE_BYTES:
        await in_thread(check_whole, headers, body)
    return requested_part(
        body,
        request,
        status=status,
        content_range=content_range,
        length=content_length(headers),
    )
