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
from .retrier import NoPermitError, Slot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .messages import BodyStream

__all__ = ["FetchPart", "read_large", "read_slice"]

#: Maximum number of concurrent requests for parts, in addition to the first response.
_PARTS_AT_ONCE = 4
_SKIPPED_BYTES = 2**20

#: ``await fetch(part, sink, slot)`` reads this range of one version of an object into ``sink``, or
#: raises `fsspec_store._core.failures.ChangedWhileReadError`.
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
    # The parts that are left to read, by the index of their first byte: those that no request has
    # taken yet, in sequence, and those whose request failed.
    left = range(0, size, part_bytes)
    failed: list[int] = []
    is_read = True

    def take_last() -> int:
        nonlocal left
        if failed:
            return failed.pop()
        start, left = left[-1], left[:-1]
        return start

    async def fetch_part(start: int, slot: Slot) -> None:
        sink = memory[start : start + part_bytes]
        try:
            await fetch(RangeByteRequest(first + start, first + start + sink.nbytes), sink, slot)
        except NoPermitError:
            failed.append(start)
            raise

    async def fetch_from_the_end() -> None:
        # One slot per part, so that waiting small requests get a slot between two parts.
        while (left or failed) and (spare := slot.spare()) is not None:
            with spare:
                try:
                    await fetch_part(take_last(), spare)
                except NoPermitError:
                    return

    async def read_on(tasks: asyncio.TaskGroup) -> None:
        nonlocal left
        beside: list[asyncio.Task[None]] = []
        while left or failed:
            beside = [task for task in beside if not task.done()]
            for _ in range(min(parts_at_once - len(beside), len(left) + len(failed) - 1)):
                beside.append(tasks.create_task(fetch_from_the_end()))
            if not (is_read and left):
                stop_reading()
                await fetch_part(take_last(), slot)
                continue
            start, left = left[0], left[1:]
            try:
                await body.read_into(memory[start : start + part_bytes])
            except Exception:
                if not slot.body_failed():
                    raise
                failed.append(start)
                stop_reading()

    def stop_reading() -> None:
        nonlocal is_read
        is_read = False
        opened.close()

    with ExitStack() as opened:
        opened.callback(body.close)
        memory = allocate(size)
        try:
            while left or failed:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(read_on(tasks))
                # The request for a part may have failed after the body was read to its end.
        except BaseExceptionGroup as group:
            error = _first(group)
            # Keeps the cause of the error, which may be the service's error response.
            raise error from error.__cause__
    return memory


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
