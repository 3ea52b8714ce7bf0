"""Bounds the memory of the values that this process is receiving from services.

All stores, loops and threads share it. A read reserves memory when the size of the body is known.
If there is none, it returns its permit, closes the response, waits, and requests the value again:
reads that wait for memory keep nothing that other reads wait for. The memory belongs to the caller
of the read as soon as the value is complete.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from . import permits
from .http1.buffer_pool import memory_limit
from .permits import Permits, lock

__all__ = ["BodyMemory", "MemoryInUseError", "Reservation", "body_memory", "default_bound"]

_MAX_DEFAULT_BYTES = 512 * 2**20
#: The default bound is this part of the memory of the machine or container, if that is less.
_DEFAULT_PART = 8


class MemoryInUseError(MemoryError):
    """A body has to wait until other values are complete."""


@dataclass(slots=True, eq=False)
class Reservation(permits.Permit):
    """A number of bytes for one value."""

    size: int


class BodyMemory(Permits[Reservation]):
    """Grants reservations. A value that is larger than the bound is received alone.

    Each reservation states its bound, because it is an option of a store. All bytes count for
    every bound.

    Attributes
    ----------
    reserved : int
        Number of bytes that are reserved.
    """

    def _reset(self) -> None:
        super()._reset()
        self.reserved = 0

    async def acquire(self, size: int, bound: int) -> Reservation:
        """Wait for a reservation. The caller returns it with `release`."""
        return await self._wait(partial(self._take, size, bound, asyncio.get_running_loop()))

    def try_acquire(
        self, size: int, bound: int, loop: asyncio.AbstractEventLoop
    ) -> Reservation | None:
        """A reservation for a read on a loop, if the bytes are free and no read waits for some."""
        with lock:
            return None if self._waiting else self._take(size, bound, loop)

    def release(self, permit: Reservation) -> None:
        """Return a reservation."""
        with lock:
            self._drop(permit)
            self._wake()

    def _take(self, size: int, bound: int, loop: asyncio.AbstractEventLoop) -> Reservation | None:
        if self.reserved and self.reserved + size > bound:
            return None
        reservation = Reservation(loop, size)
        self._held.add(reservation)
        self.reserved += size
        return reservation

    def _drop(self, permit: Reservation) -> None:
        if permit in self._held:
            self._held.remove(permit)
            self.reserved -= permit.size


#: The memory of this process.
body_memory = BodyMemory()


def default_bound() -> int:
    """The bound of stores without one: 512 MiB, or an eighth of the memory if that is less."""
    return min(_MAX_DEFAULT_BYTES, memory_limit() // _DEFAULT_PART)
