"""Reads of many parts of many values with few fetches.

Plans the fetches, reads them, and returns views of the bytes. Knows no store: the caller passes the
function that reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .._core.byte_requests import ByteRequest, SuffixByteRequest, check_byte_range
from .._core.coalescing import Fetch, IndexedRequest, coalesce, slice_members
from .._core.ranges import known_size
from ..errors import ByteRangeError
from .keys import check_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable


__all__ = [
    "MAX_COALESCED_BYTES",
    "MAX_GAP_BYTES",
    "IndexedParts",
    "KeyFetch",
    "out_of_range",
    "plan",
    "read_fetch",
]

# Measured by benchmarks/range_gaps.py. A further request costs as much as some number of bytes,
# however few bytes it reads. So the gap is limited, not the ratio of fetched to requested bytes.
# 100 ranges of 1 KiB, from SeaweedFS and MinIO at latencies of 0, 5 and 50 ms, were read by merged
# fetches 2.6 to 23 times faster over gaps of 64 KiB, 1.5 to 6 times over 128 KiB, and 0.7 to 2.7
# times over 256 KiB (on MinIO: SeaweedFS reads megabytes for each range). The default is half of
# the largest gap that was faster everywhere: most networks are slower than the loopback device.
#: Ranges with at most this many bytes between them are fetched together.
MAX_GAP_BYTES = 64 * 2**10

# From the same runs: fetches of 8 MiB read 128 MiB in about the time of larger ones, which use more
# memory. Fetches of 1 MiB took up to four times as long.
#: Maximum size of a merged fetch, so that several run at once in little memory.
MAX_COALESCED_BYTES = 8 * 2**20

#: A key, and one read of its value.
KeyFetch: TypeAlias = "tuple[str, Fetch]"

#: Parts with their indexes among the requests; ``None`` where the key is missing.
IndexedParts: TypeAlias = "list[tuple[int, memoryview | None]]"


def plan(
    requests: Iterable[tuple[str, ByteRequest | None]],
    *,
    max_gap_bytes: int = MAX_GAP_BYTES,
    max_coalesced_bytes: int = MAX_COALESCED_BYTES,
) -> list[KeyFetch]:
    """Check keys and requests, and plan the fetches that cover them.

    The fetches are in the order of the first request of each key. Their members have their index in
    ``requests``.
    """
    by_key: dict[str, list[IndexedRequest]] = {}
    for index, (key, byte_range) in enumerate(requests):
        members = by_key.get(key) if isinstance(key, str) else None
        if members is None:
            members = by_key[check_key(key)] = []
        members.append((index, check_byte_range(byte_range)))
    return [
        (key, fetch)
        for key, members in by_key.items()
        for fetch in coalesce(
            members, max_gap_bytes=max_gap_bytes, max_coalesced_bytes=max_coalesced_bytes
        )
    ]


async def read_fetch(
    read: Callable[[str, ByteRequest | None], Awaitable[memoryview | None]],
    read_out_of_range: Callable[[str, ByteRequest, int | None], Awaitable[memoryview | None]],
    key_fetch: KeyFetch,
) -> IndexedParts:
    """Read once, and return a view of the bytes for every member of the fetch.

    For a request out of range ``read`` raises `ByteRangeError` or returns no bytes, as the store is
    configured. ``read_out_of_range`` does the same for a member of the fetch.
    """
    key, (request, members) = key_fetch
    if len(members) == 1:
        return [(members[0][0], await read(key, request))]
    size: int | None = None
    data: memoryview | None
    try:
        data = await read(key, request)
    except ByteRangeError as error:
        # The fetch starts past the end, so each member does. The error below names the member.
        data, size = memoryview(b""), error.size
    else:
        if data is None:
            return [(index, None) for index, _ in members]
        size = known_size(request, len(data))
    parts: IndexedParts = [*slice_members(data, request, members)]
    for number, (index, part) in enumerate(parts):
        if not part:
            member = members[number][1]
            # The whole of an empty value and its suffixes are empty, and in range.
            if member is not None and not isinstance(member, SuffixByteRequest):
                parts[number] = index, await read_out_of_range(key, member, size)
    return parts


def out_of_range(key: str, request: ByteRequest, size: int | None) -> ByteRangeError:
    """The error for a byte range that is empty, or starts at or past the end of the value."""
    of = "" if size is None else f" of {size} bytes"
    return ByteRangeError(
        f"{request!r} is empty or out of range for {key!r}{of}",
        key=key,
        byte_range=request,
        size=size,
    )
