"""Reads objects: in one response, or a large value in parts of one version."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import aiohttp

from ..._core.versions import is_strong_etag
from ..._http.content_range import (
    is_of_total,
    max_body_bytes,
    range_header,
    requested_part,
    total_size,
)
from ..._http.messages import LargeBody
from ..._http.responses import ChangedWhileReadError
from ..._http.single_stream import read_requested_range
from ..._runtime.threads import in_thread
from ..object_store.reading import read_in_parts
from .checksums import ChecksumError
from .requests import GetObject
from .responses import error_code, is_part_rejected

if TYPE_CHECKING:
    from ..._core.byte_requests import ByteRequest, RangeByteRequest
    from ..._http.messages import BodyStream
    from ..._http.retrier import Slot
    from ..._http.settings import Parts
    from ..object_store.buckets import Buckets
    from .client import Client
    from .requests import ObjectResponse

__all__ = ["Reader"]


class Reader:
    """Reads objects.

    Parameters
    ----------
    client : Client
        Sends requests.
    buckets : Buckets
        The reader adds buckets that exist.
    parts : Parts
        Which values are read in parts.
    """

    def __init__(self, client: Client, buckets: Buckets, parts: Parts) -> None:
        self._client = client
        self._buckets = buckets.seen
        self._parts = parts

    async def read(
        self, bucket: str, key: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview, str] | None:
        """The bytes and the ETag; ``None`` when the object is missing."""
        refresh = self._client.refresh
        with self._client.slot() as slot:
            response = await slot.send(
                partial(self._read_once, bucket, key, request, in_parts=True), refresh=refresh
            )
            if response is None:
                return None
            body: bytes | memoryview | None
            if isinstance(response.body, bytes | memoryview):
                body = response.body
            else:
                body = await self._read_parts(slot, bucket, key, response, response.body)
            if body is None:
                # One response is of one version, even if the service ignores conditions.
                read = partial(self.read_whole, bucket, key, request)
                return await slot.send(read, refresh=refresh)
        return body, response.etag

    async def read_whole(
        self, bucket: str, key: str, request: ByteRequest | None = None
    ) -> tuple[bytes | memoryview, str] | None:
        """Like `read`, in one attempt and one response."""
        response = await self._read_once(bucket, key, request)
        if response is None:
            return None
        assert isinstance(response.body, bytes | memoryview)
        return response.body, response.etag

    def check_bucket(self, error: FileNotFoundError, bucket: str) -> None:
        """Raise the error of a missing bucket; otherwise only the object is missing."""
        code = error_code(error)
        if code == "NoSuchBucket":
            raise error
        if code == "NoSuchKey":
            self._buckets.add(bucket)

    async def _read_once(
        self, bucket: str, key: str, request: ByteRequest | None, *, in_parts: bool = False
    ) -> ObjectResponse | None:
        """The response with the requested bytes, in one attempt; ``None`` for a missing object.

        Parameters
        ----------
        in_parts : bool, optional
            Leave a large body as a stream if it can be read in parts.
        """
        get = GetObject(
            bucket,
            key,
            range=None if request is None else range_header(request),
            whole_up_to=self._parts.above,
            max_bytes=partial(max_body_bytes, request),
        )
        try:
            response = await self._client.send_once(get)
        except FileNotFoundError as error:
            self.check_bucket(error, bucket)
            return None
        self._buckets.add(bucket)
        body, length, status, etag, content_range, verify = response
        if isinstance(body, bytes | memoryview):
            part = requested_part(
                body, request, status=status, content_range=content_range, length=length
            )
            return response if part is body else response._replace(body=part)
        is_pinned = in_parts and is_strong_etag(etag)
        whole, is_whole = await read_requested_range(
            body, length, request, status, content_range, is_pinned=is_pinned
        )
        if whole is None:
            return response
        if is_whole and verify is not None:
            await in_thread(verify, whole)
        return response._replace(body=whole)

    async def _read_parts(
        self, slot: Slot, bucket: str, key: str, response: ObjectResponse, stream: BodyStream
    ) -> memoryview | None:
        """A large body, read with several requests; ``None`` if they are not of one version."""
        etag, content_range = response.etag, response.content_range
        total = response.length if content_range is None else total_size(content_range)

        async def fetch_once(part: RangeByteRequest, sink: memoryview) -> None:
            get = GetObject(
                bucket,
                key,
                range=range_header(part),
                if_match=etag,
                whole_up_to=sink.nbytes,
                max_bytes=partial(max_body_bytes, part),
                into=sink,
            )
            try:
                found = await self._client.send_once(get)
            except OSError as error:
                if is_part_rejected(error):
                    raise ChangedWhileReadError from None
                raise
            if not isinstance(found.body, bytes | memoryview):
                found.body.close()
                raise ChangedWhileReadError
            if (
                # Some services send a part with the status 200.
                found.content_range is None
                or found.etag != etag
                or not is_of_total({"Content-Range": found.content_range}, total)
            ):
                raise ChangedWhileReadError
            body = requested_part(
                found.body,
                part,
                status=found.status,
                content_range=found.content_range,
                length=found.length,
            )
            if len(body) != sink.nbytes:
                raise aiohttp.ClientPayloadError(f"received {len(body)} bytes for {part!r}")
            if body is not sink:
                sink[:] = body

        async def fetch(part: RangeByteRequest, sink: memoryview, slot: Slot) -> None:
            await slot.send(partial(fetch_once, part, sink), refresh=self._client.refresh)

        def verify(memory: memoryview) -> None:
            assert response.verify is not None
            try:
                response.verify(memory)
            except ChecksumError:
                # It is unknown which part is corrupt.
                self._client.stats.retries += 1
                raise ChangedWhileReadError from None

        return await read_in_parts(
            slot,
            LargeBody(stream, response.length),
            content_range,
            fetch,
            self._parts.size,
            None if response.verify is None else verify,
        )
