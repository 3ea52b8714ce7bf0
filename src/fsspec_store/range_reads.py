"""Read many ranges of one value with few reads.

Plans with `fsspec_store.ranges.coalesce`, reads groups at the same time, and hands out views of
what was read. Knows neither stores nor keys: reading is a function it is given.
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

from .byte_requests import RangeByteRequest
from .concurrency import map_unordered
from .errors import ByteRangeError
from .ranges import coalesce

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from .byte_requests import ByteRequest

__all__ = ["MAX_COALESCED_BYTES", "MAX_GAP_BYTES", "read_ranges"]

#: Two ranges with at most this between them are fetched together: about what a connection delivers
#: in the time a further request would wait for its first byte.
MAX_GAP_BYTES = 2**20
#: A merged fetch spans at most this, so that several can run side by side and none holds much.
MAX_COALESCED_BYTES = 16 * 2**20


async def read_ranges(
    read: Callable[[ByteRequest | None], Awaitable[memoryview | None]],
    refuse: Callable[[ByteRequest, int | None], memoryview],
    requests: Sequence[ByteRequest | None],
    *,
    limit: int,
    max_gap_bytes: int = MAX_GAP_BYTES,
    max_coalesced_bytes: int = MAX_COALESCED_BYTES,
) -> AsyncGenerator[list[tuple[int, memoryview | None]], None]:
    """Yield a batch of ``(place in requests, bytes)`` for each read, in completion order.

    Parameters
    ----------
    read : callable
        Returns the bytes of one request, ``None`` when the value is missing; out of range is what
        ``refuse`` makes of it.
    refuse : callable
        ``refuse(request, size)`` answers a request that is out of range: raises `ByteRangeError`,
        or returns no bytes.
    requests : sequence of ByteRequest or None
        Checked requests on one value.
    limit : int
        How many reads run at once.
    max_gap_bytes, max_coalesced_bytes : int
        See `fsspec_store.ranges.coalesce`.
    """
    groups, others = coalesce(
        requests, max_gap_bytes=max_gap_bytes, max_coalesced_bytes=max_coalesced_bytes
    )

    async def read_alone(
        place: int, request: ByteRequest | None
    ) -> list[tuple[int, memoryview | None]]:
        return [(place, await read(request))]

    async def read_group(
        members: list[tuple[int, RangeByteRequest]],
    ) -> list[tuple[int, memoryview | None]]:
        start = members[0][1].start
        end = max(request.end for _, request in members)
        try:
            data = await read(RangeByteRequest(start, end))
        except ByteRangeError as error:
            # The group starts past the end, so every member does: speak of the caller's own.
            return [(place, refuse(request, error.size)) for place, request in members]
        if data is None:
            return [(place, None) for place, _ in members]
        batch: list[tuple[int, memoryview | None]] = []
        for place, request in members:
            part = data[request.start - start : request.end - start]
            # Less than was asked for came because the value ends there.
            batch.append((place, part if len(part) else refuse(request, start + len(data))))
        return batch

    jobs: list[Callable[[], Awaitable[list[tuple[int, memoryview | None]]]]] = [
        partial(read_group, group) if len(group) > 1 else partial(read_alone, *group[0])
        for group in groups
    ]
    jobs += [partial(read_alone, *other) for other in others]
    async with aclosing(map_unordered(lambda job: job(), jobs, limit=limit)) as batches:
        async for batch in batches:
            yield batch
