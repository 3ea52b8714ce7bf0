"""`Reader` and `Writer`: a value as a stream of parts, in memory of a few parts.

Knows no service. A backend opens the value or starts the write: see `fsspec_store._core.streams`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from .._runtime.concurrency import retrieve
from .buffer import Buffer, as_view

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from .._core.streams import OpenValue, ValueWriter

__all__ = ["Reader", "Writer", "check_size", "check_start"]

_NOT_OPEN = "is not open: use it within its `async with` block, and not after an error"


def check_start(key: str, start: int) -> None:  # numpydoc ignore=PR01
    """Raise ``ValueError`` or ``TypeError`` for an invalid index of the first byte."""
    if isinstance(start, bool) or not isinstance(start, int):
        raise TypeError(f"start must be an integer number of bytes, got {start!r} for {key!r}")
    if start < 0:
        raise ValueError(f"start must be at least 0, got {start} for {key!r}")


def check_size(key: str, size: int | None) -> None:  # numpydoc ignore=PR01
    """Raise ``ValueError`` or ``TypeError`` for an invalid size of a value."""
    if size is None:
        return
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"size must be an integer number of bytes, got {size!r} for {key!r}")
    if size < 0:
        raise ValueError(f"size must be at least 0, got {size} for {key!r}")


class Reader:  # numpydoc ignore=PR01
    """The parts of one version of a value, in order: an asynchronous iterator of buffers.

    `Store.open_reader` makes it. Use it in an ``async with`` block, in which it has these
    attributes.

    Attributes
    ----------
    size : int
        Size of the whole value in bytes, also with ``start``.
    version : str or None
        The version, as in `Store.get_version`; ``None`` where the service states none.
    modified : datetime or None
        Time of the last change in UTC; ``None`` where the service states none.
    checksums : Mapping
        Digests of the whole value that the service states, by name: ``"crc32c"``, ``"md5"``.
    """

    size: int
    version: str | None
    modified: datetime | None
    checksums: Mapping[str, bytes]

    def __init__(
        self,
        key: str,
        start: int,
        open_value: Callable[[], Awaitable[OpenValue]],
        make: Callable[[memoryview], Buffer],
    ) -> None:
        self._key = key
        self._index = start
        self._open_value = open_value
        self._make = make
        self._value: OpenValue | None = None
        self._first = memoryview(b"")
        #: The parts that are being read, in order. Not tasks: see `prefetched`.
        self._ahead: deque[asyncio.Future[tuple[bytes | memoryview | BaseException]]] = deque()

    def __repr__(self) -> str:
        return f"<Reader of {self._key!r}>"

    async def __aenter__(self) -> Self:
        self._value = value = await self._open_value()
        self._first = memoryview(value.first)
        self.size, self.version = value.size, value.version
        self.modified, self.checksums = value.modified, value.checksums
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Buffer:
        part = await self.next_part()
        if part is None:
            raise StopAsyncIteration
        return part

    async def next_part(self) -> Buffer | None:
        """The next part; ``None`` at the end of the value."""
        if self._value is None:
            raise RuntimeError(f"the reader of {self._key!r} {_NOT_OPEN}")
        try:
            part = await self._next(self._value)
        except BaseException:
            # A later call would skip this part.
            await self.aclose()
            raise
        return None if part is None else self._make(memoryview(part))

    async def aclose(self) -> None:
        """Cancel the requests of this reader, and close it. Closing it again has no effect."""
        value, self._value = self._value, None
        ahead, self._ahead = self._ahead, deque()
        self._first = memoryview(b"")
        if value is not None:
            value.close()
        for request in ahead:
            request.add_done_callback(retrieve)
            request.cancel()
        if ahead:
            await asyncio.wait(ahead)

    async def _next(self, value: OpenValue) -> bytes | memoryview | None:
        if self._first:
            first, self._first = self._first, memoryview(b"")
            self._index += first.nbytes
            self._read_ahead(value)
            return first
        if not value.parts_ahead:
            bounds = self._take(value)
            return None if bounds is None else await value.read(*bounds)
        self._read_ahead(value)
        if not self._ahead:
            return None
        (part,) = await self._ahead[0]
        if isinstance(part, BaseException):
            raise part
        self._ahead.popleft()
        self._read_ahead(value)
        return part

    def _take(self, value: OpenValue) -> tuple[int, int] | None:
        """The bounds of the next part to request; ``None`` after the last one."""
        start, self._index = self._index, min(self._index + value.part_bytes, value.size)
        return (start, self._index) if start < self._index else None

    def _read_ahead(self, value: OpenValue) -> None:
        while len(self._ahead) < value.parts_ahead and (bounds := self._take(value)) is not None:
            self._ahead.append(asyncio.gather(value.read(*bounds), return_exceptions=True))


class Writer:  # numpydoc ignore=PR01
    """A value that is written in parts, and becomes visible at `finish`.

    `Store.open_writer` makes it. A block that is left without `finish`, by an error or a
    cancellation, leaves the key as it was, and removes what was written.
    """

    def __init__(
        self,
        key: str,
        size: int | None,
        start: Callable[[], ValueWriter],
        run: Callable[[Awaitable[Any]], Awaitable[Any]],
    ) -> None:
        self._key = key
        self._size = size
        self._start = start
        self._run = run
        self._writer: ValueWriter | None = None
        self._written = 0

    def __repr__(self) -> str:
        return f"<Writer of {self._key!r}, {self._written} bytes written>"

    async def __aenter__(self) -> Self:
        self._writer = self._start()
        return self

    async def __aexit__(
        self, exc_type: object, error: BaseException | None, traceback: object
    ) -> None:
        await self.abandon(error)

    async def write(self, part: Buffer | bytes | bytearray | memoryview) -> None:
        """Add bytes to the value. The memory may be changed afterwards.

        Parameters
        ----------
        part : Buffer or bytes-like
            Of any size.

        Raises
        ------
        TypeError
            When ``part`` is neither a buffer nor bytes.
        ValueError
            When the value becomes larger than the ``size`` of `Store.open_writer`.
        """
        writer = self._opened()
        try:
            data = as_view(part)
        except TypeError:
            raise TypeError(
                f"a part of {self._key!r} is not a buffer or bytes, got {type(part).__name__}"
            ) from None
        if self._size is not None and self._written + data.nbytes > self._size:
            raise ValueError(
                f"{self._written + data.nbytes} bytes written to {self._key!r}, and size is "
                f"{self._size}"
            )
        self._written += data.nbytes
        await self._ending_on_error(writer.write(data))

    async def finish(self) -> str | None:
        """Make the value visible, all at once, and end the write.

        Returns
        -------
        str or None
            The version of the value, as in `Store.get_version`; ``None`` if it is unknown.

        Raises
        ------
        ValueError
            When fewer bytes were written than the ``size`` of `Store.open_writer`.
        """
        writer = self._opened()
        if self._size is not None and self._written != self._size:
            raise ValueError(
                f"{self._written} bytes written to {self._key!r}, and size is {self._size}"
            )
        version: str | None = await self._ending_on_error(writer.finish())
        self._writer = None
        return version

    async def abandon(self, error: BaseException | None = None) -> None:
        """End the write, and remove what was written. The key stays as it was.

        Without effect after `finish`. A block that ends without `finish` calls it.

        Parameters
        ----------
        error : BaseException, optional
            The exception that ended the write. After a cancellation the removal is awaited for a
            short time.
        """
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.abandon(error)

    def _opened(self) -> ValueWriter:
        if self._writer is None:
            raise RuntimeError(f"the writer of {self._key!r} {_NOT_OPEN}")
        return self._writer

    async def _ending_on_error(self, work: Awaitable[Any]) -> Any:
        try:
            return await self._run(work)
        except BaseException as error:
            await self.abandon(error)
            raise
