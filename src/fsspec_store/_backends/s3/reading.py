"""Reads objects: in one response, or a large value in parts of one version."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

import aiohttp

from ..._core.failures import ChangedWhileReadError
from ..._core.versions import is_strong_etag
from ..._http.content_range import max_body_bytes, range_header, requested_part
from ..._http.hedging import WHOLE
from ..._http.messages import LargeBody, Response, ResponseBody
from ..._runtime.threads import in_thread
from ..object_store.versioned_reads import ValueReader, is_version, read_requested_range
from .checksums import stated_checksum
from .requests import GetObject
from .responses import error_code, is_part_rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..._core.byte_requests import ByteRequest, RangeByteRequest
    from ..._http.parallel_reads import FetchPart
    from ..._http.retrier import Slot
    from ..._http.settings import Parts
    from ..object_store.buckets import Buckets
    from .client import Client

__all__ = ["Reader"]

_MISSING: Response[bytes] = Response(404, {}, b"")


class Reader(ValueReader[tuple[str, str]]):
    """Reads objects, given by bucket and key. It adds to the buckets that are known to exist."""

    version_header = "etag"

    def __init__(self, client: Client, buckets: Buckets, parts: Parts) -> None:
        super().__init__(client.slot, parts)
        self._client = client
        self._buckets = buckets.seen

    async def read(
        self, target: tuple[str, str], request: ByteRequest | None = None
    ) -> Response[bytes | memoryview] | None:
        """Like `get`; ``None`` when the object is missing."""
        # Without `get`, which would add calls to each read.
        with self._client.slot() as slot:
            slot.read = request or WHOLE
            get = partial(self._get_once, target, request, slot, allow_large=True)
            response = await slot.send(get, refresh=self._client.refresh)
            if isinstance(response.body, LargeBody):
                response = await self._get_large(target, request, slot, response, response.body)
        return None if response is _MISSING else cast("Response[bytes | memoryview]", response)

    def supports_parts(self, status: int, headers: Mapping[str, str]) -> bool:
        return is_strong_etag(headers.get("etag", ""))

    def check_bucket(self, error: FileNotFoundError, bucket: str) -> None:
        """Raise the error of a missing bucket; otherwise only the object is missing."""
        code = error_code(error)
        if code == "NoSuchBucket":
            raise error
        if code == "NoSuchKey":
            self._buckets.add(bucket)

    async def _get(
        self, target: tuple[str, str], request: ByteRequest | None, slot: Slot, *, allow_large: bool
    ) -> Response[ResponseBody]:
        get = partial(self._get_once, target, request, slot, allow_large=allow_large)
        return await slot.send(get, refresh=self._client.refresh)

    async def _get_once(
        self, target: tuple[str, str], request: ByteRequest | None, slot: Slot, *, allow_large: bool
    ) -> Response[ResponseBody]:
        bucket, key = target
        get = GetObject(
            bucket,
            key,
            range=None if request is None else range_header(request),
            unread_above=self._parts.above,
            max_bytes=partial(max_body_bytes, request),
            reserve=slot.reserve,
        )
        try:
            response = await self._client.send_once(get)
        except FileNotFoundError as error:
            self.check_bucket(error, bucket)
            return _MISSING
        self._buckets.add(bucket)
        status, headers, body = response.status, response.headers, response.body
        if isinstance(body, LargeBody):
            is_pinned = allow_large and self.supports_parts(status, headers)
            response, is_whole = await read_requested_range(
                response, body, request, slot.reserve, is_pinned=is_pinned
            )
            verify = self._checksum(response) if is_whole else None
            if verify is not None and isinstance(response.body, memoryview):
                await in_thread(verify, response.body)
            return response
        content_range = headers.get("content-range")
        if request is None and status == 200 and content_range is None:
            return response
        part = requested_part(body, request, status=status, content_range=content_range)
        return response if part is body else Response(status, headers, part)

    def fetch_part(
        self, target: tuple[str, str], headers: Mapping[str, str], total: int | None
    ) -> FetchPart:
        etag = headers["etag"]
        is_same = is_version("etag", etag, total)

        async def fetch_once(part: RangeByteRequest, sink: memoryview) -> None:
            get = GetObject(
                *target, range_header(part), etag, sink.nbytes, partial(max_body_bytes, part), sink
            )
            try:
                found = await self._client.send_once(get)
            except OSError as error:
                if is_part_rejected(error):
                    raise ChangedWhileReadError from None
                raise
            body, content_range = found.body, found.headers.get("content-range")
            if isinstance(body, LargeBody):
                body.stream.close()
            # Some services send a part with the status 200.
            if isinstance(body, LargeBody) or not content_range or not is_same(found.headers):
                raise ChangedWhileReadError
            body = requested_part(body, part, status=found.status, content_range=content_range)
            if len(body) != sink.nbytes:
                raise aiohttp.ClientPayloadError(f"received {len(body)} bytes for {part!r}")
            if body is not sink:
                sink[:] = body

        async def fetch(part: RangeByteRequest, sink: memoryview, slot: Slot) -> None:
            await slot.send(partial(fetch_once, part, sink), refresh=self._client.refresh)

        return fetch

    def _checksum(self, response: Response[ResponseBody]) -> Callable[[memoryview], object] | None:
        # Some services state the checksum of the whole object with a range.
        if response.status != 200 or "content-range" in response.headers:
            return None
        checksum = stated_checksum(response.headers)
        return None if checksum is None else checksum.verify_whole
