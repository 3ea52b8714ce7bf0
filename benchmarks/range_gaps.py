"""What reading nearby ranges together gains and costs: the ground of two defaults.

    python benchmarks/range_gaps.py [--server seaweedfs] [--rounds 5] [--latency 0 5 50]

Starts a server, with a latency (milliseconds) if one is given, and reads ranges of a value
with equal gaps between them: each by a separate request, as many at once as the store keeps in
flight, and merged, in turns. Prints milliseconds a call, the fastest of the rounds, and how many
times faster merged is: above 1 a gap is worth fetching. A second table bounds what a fetch spans.

A small range by itself costs SeaweedFS the reading of megabytes around it, unless it has just read
them, so its figures of gaps beyond 128 KiB favour merging. MinIO reads about the requested bytes.
The proxy that adds the latency carries less than a straight connection on the same machine, though
more than most machines get from a bucket.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from servers import S3Endpoint, minio_server, seaweedfs_server
from servers.fault_proxy import fault_proxy

from fsspec_store import Buffer, FsspecStore, RangeByteRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

SERVERS = {"seaweedfs": seaweedfs_server, "minio": minio_server}

KIB, MIB = 2**10, 2**20

COUNTS = (4, 100)
SIZES = (1 * KIB, 64 * KIB)
GAPS = (16 * KIB, 40_000, 64 * KIB, 128 * KIB, 256 * KIB, 512 * KIB, 1 * MIB)
#: Ranges for the second table: 128 MiB, next to each other.
WIDE = [RangeByteRequest(start, start + MIB) for start in range(0, 128 * MIB, MIB)]
SPANS = (1 * MIB, 2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB, 32 * MIB)

KEY = "value"
VALUE_BYTES = max(max(COUNTS) * (max(SIZES) + max(GAPS)), WIDE[-1].end)


def spread(count: int, size: int, gap: int) -> list[RangeByteRequest]:
    """Ranges of one size with one gap between them."""
    starts = range(0, count * (size + gap), size + gap)
    return [RangeByteRequest(start, start + size) for start in starts]


async def seconds(store: FsspecStore, ranges: list[RangeByteRequest], gap: int, span: int) -> float:
    """How long one call takes."""
    begin = time.perf_counter()
    parts = store.get_ranges(KEY, ranges, max_gap_bytes=gap, max_coalesced_bytes=span)
    count = 0
    async for batch in parts:
        count += len(batch)
    took = time.perf_counter() - begin
    if count != len(ranges):
        raise AssertionError(f"{count} of {len(ranges)} ranges are read")
    return took


async def fastest(
    store: FsspecStore, ranges: list[RangeByteRequest], bounds: list[tuple[int, int]], rounds: int
) -> list[float]:
    """Milliseconds a call with each pair of bounds, which take turns."""
    took: list[list[float]] = [[] for _ in bounds]
    for turn in range(rounds + 1):
        for times, (gap, span) in zip(took, bounds, strict=True):
            measured = await seconds(store, ranges, gap, span)
            # The first round warms up connections and the server.
            if turn:
                times.append(measured * 1000)
    return [min(times) for times in took]


async def gaps(store: FsspecStore, rounds: int) -> None:
    for count in COUNTS:
        for size in SIZES:
            title = f"{count} ranges of {size // KIB} KiB"
            print(f"  {title:24}{'apart':>9}{'merged':>9}{'times':>9}")
            for gap in GAPS:
                bounds = [(0, VALUE_BYTES), (gap, 16 * MIB)]
                apart, merged = await fastest(store, spread(count, size, gap), bounds, rounds)
                title = f"gap {gap / KIB:5.0f} KiB"
                print(f"    {title:22}{apart:9.1f}{merged:9.1f}{apart / merged:9.2f}")


async def spans(store: FsspecStore, rounds: int) -> None:
    print(f"  {len(WIDE)} adjacent ranges of 1 MiB, by how much a fetch spans")
    took = await fastest(store, WIDE, [(0, span) for span in SPANS], rounds)
    for span, measured in zip(SPANS, took, strict=True):
        print(f"    {span // MIB:3} MiB {measured:9.1f}")


async def measure(endpoint: S3Endpoint, bucket: str, rounds: int) -> None:
    url = f"s3://{bucket}/data"
    async with FsspecStore.from_url(url, endpoint.storage_options()) as store:
        if not await store.exists(KEY):
            await store.set(KEY, Buffer.from_bytes(bytes(VALUE_BYTES)))
        await gaps(store, rounds)
        await spans(store, rounds)


def _run_proxy(upstream: str, latency: float, pipe: Connection) -> None:
    with fault_proxy(upstream) as proxy:
        proxy.latency = latency
        pipe.send(proxy.url)
        pipe.recv()


@contextmanager
def far_away(endpoint: S3Endpoint, milliseconds: float) -> Iterator[S3Endpoint]:
    """The server behind a proxy, in a separate process, which does not slow the client."""
    if not milliseconds:
        yield endpoint
        return
    ours, theirs = multiprocessing.Pipe()
    arguments = (endpoint.url, milliseconds / 1000, theirs)
    process = multiprocessing.get_context("spawn").Process(target=_run_proxy, args=arguments)
    process.start()
    try:
        yield replace(endpoint, url=ours.recv())
    finally:
        ours.send(None)
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description="What reading nearby ranges together gains.")
    parser.add_argument("--server", choices=SERVERS, default="seaweedfs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency", type=float, nargs="+", default=[0, 5, 50])
    given = parser.parse_args()
    with SERVERS[given.server]() as endpoint:
        bucket = endpoint.make_bucket()
        for latency in given.latency:
            print(f"latency {latency:g} ms")
            with far_away(endpoint, latency) as place:
                asyncio.run(measure(place, bucket, given.rounds))


if __name__ == "__main__":
    main()
