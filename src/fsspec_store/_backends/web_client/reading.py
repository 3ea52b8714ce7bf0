"""Reads of objects from web servers: ranges, whole objects, large objects in parts, and sizes.

Handles servers that ignore ranges, conditions or HEAD. Requests are sent by `client`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._core.byte_requests import RangeByteRequest, SuffixByteRequest
from ..._core.failures import ChangedWhileReadError, RangeNotSatisfiableError
from ..._core.ranges import bounds
from ..._http.content_range import (
    check_not_encoded,
    check_part,
    content_coding,
    max_body_bytes,
    range_header,
    requested_part,
    total_size,
)
from ..._http.messages import LargeBody, Response
from ..._http.responses import StatusError, retry_decision_of_error
from ..object_store.streamed_reads import open_stream
from ..object_store.versioned_reads import ValueReader, is_version
from .bodies import Body, RangeIgnoredError, extract_range, object_size, supports_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..._core.byte_requests import ByteRequest
    from ..._core.streams import OpenValue
    from ..._http.messages import ResponseBody
    from ..._http.parallel_reads import FetchPart
    from ..._http.retrier import Slot
    from ..._http.settings import Parts
    from .client import WebClient

__all__ = ["Reader"]

#: Maximum number of attempts if an object changes while its end is read in two requests.
_ATTEMPTS = 3
#: Responses to HEAD of servers that support only GET; 403 if the URL is signed for GET.
_HEAD_REJECTED = (405, 501, 403)


class _Target(NamedTuple):
    path: str
    #: Whether to raise `RangeIgnoredError` if a second request, with a last byte, is cheaper.
    may_repeat: bool


class Reader(ValueReader[_Target]):
    """Reads objects of a web server."""

    version_header = "ETag"

    def __init__(self, client: WebClient, parts: Parts) -> None:
        super().__init__(client.slot, parts)
        self._client = client
        self._large_bytes = parts.above
        self._supports_head = True

    def supports_parts(self, status: int, headers: Mapping[str, str]) -> bool:
        return supports_parts(status, headers)

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        """Read an object or a part of it; ``None`` if there is no object."""
        try:
            response = await self.get(_Target(path, may_repeat=True), request)
        except RangeIgnoredError as whole:
            return await self._read_end(path, request, whole.size)
        if response.status != 416:
            return None if response.status == 404 else response.body
        size = total_size(response.headers.get("Content-Range"))
        if not isinstance(request, SuffixByteRequest):
            raise RangeNotSatisfiableError(size)
        # 416 for a suffix: the object is empty, or the server does not support suffixes.
        if size is None:
            size = await self.size(path)
            if size is None:
                return None
        return await self._read_end(path, request, size) if size else b""

    async def part(self, path: str, request: ByteRequest) -> Response[bytes | memoryview] | None:
        """The response with a range of an object; ``None`` if there is no object."""
        response = await self.get(_Target(path, may_repeat=False), request)
        if response.status == 416:
            raise RangeNotSatisfiableError(total_size(response.headers.get("Content-Range")))
        return None if response.status == 404 else response

    async def open(self, path: str, start: int, version: str | None) -> OpenValue | None:
        """Open an object, to read it in parts; see `Backend.open_value`."""

        async def read_whole() -> tuple[bytes | memoryview, None] | None:
            data = await self.read(path, None)
            return None if data is None else (data, None)

        return await open_stream(
            self,
            _Target(path, may_repeat=False),
            start,
            version,
            get=partial(self.part, path),
            read_version=read_whole,
            read=partial(self.read, path),
        )

    async def size(self, path: str) -> int | None:
        """The size of an object; ``None`` if there is no object."""
        found = await self.head(path)
        return None if found is None else found[0]

    async def head(self, path: str) -> tuple[int, Mapping[str, str]] | None:
        """The size of an object and the headers of a response; ``None`` if there is no object."""
        response = None
        if self._supports_head:
            response = await self._client.send(
                "HEAD", path, accept=(200, *_HEAD_REJECTED), receive=Body.drain
            )
            if response is None:
                return None
            if response.status == 200 and (length := object_size(response.headers)):
                return length, response.headers
        # Some servers state no length for HEAD, or 0 for an object generated on the fly.
        found = await self._head_by_get(path)
        if response is not None and (found is None or found[0] != 0):
            # GET states the size, and HEAD does not: use only GET from now on.
            self._supports_head = False
        return found

    async def _get(
        self, target: _Target, request: ByteRequest | None, slot: Slot, *, allow_large: bool
    ) -> Response[ResponseBody]:
        byte_range = range_header(request)

        async def receive(body: Body) -> bytes | memoryview | LargeBody:
            status, headers = body.status, body.headers
            if status == 416:
                await body.drain()
                return b""
            check_not_encoded(status, headers)
            ignored = status == 200 and "Content-Range" not in headers
            if byte_range is not None and ignored:
                return await extract_range(body, request, may_repeat=target.may_repeat)
            # The Content-Length of an encoded body is the encoded length, which aiohttp checks.
            size = object_size(headers)
            content_range = headers.get("Content-Range")
            if size is None:
                data: bytes | memoryview = await body.read(max_body_bytes(request, status))
            else:
                # Checked before the body is read: a wrong part may have any number of bytes.
                check_part(size, request, status=status, content_range=content_range)
                slot.reserve(size)
                if allow_large and size > self._large_bytes and supports_parts(status, headers):
                    return LargeBody(body, size)
                data = await body.read_sized(size)
            return requested_part(
                data, request, status=status, content_range=content_range, length=size
            )

        found = await self._client.send(
            "GET",
            target.path,
            accept=(200,) if byte_range is None else (200, 206, 416),
            receive=receive,
            headers={} if byte_range is None else {"Range": byte_range},
            slot=slot,
        )
        return Response(404, {}, b"") if found is None else found

    def fetch_part(
        self, target: _Target, headers: Mapping[str, str], total: int | None
    ) -> FetchPart:
        etag = headers["ETag"]
        is_same_version = is_version("ETag", etag, total)

        def is_same(headers: Mapping[str, str]) -> bool:
            return is_same_version(headers) and not content_coding(headers)

        async def fetch(part: RangeByteRequest, sink: memoryview, slot: Slot) -> None:
            headers = {"Range": range_header(part), "If-Match": etag}
            try:
                await self._client.fetch_part(
                    target.path, part, sink, headers=headers, is_same=is_same, slot=slot
                )
            except (StatusError, RangeNotSatisfiableError) as error:
                if retry_decision_of_error(error) is not None:
                    raise
                # Some servers support ranges, but not together with a condition.
                raise ChangedWhileReadError from None

        return fetch

    async def _read_end(
        self, path: str, request: ByteRequest | None, size: int
    ) -> bytes | memoryview | None:
        """Read the end of an object of known size, as a range with a last byte.

        The result is from a single response, which must state the same size.
        """
        for _ in range(_ATTEMPTS):
            part = RangeByteRequest(*bounds(request, size))
            response = await self.get(_Target(path, may_repeat=False), part)
            if response.status == 404:
                return None
            now = _whole_size(response)
            if response.status != 416 and now in (size, None):
                return response.body
            if now is None:
                now = await self.size(path)
                if now is None:
                    return None
            size = now
        raise OSError(f"the object changed {_ATTEMPTS} times while its end was read")

    async def _head_by_get(self, path: str) -> tuple[int, Mapping[str, str]] | None:
        """The size from a request for the first byte, or by counting the bytes of the object."""

        async def receive(body: Body) -> bytes:
            if body.status == 200 and object_size(body.headers) is None:
                return b"%d" % await body.size()
            if body.status != 200:
                await body.drain()
            return b""

        headers = {"Range": "bytes=0-0"}
        response = await self._client.send(
            "GET", path, accept=(200, 206, 416), receive=receive, headers=headers
        )
        if response is not None and response.status == 206 and _whole_size(response) is None:
            response = await self._client.send("GET", path, accept=(200,), receive=receive)
        if response is None:
            return None
        # 416 without a size: only an empty object has no first byte.
        size = int(response.body) if response.body else _whole_size(response) or 0
        return size, response.headers


def _whole_size(response: Response[Any]) -> int | None:
    """The object's size from a 200, 206 or 416 response; ``None`` if it is not stated."""
    if response.status == 200 or content_coding(response.headers):
        return object_size(response.headers)
    return total_size(response.headers.get("Content-Range"))
