"""`SyncReader` and `SyncWriter`: streams of `store.sync`, for callers that do not await."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from datetime import datetime

    from .buffer import Buffer
    from .streams import Reader, Writer

__all__ = ["SyncReader", "SyncWriter"]


class SyncReader:
    """The parts of one version of a value, in order: an iterator of buffers. See `Reader`.

    Use it in a ``with`` block.

    Parameters
    ----------
    reader : Reader
        The reader of the asynchronous store.
    run : callable
        Runs a coroutine to its end.
    """

    def __init__(self, reader: Reader, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._reader = reader
        self._run = run

    @property
    def size(self) -> int:
        """Size of the whole value in bytes."""
        return self._reader.size

    @property
    def version(self) -> str | None:
        """The version of the value; ``None`` where the service states none."""
        return self._reader.version

    @property
    def modified(self) -> datetime | None:
        """Time of the last change in UTC; ``None`` where the service states none."""
        return self._reader.modified

    @property
    def checksums(self) -> Mapping[str, bytes]:
        """Digests of the whole value that the service states, by name."""
        return self._reader.checksums

    def __enter__(self) -> Self:
        self._run(self._reader.__aenter__())
        return self

    def __exit__(self, *error: object) -> None:
        self._run(self._reader.aclose())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Buffer:
        part: Buffer | None = self._run(self._reader.next_part())
        if part is None:
            raise StopIteration
        return part


class SyncWriter:
    """A value that is written in parts, and becomes visible at `finish`. See `Writer`.

    Use it in a ``with`` block. A block that is left without `finish` leaves the key as it was.

    Parameters
    ----------
    writer : Writer
        The writer of the asynchronous store.
    run : callable
        Runs a coroutine to its end.
    """

    def __init__(self, writer: Writer, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._writer = writer
        self._run = run

    def __enter__(self) -> Self:
        self._run(self._writer.__aenter__())
        return self

    def __exit__(self, exc_type: object, error: BaseException | None, traceback: object) -> None:
        self._run(self._writer.abandon(error))

    def write(self, part: Buffer | bytes | bytearray | memoryview) -> None:
        """Add bytes to the value. The memory may be changed afterwards.

        See `Writer.write`.
        """
        self._run(self._writer.write(part))

    def finish(self) -> str | None:
        """Make the value visible, all at once; return its version, ``None`` if it is unknown."""
        version: str | None = self._run(self._writer.finish())
        return version

    def abandon(self) -> None:
        """End the write, and remove what was written. The key stays as it was."""
        self._run(self._writer.abandon())
