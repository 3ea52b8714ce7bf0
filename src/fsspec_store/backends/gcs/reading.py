"""How an object comes from Google: in one answer, or a large one in parts of one generation.

Knows what is asked of an object, and not how a request is sent.
"""

from __future__ import annotations

import re
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, TypeGuard

import aiohttp

from ...byte_requests import SuffixByteRequest
from ...threads import in_thread
from ..base import RangeNotSatisfiableError
from ..byte_ranges import (
    content_length,
    is_of_total,
    longest_body,
    part_start,
    range_header,
    requested_part,
    total_size,
)
from ..http_answers import Answer, LargeBody, TornError
from ..large_reads import read_large, spares
from ..single_stream import is_what_was_asked, read_alone
from .answers import check_is_googles, check_whole, in_words
from .requests import LONG_TO_HASH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...byte_requests import ByteRequest, RangeByteRequest
    from ...sending import Slot
    from ..large_reads import Fetch
    from .calls import Calls

__all__ = ["GENERATION", "Reader", "is_generation"]

#: The header that says which version of an object came.
GENERATION = "X-Goog-Generation"
_GENERATION = re.compile("[1-9][0-9]{0,18}")
#: Objects are taken as they are stored: whoever takes no gzip is sent packed ones unpacked.
_HEADERS = {"Accept-Encoding": "gzip"}


class Reader:
    """Reads objects.

    Parameters
    ----------
    calls : Calls
        Sends requests.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def read(
        self, bucket: str, name: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview | None, Answer]:
        """What a request names, ``None`` if nothing, and the answer it came in, without a body."""
        with self._calls.client.slot() as slot:
            data, answer = await self._calls.send(
                lambda: self._read_once(bucket, name, request, leaves_large=True), slot
            )
            if not isinstance(data, LargeBody):
                return data, answer
            whole = await self._read_in_parts(slot, bucket, name, request, data, answer)
        if whole is not None:
            return whole, answer
        # One response is of one version, whatever the service makes of conditions.
        return await self._calls.send(lambda: self.read_whole(bucket, name, request))

    async def read_whole(
        self, bucket: str, name: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview | None, Answer]:
        """As `read`, however large, in one attempt."""
        data, answer = await self._read_once(bucket, name, request, leaves_large=False)
        assert not isinstance(data, LargeBody)
        return data, answer

    async def size(self, bucket: str, name: str) -> int | None:
        """The size of an object as the answer to a range of it says; ``None`` when it is missing.

        Raises
        ------
        OSError
            When the answer does not.
        """

        async def attempt() -> int | None:
            found = await self._calls.signed(
                partial(self._calls.client.fetch, self._calls.url(bucket, name, alt="media")),
                expect=(200, 206, 404, 416),
                headers={**_HEADERS, "Range": "bytes=0-0"},
            )
            body = found.body
            total = total_size(found.headers.get("Content-Range"))
            if isinstance(body, LargeBody):
                body.stream.close()
                if found.status == 200:
                    return body.size
                raise aiohttp.ClientPayloadError(f"{body.size} bytes came for one")
            check_is_googles(found.status, found.headers, body, is_value=True)
            if found.status == 404:
                return None
            if found.status == 200:
                return len(body)
            if total is None and found.status == 206:
                raise OSError("the service does not say how large the object is")
            # Of an empty object no range is satisfiable.
            return total or 0

        return await self._calls.send(attempt)

    async def _read_once(
        self, bucket: str, name: str, request: ByteRequest | None, *, leaves_large: bool
    ) -> tuple[bytes | memoryview | LargeBody | None, Answer]:
        """As `read` in one attempt; a large body may be left that can be read in parts."""
        wanted = range_header(request)
        headers = _HEADERS if wanted is None else {**_HEADERS, "Range": wanted}
        found = await self._calls.signed(
            partial(self._calls.client.fetch, self._calls.url(bucket, name, alt="media")),
            expect=(200, 206, 404, 416),
            headers=headers,
            longest=partial(longest_body, request),
        )
        body = found.body
        answer = Answer(found.status, found.headers, b"")
        if isinstance(body, LargeBody):
            content_range = found.headers.get("Content-Range")
            asked = body.stream, body.size, request, found.status, content_range
            is_pinned = is_generation(found.headers.get(GENERATION))
            if is_what_was_asked(*asked) and leaves_large and is_pinned:
                return body, answer
            part, is_whole = await read_alone(*asked)
            if is_whole:
                await _check(found.status, found.headers, part)
            return part, answer
        check_is_googles(found.status, found.headers, body, is_value=True)
        if found.status == 404:
            return None, in_words(Answer(found.status, found.headers, bytes(body)))
        total = total_size(answer.headers.get("Content-Range"))
        if isinstance(request, SuffixByteRequest) and answer.status != 200:
            # The last bytes of an empty object: refused, or no bytes under a range that makes no
            # sense.
            is_empty = answer.status == 416 or content_length(answer.headers) == 0
            if is_empty and total:
                raise aiohttp.ClientPayloadError(
                    f"of an object of {total} bytes the service has no last ones"
                )
            if is_empty:
                return b"", answer
        if answer.status == 416:
            raise RangeNotSatisfiableError(total)
        return await _checked(body, request, answer), answer

    async def _read_in_parts(
        self,
        slot: Slot,
        bucket: str,
        name: str,
        request: ByteRequest | None,
        body: LargeBody,
        answer: Answer,
    ) -> memoryview | None:
        """A large body, by several requests; ``None`` if they are not of one generation."""
        generation = answer.headers[GENERATION]
        url = self._calls.url(bucket, name, alt="media", generation=generation)
        content_range = answer.headers.get("Content-Range")
        total = body.size if content_range is None else total_size(content_range)

        def is_same(headers: Mapping[str, str]) -> bool:
            return headers.get(GENERATION) == generation and is_of_total(headers, total)

        def fetch_in(slot: Slot) -> Fetch:
            async def fetch(part: RangeByteRequest, sink: memoryview) -> None:
                fetch_part = partial(
                    self._calls.client.fetch_part, url, part, sink, is_same=is_same
                )
                headers = {**_HEADERS, "Range": range_header(part)}
                await self._calls.send(
                    lambda: self._calls.signed(fetch_part, headers=headers), slot
                )

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
                await _check(answer.status, answer.headers, memory)
            except (TornError, aiohttp.ClientPayloadError):
                return None
        return memory


def is_generation(version: str | None) -> TypeGuard[str]:
    """Whether it names one version of an object."""
    return version is not None and _GENERATION.fullmatch(version) is not None


async def _check(status: int, headers: Mapping[str, str], body: memoryview) -> None:
    """Verify the checksum of a large object, if it is a whole one."""
    if status == 200:
        await in_thread(check_whole, headers, body)


async def _checked(
    body: bytes | memoryview, request: ByteRequest | None, answer: Answer
) -> bytes | memoryview:
    """What was asked for, of a body that came as it should."""
    headers = answer.headers
    if answer.status == 200:
        if len(body) < LONG_TO_HASH:
            check_whole(headers, body)
        else:
            await in_thread(check_whole, headers, body)
    return requested_part(
        body,
        request,
        status=answer.status,
        content_range=headers.get("Content-Range"),
        length=content_length(headers),
    )
