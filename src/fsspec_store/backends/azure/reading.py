"""How a blob comes from Azure: in one answer, or a large one in parts of one version.

Knows what is asked of a blob, and not how a request is sent.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp

from ...byte_requests import RangeByteRequest, SuffixByteRequest
from ...ranges import is_out_of_range, resolve
from ...threads import in_thread
from ..base import RangeNotSatisfiableError, is_strong_etag
from ..byte_ranges import (
    content_length,
    is_of_total,
    longest_body,
    part_start,
    range_header,
    requested_part,
    stated_size,
    total_size,
)
from ..foreign import ForeignAnswerError
from ..http_answers import (
    Answer,
    LargeBody,
    Received,
    StatusError,
    TornError,
    public_answer,
)
from ..large_reads import read_large, spares
from ..single_stream import is_what_was_asked, read_alone
from .answers import AzureError, check_whole, error_code, is_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...byte_requests import ByteRequest
    from ...sending import Slot
    from ..large_reads import Fetch
    from .requests import Requests

__all__ = ["Reader"]

#: The object may change between asking for its size and for its end.
_SUFFIX_TRIES = 10
#: MD5 of an empty body.
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
        self, path: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview, str] | None:
        """The bytes and their ETag; ``None`` when the blob is missing."""
        try:
            found = await self._read(path, request)
        except RangeNotSatisfiableError as error:
            # Every range of a directory is out of bounds, and its answer does not say what it is.
            if not error.size and await self.properties(path) is None:
                return None
            raise
        body = self._found(found)
        return None if body is None else (body, _etag(found))

    @staticmethod
    def _found(found: Received[bytes | memoryview]) -> bytes | memoryview | None:
        """The bytes of an answer; ``None`` if it says that the blob is missing."""
        if found.status == 404:
            answer = Answer(found.status, found.headers, bytes(found.body))
            if error_code(answer) != "BlobNotFound":
                raise AzureError(answer)
            return None
        # Each answer with a blob states one.
        _etag(found)
        return None if is_folder(found.headers) else found.body

    async def _read(
        self, path: str, request: ByteRequest | None, etag: str | None = None
    ) -> Received[bytes | memoryview]:
        """The answer with the bytes asked for, however many requests they took."""
        with self._requests.http.slot() as slot:
            found = await self._ask(path, request, etag, leaves_large=True, slot=slot)
            body: bytes | memoryview | None
            if isinstance(found.body, LargeBody):
                body = await self._read_in_parts(slot, path, found, found.body)
            else:
                body = found.body
        if body is None:
            # One response is of one version, whatever the service makes of conditions.
            found = await self._ask(path, request, etag, leaves_large=False)
            assert not isinstance(found.body, LargeBody)
            body = found.body
        return Received(found.status, found.headers, body)

    async def _ask(
        self,
        path: str,
        request: ByteRequest | None,
        etag: str | None,
        *,
        leaves_large: bool,
        slot: Slot | None = None,
    ) -> Received[bytes | memoryview | LargeBody]:
        """The answer with the bytes asked for; a large body may be left that can come in parts."""
        headers = {}
        if (wanted := range_header(request)) is not None:
            headers["x-ms-range"] = wanted
        if etag is not None:
            headers["If-Match"] = etag

        async def fetch(url: str, **options: Any) -> Received[bytes | memoryview | LargeBody]:
            found = await self._requests.http.fetch(
                url, expect=_READ_STATUSES, longest=partial(longest_body, request), **options
            )
            body = found.body
            if isinstance(body, LargeBody):
                content_range = found.headers.get("Content-Range")
                asked = body.stream, body.size, request, found.status, content_range
                is_pinned = is_strong_etag(found.headers.get("ETag", ""))
                if is_what_was_asked(*asked) and leaves_large and is_pinned:
                    return found
                # The checksum is not compared: a blob's properties may state any, and one response
                # is of one version in any case.
                part, _ = await read_alone(*asked)
                return Received(found.status, found.headers, part)
            return Received(
                found.status, found.headers, _part(request, found.status, found.headers, body)
            )

        return await self._requests.signed("GET", path, "", headers, fetch, slot)

    async def _read_in_parts(
        self, slot: Slot, path: str, found: Received[Any], body: LargeBody
    ) -> memoryview | None:
        """A large body, by several requests; ``None`` if they are not of one version."""
        etag = found.headers["ETag"]
        content_range = found.headers.get("Content-Range")
        total = body.size if content_range is None else total_size(content_range)

        def is_same(headers: Mapping[str, str]) -> bool:
            return headers.get("ETag") == etag and is_of_total(headers, total)

        def fetch_in(slot: Slot) -> Fetch:
            async def fetch(part: RangeByteRequest, sink: memoryview) -> None:
                fetch_part = partial(
                    self._requests.http.fetch_part, part=part, sink=sink, is_same=is_same
                )
                headers = {"x-ms-range": range_header(part), "If-Match": etag}
                await self._requests.signed("GET", path, "", headers, fetch_part, slot)

            return fetch

        with closing(body.stream) as stream:
            try:
                memory = await read_large(
                    stream,
                    body.size,
                    fetch_in(slot),
                    first=part_start(content_range),
                    spare=spares(slot, fetch_in),
                )
                if found.status == 200:
                    await in_thread(check_whole, found.headers, memory)
            except (TornError, aiohttp.ClientPayloadError):
                return None
        return memory

    async def _read_end(self, path: str, request: SuffixByteRequest) -> bytes | memoryview | None:
        """The last bytes, which Azure cannot be asked for: the size first, then a range of that."""
        for _ in range(_SUFFIX_TRIES):
            found = await self.properties(path)
            if found is None:
                return None
            size, etag = found
            if size == 0:
                return b""
            part = RangeByteRequest(*resolve(request, size))
            try:
                # A weak ETag meets no condition (RFC 9110, section 13.1.1).
                answer = await self._read(path, part, etag if is_strong_etag(etag) else None)
            except (AzureError, RangeNotSatisfiableError) as error:
                if isinstance(error, AzureError) and error.answer.status != 412:
                    raise
                continue
            # Without a condition, or where the service ignores it, the size in the response shows
            # whether this is the end.
            total = _total(answer)
            is_same = is_strong_etag(etag) and answer.headers.get("ETag") == etag
            if answer.status == 404 or total == size or (total is None and is_same):
                return self._found(answer)
        raise OSError(f"the blob changed {_SUFFIX_TRIES} times while its end was read")

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
        # A proxy dropped the length, or states that of its own response.
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
                    raise StatusError(public_answer(answer, url, options["headers"]))
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


def _total(answer: Received[Any]) -> int | None:
    """The blob's size, from an answer that is it or part of it; ``None`` if it does not say."""
    content_range = answer.headers.get("Content-Range")
    if content_range is None:
        return content_length(answer.headers)
    return total_size(content_range)


def _part(
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
    if not body and total.isdigit() and is_out_of_range(request, stated_size(total, "a blob")):
        # Azurite's answer to a range that starts where the blob ends.
        raise RangeNotSatisfiableError(int(total))
    return requested_part(
        body,
        request,
        status=status,
        content_range=content_range,
        length=content_length(headers),
    )
