"""How an object comes from a web server: checked, or cut from the whole, or in parts.

Knows what servers may do instead of what they were asked, and not how a request is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp

from ..._core.byte_requests import RangeByteRequest, SuffixByteRequest
from ..._core.failures import RangeNotSatisfiableError
from ..._core.ranges import is_out_of_range, resolve
from ..._http.content_range import (
    check_part,
    content_coding,
    content_length,
    is_of_total,
    longest_body,
    part_start,
    range_header,
    refuse_encoded_part,
    requested_part,
    total_size,
)
from ..._http.large_reads import read_large, spares
from ..._http.responses import ChangedWhileReadError, HTTPResponse, LargeBody, StatusError
from .bodies import Body, WholeSentError, cut_from_whole, may_come_in_parts, whole_length

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..._core.byte_requests import ByteRequest
    from ..._http.large_reads import Fetch
    from ..._http.retrier import Slot
    from ..._http.settings import Parts
    from .requests import Requests

__all__ = ["Reader"]

#: How often an object may change while its end is read in two requests.
_CHANGES = 3
#: What servers answer that do not do HEAD; the last where a URL is signed for GET alone.
_HEAD_REFUSED = (405, 501, 403)


class Reader:
    """Reads objects.

    Parameters
    ----------
    requests : Requests
        Sends requests.
    parts : Parts
        Which values are read in parts.
    """

    def __init__(self, requests: Requests, parts: Parts) -> None:
        self._requests = requests
        self._parts = parts
        self._answers_head = True

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        """The bytes a request names; ``None`` when there is no object."""
        try:
            answer = await self._get(path, request, again=True)
        except WholeSentError as whole:
            return await self._read_end(path, request, whole.size)
        if answer is None or answer.status != 416:
            return None if answer is None else answer.body
        size = total_size(answer.headers.get("Content-Range"))
        if not isinstance(request, SuffixByteRequest):
            raise RangeNotSatisfiableError(size)
        # Of an empty object there is no suffix, and some servers have none of any.
        if size is None:
            size = await self.size(path)
            if size is None:
                return None
        return await self._read_end(path, request, size) if size else b""

    async def size(self, path: str) -> int | None:
        """The size of an object; ``None`` when there is none."""
        refused = None
        if self._answers_head:
            refused = await self._requests.send(
                "HEAD", path, accept=(200, *_HEAD_REFUSED), receive=_nothing
            )
            if refused is None:
                return None
            if refused.status == 200:
                length = whole_length(refused.headers)
                if length:
                    return length
        # Some servers state no length, or none of a value that they make while they send it.
        size = await self._size_by_get(path)
        if refused is not None and size != 0:
            # Answered where HEAD was not: asked first from now on.
            self._answers_head = False
        return size

    async def _get(
        self, path: str, request: ByteRequest | None, *, again: bool
    ) -> HTTPResponse[bytes | memoryview] | None:
        """Ask for a part; 416 is an answer.

        Parameters
        ----------
        again : bool
            Raise `WholeSentError` where it is worth while to ask once more, with a last byte.
        """
        with self._requests.slot() as slot:
            found = await self._ask(path, request, again=again, slot=slot)
            if found is None:
                return None
            body = found.body
            if not isinstance(body, LargeBody):
                return HTTPResponse(found.status, found.headers, body)
            whole = await self._read_large(slot, path, request, found, body)
        if whole is not None:
            return HTTPResponse(found.status, found.headers, whole)
        # One response is of one version, whatever the server makes of conditions.
        found = await self._ask(path, request, again=again)
        if found is None:
            return None
        assert not isinstance(found.body, LargeBody)
        return HTTPResponse(found.status, found.headers, found.body)

    async def _ask(
        self, path: str, request: ByteRequest | None, *, again: bool, slot: Slot | None = None
    ) -> HTTPResponse[bytes | memoryview | LargeBody] | None:
        """As `_get`; with a slot, a large body that can be read in parts is left in the answer."""
        asked = range_header(request)

        async def receive(body: Body) -> bytes | memoryview | LargeBody:
            status, headers = body.status, body.headers
            if status == 416:
                await body.drain()
                return b""
            refuse_encoded_part(status, headers)
            ignored = status == 200 and "Content-Range" not in headers
            if asked is not None and ignored:
                return await cut_from_whole(body, request, again=again)
            size = whole_length(headers)
            if size is None:
                data: bytes | memoryview = await body.read(longest_body(request, status))
                return _part(request, status, headers, data)
            # Before anything is read: of another part there may be any number of bytes.
            check_part(size, request, status=status, content_range=headers.get("Content-Range"))
            is_large = slot is not None and size > self._parts.above
            if is_large and may_come_in_parts(status, headers):
                return LargeBody(body, size)
            return _part(request, status, headers, await body.read_sized(size))

        if asked is None:
            return await self._requests.send("GET", path, accept=(200,), receive=receive, slot=slot)
        return await self._requests.send(
            "GET",
            path,
            accept=(200, 206, 416),
            receive=receive,
            headers={"Range": asked},
            slot=slot,
        )

    async def _read_large(
        self,
        slot: Slot,
        path: str,
        request: ByteRequest | None,
        found: HTTPResponse[Any],
        body: LargeBody,
    ) -> bytes | memoryview | None:
        """A large body, its end by other requests for this very version; ``None`` if torn."""
        etag = found.headers["ETag"]
        total = _whole_size(found)

        def is_same(headers: Mapping[str, str]) -> bool:
            # Not every server that ignores a condition says so.
            is_unchanged = headers.get("ETag") == etag and is_of_total(headers, total)
            return is_unchanged and not content_coding(headers)

        def fetch_in(slot: Slot) -> Fetch:
            async def fetch(part: RangeByteRequest, sink: memoryview) -> None:
                headers = {"Range": range_header(part), "If-Match": etag}
                await self._requests.fetch_part(
                    path, part, sink, headers=headers, is_same=is_same, slot=slot
                )

            return fetch

        try:
            first = part_start(found.headers.get("Content-Range"))
            memory = await read_large(
                body.stream,
                body.size,
                fetch_in(slot),
                first=first,
                spare=spares(slot, fetch_in),
                part_bytes=self._parts.size,
            )
            return _part(request, found.status, found.headers, memory)
        except (
            ChangedWhileReadError,
            StatusError,
            RangeNotSatisfiableError,
            aiohttp.ClientPayloadError,
        ):
            # Not every server that takes ranges takes them under a condition.
            return None

    async def _read_end(
        self, path: str, request: ByteRequest | None, size: int
    ) -> bytes | memoryview | None:
        """Read the end of an object of known size, as a range that names its last byte.

        All of it is of one answer, which says the size once more: nothing is put together.
        """
        for _ in range(_CHANGES):
            if is_out_of_range(request, size):
                raise RangeNotSatisfiableError(size)
            part = RangeByteRequest(*resolve(request, size))
            answer = await self._get(path, part, again=False)
            if answer is None:
                return None
            now = _whole_size(answer)
            if answer.status != 416 and now in (size, None):
                return answer.body
            if now is None:
                now = await self.size(path)
                if now is None:
                    return None
            size = now
        raise OSError(f"the object changed {_CHANGES} times while its end was read")

    async def _size_by_get(self, path: str) -> int | None:
        """The size by asking for the first byte, or, of a compressed object, by counting."""

        async def receive(body: Body) -> bytes:
            if body.status == 200 and whole_length(body.headers) is None:
                return b"%d" % await body.size()
            if body.status != 200:
                await body.drain()
            return b""

        headers = {"Range": "bytes=0-0"}
        answer = await self._requests.send(
            "GET", path, accept=(200, 206, 416), receive=receive, headers=headers
        )
        if answer is not None and answer.status == 206 and _whole_size(answer) is None:
            answer = await self._requests.send("GET", path, accept=(200,), receive=receive)
        if answer is None:
            return None
        if answer.body:
            return int(answer.body)
        size = _whole_size(answer)
        # Nothing but an empty object has no first byte.
        return 0 if size is None else size


def _part(
    request: ByteRequest | None,
    status: int,
    headers: Mapping[str, str],
    body: bytes | memoryview,
) -> bytes | memoryview:
    """The bytes that were asked for, of a decoded body."""
    return requested_part(
        body,
        request,
        status=status,
        content_range=headers.get("Content-Range"),
        # An encoded body's announced length is that of the encoding, and aiohttp's to check.
        length=whole_length(headers),
    )


async def _nothing(body: Body) -> bytes:
    """Nothing of a body."""
    return b""


def _whole_size(answer: HTTPResponse[Any]) -> int | None:
    """The object's size, from an answer that is it, or part of it, or out of its range."""
    if content_coding(answer.headers):
        return None
    if answer.status == 200:
        return content_length(answer.headers)
    return total_size(answer.headers.get("Content-Range"))
