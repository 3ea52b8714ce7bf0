"""Reads of large bodies: from the first response, and in parts from the end at the same time.

The first response, which states the size, is read from the start of the body. Other requests read
parts from the end until both meet. The read needs one slot of the limiter; parts are requested
when further slots are free. Does not know any service: the caller passes the function that reads a
part.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeAlias

from .._core.byte_requests import RangeByteRequest
from .http1.buffer_pool import new_memory
from .retrier import NoPermitError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractContextManager

    from .messages import BodyStream
    from .retrier import Slot

__all__ = [
    "PARTS_AT_ONCE",
    "Fetch",
    "Spare",
    "read_all",
    "read_large",
    "read_slice",
    "spares",
]

#: Maximum number of concurrent requests for parts beside the first response.
PARTS_AT_ONCE = 4
_SKIPPED_BYTES = 2**20

#: ``await fetch(part, sink)`` reads this range of the object into ``sink``.
Fetch: TypeAlias = "Callable[[RangeByteRequest, memoryview], Awaitable[object]]"
#: Takes a free slot, and returns a context manager of a `Fetch` in it; ``None`` if none is free.
Spare: TypeAlias = "Callable[[], AbstractContextManager[Fetch] | None]"


async def read_all(body: BodyStream, size: int) -> memoryview:
    """Read a whole body of this size in bytes. Closes the body."""
    try:
        memory = new_memory(size)
        await body.read_into(memory)
    finally:
        body.close()
    return memory


async def read_slice(body: BodyStream, start: int, end: int) -> memoryview:
    """Read the bytes from ``start`` to ``end`` of a body. Closes the body."""
    try:
        memory = new_memory(end - start)
        skipped = new_memory(min(start, _SKIPPED_BYTES))
        for index in range(0, start, _SKIPPED_BYTES):
            await body.read_into(skipped[: start - index])
        await body.read_into(memory)
    finally:
        body.close()
    return memory


def spares(slot: Slot, fetch_in: Callable[[Slot], Fetch]) -> Spare:
    """Return the `Spare` of a read.

    Parameters
    ----------
    slot : Slot
        Slot of the read.
    fetch_in : callable
        Returns the `Fetch` for a slot.
    """

    @contextmanager
    def entered(spare: Slot) -> Iterator[Fetch]:
        with spare:
            yield fetch_in(spare)

    def take() -> AbstractContextManager[Fetch] | None:
        spare = slot.spare()
        return None if spare is None else entered(spare)

    return take


async def read_large(
    body: BodyStream,
    size: int,
    fetch: Fetch,
    *,
    part_bytes: int,
    first: int = 0,
    spare: Spare | None = None,
    parts_at_once: int = PARTS_AT_ONCE,
) -> memoryview:
    """Read a body from its start, and parts of it from its end with other requests.

    Parameters
    ----------
    body : BodyStream
        Body of the first response. It is closed. If it breaks off, the rest is read in parts.
    size : int
        Size of the body in bytes.
    fetch : callable
        Reads a part in the slot of the body, after that is closed.
    part_bytes : int
        Size of a part in bytes, ``>= 1``.
    first : int, optional
        Index in the object of the first byte of the body.
    spare : callable, optional
        A `Spare` for parts that are read beside the body. By default ``fetch`` reads these too.
    parts_at_once : int, optional
        Maximum number of concurrent requests for parts, ``>= 1``.

    Raises
    ------
    InsufficientMemoryError
        When there is not enough memory for the body.
    Exception
        The first exception of a request for a part. The other requests are cancelled.
    """
    left = _Left(size, part_bytes)
    is_read = True

    async def fetch_part(fetch: Fetch, start: int) -> None:
        sink = memory[start : start + part_bytes]
        try:
            await fetch(RangeByteRequest(first + start, first + start + sink.nbytes), sink)
        except NoPermitError:
            left.put_back(start)
            raise

    async def fetch_from_the_end() -> None:
        while left:
            # One slot per part, so that waiting small requests get a slot between two parts.
            context = nullcontext(fetch) if spare is None else spare()
            if context is None:
                return
            with context as fetch_beside:
                try:
                    await fetch_part(fetch_beside, left.pop_last())
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
                await fetch_part(fetch, left.pop_last())
                continue
            try:
                await body.read_into(memory[start : start + part_bytes])
            except Exception:
                # Only this connection may have failed. If not, a request for a part fails too.
                left.put_back(start)
                stop_reading()

    def stop_reading() -> None:
        nonlocal is_read
        is_read = False
        opened.close()

    with ExitStack() as opened:
        opened.callback(body.close)
        memory = new_memory(size)
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
    """The parts that are left to read, by the index of their first byte.

    Parameters
    ----------
    size : int
        Size of the body in bytes.
    part_bytes : int
        Size of one part in bytes.
    """

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
