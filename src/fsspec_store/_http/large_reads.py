"""A large body read in parts at the same time, into one piece of memory.

The answer that showed how large the body is goes on being read from its beginning, while other
requests fetch parts from its end; they meet somewhere in between. The read has one slot among the
requests in flight, which is enough; further parts are fetched where slots are free. Knows no
service: a part is fetched by a function that is given.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol, TypeAlias

from .._core.byte_requests import RangeByteRequest
from .http1.buffer_pool import new_memory
from .retrier import NoPermitError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractContextManager

    from .retrier import Slot

__all__ = [
    "PARTS_AT_ONCE",
    "Fetch",
    "Spare",
    "Stream",
    "read_all",
    "read_large",
    "read_slice",
    "spares",
]

#: Requests for parts beside the first answer.
PARTS_AT_ONCE = 4
_SKIPPED_BYTES = 2**20

#: ``await fetch(part, sink)`` fills ``sink`` with these bytes of the object.
Fetch: TypeAlias = "Callable[[RangeByteRequest, memoryview], Awaitable[object]]"
#: Returns a context in which parts are fetched in a slot of their own; ``None`` if none is free.
Spare: TypeAlias = "Callable[[], AbstractContextManager[Fetch] | None]"


class Stream(Protocol):
    """A body that is read piece by piece."""

    async def read_into(self, sink: memoryview) -> None:
        """Fill a piece of memory with the next bytes."""

    def close(self) -> None:
        """Let go of it, read to its end or not."""


async def read_all(body: Stream, size: int) -> memoryview:
    """Read a body of this size, in bytes, from beginning to end."""
    try:
        memory = new_memory(size)
        await body.read_into(memory)
    finally:
        body.close()
    return memory


async def read_slice(body: Stream, start: int, end: int) -> memoryview:
    """Read the bytes from ``start`` to ``end`` of a body, and leave what follows them."""
    try:
        memory = new_memory(end - start)
        skipped = new_memory(min(start, _SKIPPED_BYTES))
        for place in range(0, start, _SKIPPED_BYTES):
            await body.read_into(skipped[: start - place])
        await body.read_into(memory)
    finally:
        body.close()
    return memory


def spares(slot: Slot, fetch_in: Callable[[Slot], Fetch]) -> Spare:
    """The `Spare` of a read that has a slot.

    Parameters
    ----------
    slot : Slot
        The read's own.
    fetch_in : callable
        Returns what fetches parts in a slot.
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
    body: Stream,
    size: int,
    fetch: Fetch,
    *,
    part_bytes: int,
    first: int = 0,
    spare: Spare | None = None,
    parts_at_once: int = PARTS_AT_ONCE,
) -> memoryview:
    """Read a body, its end by other requests.

    Parameters
    ----------
    body : Stream
        Of the first answer; closed in any case. Where it breaks off, parts take its place.
    size : int
        Bytes of the body.
    fetch : callable
        Fetches a part; called when the body is closed, in the slot that it had.
    part_bytes : int
        Bytes of one request, ``>= 1``.
    first : int, optional
        Where in the object the body begins, in bytes.
    spare : callable, optional
        A `Spare` for parts beside the body. Left out, ``fetch`` is called for these as well.
    parts_at_once : int, optional
        Requests beside the first one, ``>= 1``.

    Raises
    ------
    NoRoomError
        When there is no memory for so many bytes.
    Exception
        What a request for a part raised first; the others are cancelled.
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
            # A slot for each part: small requests that wait come between two parts.
            lent = nullcontext(fetch) if spare is None else spare()
            if lent is None:
                return
            with lent as fetch_beside:
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
                # The requests for parts find out whether more is wrong than this connection.
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
                # A part may have been put back when the body was read to its end.
        except BaseExceptionGroup as group:
            error = _first(group)
            # It keeps its own cause, which may hold the service's answer.
            raise error from error.__cause__
    return memory


class _Left:
    """The parts that are still to be read, by where they begin: a range of them, and single ones.

    Parameters
    ----------
    size : int
        Of the body.
    part_bytes : int
        Of one part.
    """

    def __init__(self, size: int, part_bytes: int) -> None:
        self._part_bytes = part_bytes
        self._first = 0
        self._end = -(-size // part_bytes)
        self._put_back: list[int] = []

    def __len__(self) -> int:
        return self._end - self._first + len(self._put_back)

    def pop_first(self) -> int | None:
        """The part after the last one that was popped here; ``None`` when another reader has it."""
        if self._first == self._end:
            return None
        self._first += 1
        return (self._first - 1) * self._part_bytes

    def pop_last(self) -> int:
        """The last part that no reader has taken."""
        if self._put_back:
            return self._put_back.pop()
        self._end -= 1
        return self._end * self._part_bytes

    def put_back(self, start: int) -> None:
        """Leave a part to others."""
        self._put_back.append(start)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
