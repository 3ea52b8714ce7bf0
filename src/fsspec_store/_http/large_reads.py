"""Reads of large bodies: from the first response, and in parts from the end at the same time.

The first response, which states the size, is read from the start of the body. Other requests read
parts from the end until both meet. The read needs one slot of the limiter; parts are requested
when further slots are free. Does not know any service: the caller passes the function that reads a
part.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

from .._core.byte_requests import RangeByteRequest
from .http1.buffer_pool import allocate
from .retrier import NoPermitError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .messages import BodyStream
    from .retrier import Slot

__all__ = ["FetchPart", "read_large", "read_slice"]

#: Maximum number of concurrent requests for parts, in addition to the first response.
_PARTS_AT_ONCE = 4
_SKIPPED_BYTES = 2**20

#: ``await fetch(part, sink, slot)`` reads this range of one version of an object into ``sink``, or
#: raises `fsspec_store._http.responses.ChangedWhileReadError`.
FetchPart: TypeAlias = "Callable[[RangeByteRequest, memoryview, Slot], Awaitable[object]]"


async def read_slice(body: BodyStream, start: int, end: int) -> memoryview:
    """Read the bytes from ``start`` to ``end`` of a body. Closes the body."""
    try:
        memory = allocate(end - start)
        skipped = allocate(min(start, _SKIPPED_BYTES))
        for index in range(0, start, _SKIPPED_BYTES):
            await body.read_into(skipped[: start - index])
        await body.read_into(memory)
    finally:
        body.close()
    return memory


async def read_large(
    body: BodyStream,
    size: int,
    fetch: FetchPart,
    slot: Slot,
    *,
    part_bytes: int,
    first: int = 0,
    parts_at_once: int = _PARTS_AT_ONCE,
) -> memoryview:
    """Read a body from its start, and parts of it from its end with other requests.

    Parameters
    ----------
    body : BodyStream
        Body of the first response. It is closed. If it breaks off, the rest is read in parts.
    slot : Slot
        Slot of the body. All requests share its budget.
    first : int, optional
        Index in the object of the first byte of the body.
    """
    left = _Left(size, part_bytes)
    is_read = True

    async def fetch_part(start: int, slot: Slot) -> None:
        sink = memory[start : start + part_bytes]
        try:
            await fetch(RangeByteRequest(first + start, first + start + sink.nbytes), sink, slot)
        except NoPermitError:
            left.put_back(start)
            raise

    async def fetch_from_the_end() -> None:
        # One slot per part, so that waiting small requests get a slot between two parts.
        while left and (spare := slot.spare()) is not None:
            with spare:
                try:
                    await fetch_part(left.pop_last(), spare)
                except NoPermitError:
                    return

    async def read_on(tasks: asyncio.TaskGroup) -> None:
        beside: list[asyncio.Task[None]] = []
        while left:
            beside = [task for task in beside if not task.done()]
            for _ in range(min(parts_at_once - len(beside), len(left) - 1)):
                beside.append(tasks.create_task(fetch_from_the_end()))
            start = left.pop_first() if is_read else None
            if start is None:
                stop_reading()
                await fetch_part(left.pop_last(), slot)
                continue
            try:
                await body.read_into(memory[start : start + part_bytes])
            except Exception:
                if not slot.body_failed():
                    raise
                left.put_back(start)
                stop_reading()

    def stop_reading() -> None:
        nonlocal is_read
        is_read = False
        opened.close()

    with ExitStack() as opened:
        opened.callback(body.close)
        memory = allocate(size)
        try:
            while left:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(read_on(tasks))
                # A part may have been put back after the body was read to its end.
        except BaseExceptionGroup as group:
            error = _first(group)
            # Keeps the cause of the error, which may be the service's error response.
            raise error from error.__cause__
    return memory


class _Left:
    """The parts that are left to read, by the index of their first byte."""

    def __init__(self, size: int, part_bytes: int) -> None:
        self._part_bytes = part_bytes
        self._first = 0
        self._end = -(-size // part_bytes)
        self._put_back: list[int] = []

    def __len__(self) -> int:
        return self._end - self._first + len(self._put_back)

    def pop_first(self) -> int | None:
        """Take the first part that is left in sequence; ``None`` if there is none."""
        if self._first == self._end:
            return None
        self._first += 1
        return (self._first - 1) * self._part_bytes

    def pop_last(self) -> int:
        """Take a part that was put back, or else the last part."""
        if self._put_back:
            return self._put_back.pop()
        self._end -= 1
        return self._end * self._part_bytes

    def put_back(self, start: int) -> None:
        """Return a part that was not read."""
        self._put_back.append(start)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
