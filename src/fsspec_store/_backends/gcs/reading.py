"""Reads an object in one response, or a large one in parts of one generation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import aiohttp

from ..._core.byte_requests import ByteRequest, SuffixByteRequest
from ..._http.content_range import content_length, total_size
from ..._http.messages import LargeBody, Response, ResponseBody
from ..._runtime.threads import in_thread
from ..object_store.http_reading import HTTPReader
from .responses import check_is_google, stated_digests, verify_checksum, with_message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..._http.retrier import Slot
    from ..._http.settings import Parts
    from .client import Client

__all__ = ["GENERATION", "HASH_IN_THREAD_BYTES", "Reader", "is_generation"]

T = TypeVar("T")

#: Checksums of values of this size and more are computed in a thread, not on the event loop.
HASH_IN_THREAD_BYTES = 8 * 2**20
#: The response header with the version of the object.
GENERATION = "X-Goog-Generation"
_GENERATION = re.compile("[1-9][0-9]{0,18}")
#: Without gzip in this header the service decompresses objects that are stored compressed.
_HEADERS = {"Accept-Encoding": "gzip"}


class Reader(HTTPReader[tuple[str, str]]):
    """Reads objects, given by bucket and name."""

    version_header = GENERATION
    _verify = staticmethod(verify_checksum)

    def __init__(self, client: Client, parts: Parts) -> None:
        super().__init__(client.http, parts)
        self._client = client

    async def _send(
        self,
        target: tuple[str, str],
        byte_range: str | None,
        version: str | None,
        send: Callable[[str, Mapping[str, str]], Awaitable[T]],
        slot: Slot,
    ) -> T:
        params = {} if version is None else {"generation": version}
        url = self._client.url(*target, alt="media", **params)
        headers = _HEADERS if byte_range is None else {**_HEADERS, "Range": byte_range}
        return await self._client.sign_and_retry(url, headers, send, slot)

    def _is_pinnable(self, version: str) -> bool:
        return is_generation(version)

    def stated_digests(self, headers: Mapping[str, str]) -> dict[str, bytes]:
        return stated_digests(headers)

    def _is_missing(self, found: Response[ResponseBody]) -> bool:
        if not isinstance(found.body, LargeBody):
            check_is_google(found.status, found.headers, found.body, is_value=True)
        return found.status == 404

    async def _check(
        self, found: Response[ResponseBody], body: bytes | memoryview, *, is_whole: bool
    ) -> None:
        check_is_google(found.status, found.headers, body, is_value=True)
        if not is_whole or found.status != 200:
            return
        if len(body) < HASH_IN_THREAD_BYTES:
            verify_checksum(found.headers, body)
        else:
            await in_thread(verify_checksum, found.headers, body)

    def _requested(
        self, request: ByteRequest | None, found: Response[Any], body: bytes | memoryview
    ) -> bytes | memoryview:
        if found.status == 404:
            return with_message(Response(404, found.headers, bytes(body))).body
        if isinstance(request, SuffixByteRequest) and found.status != 200:
            # A suffix of an empty object: 416, or no bytes with an invalid Content-Range.
            is_empty = found.status == 416 or content_length(found.headers) == 0
            total = total_size(found.headers.get("Content-Range"))
            if is_empty and total:
                raise aiohttp.ClientPayloadError(
                    f"no bytes received for a suffix range of an object of {total} bytes"
                )
            if is_empty:
                return b""
        return super()._requested(request, found, body)


def is_generation(version: str | None) -> TypeGuard[str]:
    """Whether this is a valid generation of an object."""
    return version is not None and _GENERATION.fullmatch(version) is not None
