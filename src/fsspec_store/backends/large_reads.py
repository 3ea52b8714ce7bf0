"""A large body read in parts at the same time, into one piece of memory.

The answer that showed how large the body is goes on being read from its beginning, while other
requests fetch parts from its end; they meet somewhere in between. Knows no service: a part is
fetched by a function that is given.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from ..byte_requests import RangeByteRequest
from .wire.body_memory import new_memory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["LARGE_BYTES", "PARTS_AT_ONCE", "Stream", "read_all", "read_large"]

#: Bodies up to this are read in one piece: what one connection brings in less time than it takes
#: others to get up to speed is not worth a further request.
LARGE_BYTES = 32 * 2**20
#: Requests for parts beside the first answer.
PARTS_AT_ONCE = 4
_PART_BYTES = 8 * 2**20


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


async def read_large(
    body: Stream,
    size: int,
    fetch: Callable[[RangeByteRequest, memoryview], Awaitable[object]],
    *,
    first: int = 0,
    part_bytes: int = _PART_BYTES,
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
        ``await fetch(part, sink)`` fills ``sink`` with these bytes of the object.
    first : int, optional
        Where in the object the body begins, in bytes.
    part_bytes : int, optional
        Bytes of one request, ``>= 1``.
    parts_at_once : int, optional
        Requests beside the first one, ``>= 1``.

    Raises
    ------
    Exception
        What ``fetch`` raised first; the others are cancelled.
    """
    left = deque(range(0, size, part_bytes))

    async def read_on() -> None:
        while left:
            start = left.popleft()
            try:
                await body.read_into(memory[start : start + part_bytes])
            except Exception:
                # Whether more is wrong than this connection, the others will find out.
                left.append(start)
                return

    async def fetch_from_the_end() -> None:
        while left:
            start = left.pop()
            sink = memory[start : start + part_bytes]
            await fetch(RangeByteRequest(first + start, first + start + sink.nbytes), sink)

    try:
        memory = new_memory(size)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read_on())
            for _ in range(min(parts_at_once, len(left) - 1)):
                tasks.create_task(fetch_from_the_end())
        # What broke off when nobody else was there any more.
        await fetch_from_the_end()
    except BaseExceptionGroup as group:
        error = _first(group)
        # Which keeps its own cause, in which a service's answer may be.
        raise error from error.__cause__
    finally:
        body.close()
    return memory


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
