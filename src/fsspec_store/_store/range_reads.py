"""Read many parts of many values with few reads.

Plans with `fsspec_store._core.ranges.coalesce`, reads, and hands out views of what was read. Knows
no stores: reading is a function it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .._core.byte_requests import SuffixByteRequest, check_byte_range
from .._core.ranges import coalesce, cut, shown_size
from ..errors import ByteRangeError
from .keys import check_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from .._core.byte_requests import ByteRequest
    from .._core.ranges import Fetch, Placed

__all__ = [
    "MAX_COALESCED_BYTES",
    "MAX_GAP_BYTES",
    "Answers",
    "Job",
    "out_of_range",
    "plan",
    "read_job",
]

# By benchmarks/range_gaps.py. A request costs what so many bytes cost, however few of its bytes are
# wanted: so gaps are bounded, and not how many times more is fetched than was asked for. 100 ranges
# of 1 KiB, from SeaweedFS and MinIO at a distance of 0, 5 and 50 ms, came by merged fetches 2.6 to
# 23 times faster over gaps of 64 KiB, 1.5 to 6 times over 128 KiB, and 0.7 to 2.7 times over
# 256 KiB (MinIO's: SeaweedFS reads megabytes for each range). The largest gap that gained
# everywhere is halved, since most networks carry less than the loopback this was measured on.
#: Two ranges with at most this between them are fetched together.
MAX_GAP_BYTES = 64 * 2**10

# From the same runs: reading 128 MiB by fetches of 8 MiB took about as long as by larger ones,
# which hold more at a time; by fetches of 1 MiB it took up to four times as long.
#: A merged fetch spans at most this, so that several run side by side and none holds much.
MAX_COALESCED_BYTES = 8 * 2**20

#: A key, and one read of its value.
Job: TypeAlias = "tuple[str, Fetch]"

#: Answers with their places among the requests; ``None`` where the key is missing.
Answers: TypeAlias = "list[tuple[int, memoryview | None]]"


def plan(
    asked: Iterable[tuple[str, ByteRequest | None]],
    *,
    max_gap_bytes: int = MAX_GAP_BYTES,
    max_coalesced_bytes: int = MAX_COALESCED_BYTES,
) -> list[Job]:
    """Check keys and requests, and plan the reads that answer them.

    Parameters
    ----------
    asked : iterable of (str, ByteRequest or None)
        Keys with the bytes wanted of them, in any order; read once, a key may repeat.
    max_gap_bytes, max_coalesced_bytes : int
        See `fsspec_store._core.ranges.coalesce`.

    Returns
    -------
    list of (str, Fetch)
        In the order in which the keys come first. The place of a request is its number in
        ``asked``.

    Raises
    ------
    ValueError, TypeError
        When a key or a request is refused.
    """
    by_key: dict[str, list[Placed]] = {}
    for place, (key, byte_range) in enumerate(asked):
        members = by_key.get(key) if isinstance(key, str) else None
        if members is None:
            members = by_key[check_key(key)] = []
        members.append((place, check_byte_range(byte_range)))
    return [
        (key, fetch)
        for key, members in by_key.items()
        for fetch in coalesce(
            members, max_gap_bytes=max_gap_bytes, max_coalesced_bytes=max_coalesced_bytes
        )
    ]


async def read_job(
    read: Callable[[str, ByteRequest | None], Awaitable[memoryview | None]],
    refuse: Callable[[str, ByteRequest, int | None], Awaitable[memoryview | None]],
    job: Job,
) -> Answers:
    """Read once, and answer every request that is a member of the fetch.

    Parameters
    ----------
    read : callable
        Returns the bytes of one request on a key, ``None`` when the key is missing. Of a request
        out of range it raises `ByteRangeError` or returns no bytes, as reading it alone would.
    refuse : callable
        ``refuse(key, request, size)`` answers a member that is out of range, as reading it alone
        would; the size is ``None`` where it did not show.
    job : (str, Fetch)
        The key, and what to read of it.

    Returns
    -------
    list of (int, memoryview or None)
        An answer for each member; all are views of the bytes that were read.
    """
    key, (request, members) = job
    if len(members) == 1:
        return [(members[0][0], await read(key, request))]
    size: int | None = None
    data: memoryview | None
    try:
        data = await read(key, request)
    except ByteRangeError as error:
        # It begins past the end, so every member does: speak of the caller's own requests.
        data, size = memoryview(b""), error.size
    else:
        if data is None:
            return [(place, None) for place, _ in members]
        size = shown_size(request, len(data))
    answers: Answers = [*cut(data, request, members)]
    for number, (place, part) in enumerate(answers):
        if not part:
            member = members[number][1]
            # Of an empty value the whole and every suffix are no bytes too, and nothing to refuse.
            if member is not None and not isinstance(member, SuffixByteRequest):
                answers[number] = place, await refuse(key, member, size)
    return answers


def out_of_range(key: str, request: ByteRequest, size: int | None) -> ByteRangeError:
    """The error for a byte range that is empty, or starts at or past the end of the value."""
    of = "" if size is None else f" of {size} bytes"
    return ByteRangeError(
        f"{request!r} is empty or out of range for {key!r}{of}",
        key=key,
        byte_range=request,
        size=size,
    )
