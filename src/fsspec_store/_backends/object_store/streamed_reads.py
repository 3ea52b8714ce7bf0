"""Opens a value of a service as a stream of parts of one version.

The first request is for the first part, and its response states size and version. Each further
part has a request, a slot and retries of its own. A service supplies its `ValueReader`.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from ..._core.byte_requests import RangeByteRequest
from ..._core.failures import ChangedWhileReadError, RangeNotSatisfiableError
from ..._core.streams import OpenValue, in_memory
from ..._http.content_range import content_coding, content_length, total_size
from ..._http.http1.buffer_pool import allocate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from ..._core.byte_requests import ByteRequest
    from ..._core.streams import ReadPart
    from ..._http.messages import Response
    from .versioned_reads import ValueReader

__all__ = ["open_stream"]

Target = TypeVar("Target")

#: Maximum number of concurrent requests for parts of one value.
_PARTS_AHEAD = 3
#: Maximum number of attempts if the value changes while it is opened.
_ATTEMPTS = 5


async def open_stream(
    reader: ValueReader[Target],
    target: Target,
    start: int,
    version: str | None,
    *,
    get: Callable[[RangeByteRequest], Awaitable[Response[bytes | memoryview] | None]],
    read_version: Callable[[], Awaitable[tuple[bytes | memoryview, str | None] | None]],
    read: Callable[[ByteRequest | None], Awaitable[bytes | memoryview | None]],
) -> OpenValue | None:
    """Open a value; see `Backend.open_value`.

    Parameters
    ----------
    get : callable
        Returns the response to a range, ``None`` when the value is missing.
    read_version : callable
        As `Backend.read_version`, or without a version. For empty values, of which no range is
        satisfiable.
    read : callable
        As `Backend.read`. For values whose parts cannot be requested by version.
    """
    part_bytes = reader.part_bytes

    async def read_whole() -> OpenValue | None:
        if version is None:
            data, found = await read(None), None
        else:
            data, found = await read_version() or (None, None)
        if data is None:
            return None
        _check(found, version)
        if start > len(data):
            raise RangeNotSatisfiableError(len(data))
        return in_memory(data, part_bytes=part_bytes, version=found)

    for _ in range(_ATTEMPTS):
        is_at_end = False
        try:
            response = await get(RangeByteRequest(start, start + part_bytes))
        except RangeNotSatisfiableError:
            if start == 0:
                # It is empty, unless it has changed since.
                value = await read_version()
                if value is None:
                    return None
                _check(value[1], version)
                return in_memory(value[0], part_bytes=part_bytes, version=value[1])
            is_at_end = True
            response = await get(RangeByteRequest(0, 1))
        if response is None:
            return None
        headers = response.headers
        found = headers.get(reader.version_header)
        _check(found, version)
        total = _stated_total(response)
        if total is None:
            return await read_whole()
        first = b"" if is_at_end else response.body
        if is_at_end and total != start:
            if total < start:
                raise RangeNotSatisfiableError(total)
            # It has become longer since.
            continue
        is_complete = start + len(first) == total
        if not is_complete and not (response.status == 206 and reader.supports_parts(206, headers)):
            return await read_whole()
        return OpenValue(
            total,
            _part_reader(reader, target, headers, total),
            part_bytes,
            first,
            _PARTS_AHEAD,
            found,
            _modified(headers),
            reader.stated_digests(headers),
        )
    raise OSError(f"the value changed {_ATTEMPTS} times while it was opened")


def _stated_total(response: Response[bytes | memoryview]) -> int | None:
    """The size of the whole value; ``None`` if the response does not state it."""
    headers = response.headers
    total = total_size(headers.get("content-range"))
    if total is None and response.status == 200 and not content_coding(headers):
        return content_length(headers)
    return total


def _check(found: str | None, version: str | None) -> None:
    if version is not None and found != version:
        raise ChangedWhileReadError


def _part_reader(
    reader: ValueReader[Target], target: Target, headers: Mapping[str, str], total: int
) -> ReadPart:
    async def read(start: int, end: int) -> memoryview:
        fetch = reader.fetch_part(target, headers, total)
        with reader.slot() as slot:
            await slot.wait_for_memory(end - start)
            sink = allocate(end - start)
            await fetch(RangeByteRequest(start, end), sink, slot)
        return sink

    return read


def _modified(headers: Mapping[str, str]) -> datetime | None:
    try:
        found = parsedate_to_datetime(headers.get("last-modified", ""))
    except (ValueError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
