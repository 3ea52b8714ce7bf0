"""Writes a value in parts, with an upload of the service.

A value of at most one part is written in one request. A part is sent when more bytes follow it, a
few at a time, while the next one is collected.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..._core.streams import ValueWriter
from ..._http.http1.buffer_pool import allocate
from ..._runtime.concurrency import retrieve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..cleanup import Cleanup
    from .writing import PartUpload

__all__ = ["PartWriter"]

#: With the part that is collected, four parts are in memory.
_CONCURRENT_PARTS = 3


class PartWriter(ValueWriter):
    """One write of one value by an upload in parts.

    Parameters
    ----------
    upload : PartUpload
        The upload, not started.
    write_whole : callable
        Writes a value of at most one part.
    part_bytes : callable
        Returns the size of the part with an index.
    cleanup : Cleanup
        Runs the removal of the uploaded parts.
    """

    def __init__(
        self,
        upload: PartUpload,
        write_whole: Callable[[memoryview], Awaitable[str | None]],
        part_bytes: Callable[[int], int],
        cleanup: Cleanup,
        *,
        size: int | None = None,
    ) -> None:
        self._upload = upload
        self._write_whole = write_whole
        self._part_bytes = part_bytes
        self._cleanup = cleanup
        self._size = size
        self._memory: memoryview | None = None
        #: Number of bytes in `_memory`.
        self._filled = 0
        #: Index of the part that is collected, and of its first byte.
        self._index = self._start = 0
        # Not tasks: see `prefetched`.
        self._starting: asyncio.Future[Any] | None = None
        self._running: set[asyncio.Future[Any]] = set()

    async def write(self, data: memoryview) -> None:
        done = 0
        while done < data.nbytes:
            if self._memory is not None and self._filled == self._memory.nbytes:
                await self._send()
            if self._memory is None:
                self._memory = self._allocate()
            count = min(self._memory.nbytes - self._filled, data.nbytes - done)
            self._memory[self._filled : self._filled + count] = data[done : done + count]
            self._filled += count
            done += count

    async def finish(self) -> str | None:
        if self._starting is None:
            memory = memoryview(b"") if self._memory is None else self._memory
            return await self._write_whole(memory[: self._filled])
        await self._send(is_last=True)
        while self._running:
            await self._wait_for_one()
        await self._upload.complete()
        return self._upload.written_version

    async def abandon(self, error: BaseException | None) -> None:
        self._memory = None
        running, self._running = self._running, set()
        for part in running:
            part.add_done_callback(retrieve)
            part.cancel()
        upload, starting = self._upload, self._starting
        if starting is None:
            return

        async def abort() -> None:
            # A part that the service is receiving may be stored after an abort.
            if running:
                await asyncio.wait(running)
            (started,) = await starting
            if not isinstance(started, BaseException):
                await upload.abort()

        await self._cleanup.run(abort, error)

    def _allocate(self) -> memoryview:
        size = self._part_bytes(self._index)
        if self._size is not None:
            size = min(size, self._size - self._start)
        return allocate(size)

    async def _send(self, *, is_last: bool = False) -> None:
        """Send the part that is collected, when fewer than the maximum number are being sent."""
        if self._starting is None:
            self._starting = asyncio.gather(self._upload.start(), return_exceptions=True)
        # It is not cancelled with this call: only its response names the upload.
        await asyncio.wait([self._starting])
        (started,) = self._starting.result()
        if isinstance(started, BaseException):
            raise started
        limit = 1 if self._upload.in_sequence else _CONCURRENT_PARTS
        while len(self._running) >= limit:
            await self._wait_for_one()
        assert self._memory is not None
        await self._upload.hash(self._memory[: self._filled])
        put = self._upload.put(
            self._index, self._start, self._memory[: self._filled], is_last=is_last
        )
        self._running.add(asyncio.gather(put, return_exceptions=True))
        self._index += 1
        self._start += self._filled
        self._memory, self._filled = None, 0

    async def _wait_for_one(self) -> None:
        done, self._running = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            (outcome,) = part.result()
            if isinstance(outcome, BaseException):
                raise outcome
