"""How a value comes from S3: in one answer, or a large one in parts of one version.

Knows S3's calls, and not how one is sent.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp

from ..._core.versions import is_strong_etag
from ..._http.content_range import is_of_total, longest_body, part_start, range_header, total_size
from ..._http.large_reads import read_large, spares
from ..._http.single_stream import is_what_was_asked, read_alone
from ..._runtime.threads import in_thread
from .checksums import ChecksumError
from .responses import error_code, is_part_rejected, requested_part

if TYPE_CHECKING:
    from ..._core.byte_requests import ByteRequest, RangeByteRequest
    from ..._http.large_reads import Fetch
    from ..._http.retrier import Slot
    from ..._http.settings import Parts
    from .calls import Calls
    from .transports import Transports

__all__ = ["Reader"]


class Reader:
    """Reads objects.

    Parameters
    ----------
    calls : Calls
        Sends requests.
    seen : set of str
        Takes the buckets that turned out to be there.
    parts : Parts
        Which values are read in parts.
    """

    def __init__(self, calls: Calls, seen: set[str], parts: Parts) -> None:
        self._calls = calls
        self._seen = seen
        self._parts = parts

    async def read(
        self, bucket: str, key: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview, str] | None:
        """The bytes and the ETag; ``None`` when the object is missing."""
        with self._calls.slot() as slot:
            found = await self._calls.send(
                partial(
                    self._read_once, bucket=bucket, key=key, request=request, leaves_large=True
                ),
                slot,
            )
            if found is None:
                return None
            part, response = found
            if part is None:
                part = await self._read_in_parts(slot, bucket, key, request, response)
        if part is None:
            # One response is of one version, whatever the service makes of conditions.
            found = await self._calls.send(
                partial(self._read_once, bucket=bucket, key=key, request=request)
            )
            if found is None:
                return None
            part, response = found
            assert part is not None
        return part, response["ETag"]

    async def stored(
        self, transports: Transports, bucket: str, key: str
    ) -> bytes | memoryview | None:
        """What is there, within another request's attempt."""
        found = await self._read_once(transports, bucket, key, None)
        return None if found is None else found[0]

    async def answer(
        self, transports: Transports, bucket: str, key: str, **params: Any
    ) -> dict[str, Any] | None:
        """The answer to one GET, sent a single time; ``None`` when the object is missing."""
        try:
            response = await transports.call(
                "get_object", {"Bucket": bucket, "Key": key, **params}, self._calls.stats
            )
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
        self,
        transports: Transports,
        bucket: str,
        key: str,
        request: ByteRequest | None,
        *,
        leaves_large: bool = False,
    ) -> tuple[bytes | memoryview | None, dict[str, Any]] | None:
        """The bytes with the answer they came in, in one attempt.

        Parameters
        ----------
        leaves_large : bool, optional
            Leave a large body in the answer, without bytes, where it can be read in parts.
        """
        header = None if request is None else range_header(request)
        params = {"ChecksumMode": "ENABLED"} if header is None else {"Range": header}
        response = await self.answer(
            transports,
            bucket,
            key,
            WholeUpTo=self._parts.above,
            Longest=partial(longest_body, request),
            **params,
        )
        if response is None:
            return None
        body = response["Body"]
        if isinstance(body, (bytes, memoryview)):
            return requested_part(response, body, request), response
        asked = (
            body,
            int(response["ContentLength"]),
            request,
            response["ResponseMetadata"]["HTTPStatusCode"],
            response["ContentRange"],
        )
        if is_what_was_asked(*asked) and leaves_large and is_strong_etag(response["ETag"]):
            return None, response
        part, is_whole = await read_alone(*asked)
        if is_whole and response["Check"] is not None:
            await in_thread(response["Check"], part)
        return part, response

    async def _read_in_parts(
        self,
        slot: Slot,
        bucket: str,
        key: str,
        request: ByteRequest | None,
        response: dict[str, Any],
    ) -> memoryview | None:
        """The rest of an answer, by several requests; ``None`` if they are not of one version."""
        etag, size = response["ETag"], int(response["ContentLength"])
        total = total_size(response["ContentRange"])
        if response["ContentRange"] is None:
            total = size

        async def fetch_once(
            transports: Transports, part: RangeByteRequest, sink: memoryview
        ) -> None:
            try:
                answer = await self.answer(
                    transports,
                    bucket,
                    key,
                    Range=range_header(part),
                    IfMatch=etag,
                    Into=sink,
                    WholeUpTo=sink.nbytes,
                    Longest=partial(longest_body, part),
                )
            except OSError as error:
                if is_part_rejected(error):
                    raise _ReplacedError from None
                raise
            if answer is None:
                raise _ReplacedError
            body = answer["Body"]
            if not isinstance(body, (bytes, memoryview)):
                body.close()
                raise _ReplacedError
            content_range = answer["ContentRange"]
            if (
                # Some services send a part with the status 200.
                content_range is None
                or answer["ETag"] != etag
                or not is_of_total({"Content-Range": content_range}, total)
            ):
                raise _ReplacedError
            came = requested_part(answer, body, part)
            if len(came) != sink.nbytes:
                raise aiohttp.ClientPayloadError(f"{len(came)} bytes came for {part!r}")
            if came is not sink:
                sink[:] = came

        def fetch_in(slot: Slot) -> Fetch:
            return lambda part, sink: self._calls.send(
                partial(fetch_once, part=part, sink=sink), slot
            )

        with closing(response["Body"]) as body:
            try:
                memory = await read_large(
                    body,
                    size,
                    fetch_in(slot),
                    first=part_start(response["ContentRange"]),
                    spare=spares(slot, fetch_in),
                    part_bytes=self._parts.size,
                )
                if response["Check"] is not None:
                    await in_thread(response["Check"], memory)
            except _ReplacedError:
                return None
            except ChecksumError:
                # The corrupt part is unknown.
                self._calls.stats.retries += 1
                return None
        return memory


class _ReplacedError(Exception):
    """A part is not of the version whose beginning was read, or does not say of which it is."""
