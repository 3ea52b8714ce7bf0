"""How a value comes from S3: in one answer, or a large one in parts of one version.

Knows S3's calls, and not how one is sent.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp

from ..base import is_etag
from ..byte_ranges import part_start, range_header
from ..large_reads import read_all, read_large
from .answers import PRECONDITION_FAILED, error_code, requested_part
from .checksums import ChecksumError

if TYPE_CHECKING:
    from ...byte_requests import ByteRequest, RangeByteRequest
    from .calls import Calls

__all__ = ["Reader"]

#: A large value that others go on replacing is begun anew so often.
_TRIES = 5


class Reader:
    """Reads objects.

    Parameters
    ----------
    calls : Calls
        Sends requests.
    seen : set of str
        Takes the buckets that turned out to be there.
    """

    def __init__(self, calls: Calls, seen: set[str]) -> None:
        self._calls = calls
        self._seen = seen

    async def read(
        self, bucket: str, key: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview, str] | None:
        """The bytes and the ETag; ``None`` when the object is missing."""
        for attempt in range(_TRIES):
            found = await self._calls.send(lambda: self._read_once(bucket, key, request))
            if found is None:
                return None
            part, response = found
            if part is None:
                try:
                    part = await self._read_large(bucket, key, request, response)
                except ChecksumError:
                    # Which of its requests it was nobody knows.
                    if attempt == _TRIES - 1:
                        raise
                    self._calls.stats.retries += 1
            if part is not None:
                return part, response["ETag"]
        raise OSError(f"the object was replaced {_TRIES} times while it was read")

    async def stored(self, bucket: str, key: str) -> bytes | memoryview | None:
        """What is there, within another request's attempt."""
        found = await self._read_once(bucket, key, None)
        if found is None:
            return None
        part, response = found
        if part is not None:
            return part
        return await read_all(response["Body"], int(response["ContentLength"]))

    async def answer(self, bucket: str, key: str, **params: Any) -> dict[str, Any] | None:
        """The answer to one GET, sent a single time; ``None`` when the object is missing."""
        try:
            response = await self._calls.once("get_object", Bucket=bucket, Key=key, **params)
        except FileNotFoundError as error:
            code = error_code(error)
            if code == "NoSuchBucket":
                raise
            if code == "NoSuchKey":
                self._seen.add(bucket)
            return None
        self._seen.add(bucket)
        return response

    async def _read_once(
        self, bucket: str, key: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview | None, dict[str, Any]] | None:
        """The bytes with the answer they came in, in one attempt; a large body is left in it."""
        header = range_header(request)
        params = {"ChecksumMode": "ENABLED"} if header is None else {"Range": header}
        response = await self.answer(bucket, key, **params)
        if response is None:
            return None
        body = response["Body"]
        if isinstance(body, (bytes, memoryview)):
            return requested_part(response, body, request), response
        return None, response

    async def _read_large(
        self, bucket: str, key: str, request: ByteRequest | None, response: dict[str, Any]
    ) -> bytes | memoryview | None:
        """The rest of an answer, by several requests; ``None`` when the object was replaced."""
        etag = response["ETag"]

        async def fetch(part: RangeByteRequest, sink: memoryview) -> None:
            async def attempt() -> None:
                answer = await self.answer(
                    bucket, key, Range=range_header(part), IfMatch=etag, Into=sink
                )
                if answer is None:
                    raise _ReplacedError
                if not isinstance(answer["Body"], (bytes, memoryview)):
                    answer["Body"].close()
                    raise aiohttp.ClientPayloadError(
                        f"{answer['ContentLength']} bytes came for {part!r}"
                    )
                came = requested_part(answer, answer["Body"], part)
                if came is not sink:
                    sink[:] = came

            await self._calls.send(attempt)

        size = int(response["ContentLength"])
        try:
            if is_etag(etag):
                first = part_start(response["ContentRange"])
                memory = await read_large(response["Body"], size, fetch, first=first)
            else:
                # Parts of who knows how many versions are no object.
                memory = await read_all(response["Body"], size)
        except _ReplacedError:
            return None
        except OSError as error:
            if error_code(error) in PRECONDITION_FAILED:
                return None
            raise
        if response["Check"] is not None:
            await asyncio.to_thread(response["Check"], memory)
        return requested_part(response, memory, request)


class _ReplacedError(Exception):
    """An object is gone whose beginning was read."""
