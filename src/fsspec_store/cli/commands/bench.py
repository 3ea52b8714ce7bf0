"""``bench``: quick figures of a place."""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from ..frame import command
from ..help import PLACES
from ..missing import no_keys
from ..output import Output
from ..place import Place
from ..text import human_size

if TYPE_CHECKING:
    from ... import FsspecStore

#: Maximum number of keys that the listing reads.
_MOST_LISTED = 10_000
_CONCURRENCY = 64


@dataclass(frozen=True)
class _Figure:
    """The measurement of one operation: of each call its seconds, and the bytes of all."""

    operation: str
    calls: Sequence[float]
    seconds: float
    count: int
    bytes: int | None = None

    def as_dict(self) -> dict[str, object]:
        """The figure for JSON."""
        return {
            "operation": self.operation,
            "count": self.count,
            "seconds": self.seconds,
            "per_second": self.count / self.seconds,
            "bytes_per_second": None if self.bytes is None else self.bytes / self.seconds,
            "median_seconds": self._percentile(50),
            "p95_seconds": self._percentile(95),
        }

    def as_row(self) -> tuple[str, ...]:
        """The figure as fields of a table."""
        rate = "-" if self.bytes is None else human_size(self.bytes / self.seconds) + "/s"
        times = [f"{1000 * self._percentile(percent):.1f}" for percent in (50, 95)]
        return (f"{self.count}", f"{self.count / self.seconds:.0f}", rate, *times, self.operation)

    def _percentile(self, percent: int) -> float:
        return sorted(self.calls)[(len(self.calls) - 1) * percent // 100]


@command(
    PLACES,
    examples=[
        ("s3://bucket/climate.zarr", "Lists and reads keys that are there"),
        ("--write --size 4194304 s3://bucket/tmp", "Writes, reads, lists and deletes own keys"),
    ],
)
def bench(
    place: Place,
    output: Output,
    write: Annotated[
        bool,
        typer.Option("--write", help="Also write, below a temporary prefix that is removed."),
    ] = False,
    count: Annotated[
        int, typer.Option("--count", min=1, max=100_000, help="Number of values.")
    ] = 200,
    size: Annotated[
        int, typer.Option("--size", min=1, help="Bytes of a value that is written.")
    ] = 16384,
) -> None:
    """Measure a place for a few seconds.

    Without --write it lists at most 10,000 keys and reads the first ones. With --write it writes
    values below a temporary prefix, reads, lists and deletes them.
    """
    import asyncio

    from ...errors import UnsupportedOperationError

    with place.open(read_only=not write) as store:
        if write and not store.supports_writes:
            raise UnsupportedOperationError(f"{place.shown!r} does not support writes")
        figures = asyncio.run(
            _measure_own(store, count, size) if write else _measure_existing(store, count)
        )
    if not figures:
        raise no_keys(place)
    if output.json:
        output.document({"url": place.shown, "figures": [each.as_dict() for each in figures]})
        return
    columns = ("count", "per s", "bytes/s", "median ms", "p95 ms", "operation")
    output.table(columns, [each.as_row() for each in figures], right=5)


async def _measure_existing(store: "FsspecStore", count: int) -> list[_Figure]:
    async with aclosing(store):
        listed, keys = await _list(store, "")
        return [listed, await _read(store, keys[:count])] if keys else []


async def _measure_own(store: "FsspecStore", count: int, size: int) -> list[_Figure]:
    import asyncio

    from ... import Buffer

    prefix = f".fsspec-store-bench-{uuid4().hex}"
    keys = [f"{prefix}/{number}" for number in range(count)]
    value = Buffer.from_bytes(bytes(range(256)) * (size // 256 + 1))[:size]

    writes: list[asyncio.Task[None]] = []

    async def write(key: str) -> int:
        task = asyncio.create_task(store.set(key, value))
        writes.append(task)
        await asyncio.shield(task)
        return size

    async with aclosing(store):
        try:
            written = await _timed("set", write, keys)
            read = await _read(store, keys)
            listed, _ = await _list(store, prefix)
        finally:
            # The service would store a cancelled write after the deletion.
            await asyncio.gather(*writes, return_exceptions=True)
            start = time.perf_counter()
            await store.delete_dir(prefix)
            seconds = time.perf_counter() - start
        deleted = _Figure("delete", [seconds], seconds, count)
        return [written, read, listed, deleted]


async def _list(store: "FsspecStore", prefix: str) -> tuple[_Figure, list[str]]:
    start = time.perf_counter()
    keys: list[str] = []
    async with aclosing(store.list_prefix(prefix)) as listed:
        async for key in listed:
            keys.append(key)
            if len(keys) == _MOST_LISTED:
                break
    seconds = time.perf_counter() - start
    return _Figure("list", [seconds], seconds, len(keys)), keys


async def _read(store: "FsspecStore", keys: Sequence[str]) -> _Figure:
    async def read(key: str) -> int:
        value = await store.get(key)
        return 0 if value is None else len(value)

    return await _timed("get", read, keys)


async def _timed(
    operation: str, call: Callable[[str], Awaitable[int]], keys: Sequence[str]
) -> _Figure:
    """Call a function, which returns a number of bytes, for all keys, many at once."""
    import asyncio

    free = asyncio.Semaphore(_CONCURRENCY)
    times: list[float] = []
    size = 0

    async def one(key: str) -> None:
        nonlocal size
        async with free:
            start = time.perf_counter()
            size += await call(key)
            times.append(time.perf_counter() - start)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for key in keys:
            tasks.create_task(one(key))
    return _Figure(operation, times, time.perf_counter() - start, len(keys), size)
