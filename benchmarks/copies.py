"""Copy keys within a bucket: on the service, and through the client.

    python benchmarks/copies.py [--keys 5000] [--rounds 5] [--concurrency 32,128] [--server minio]

Starts SeaweedFS and MinIO, writes values of 4 KiB, 256 KiB and 4 MiB, and copies them to another
prefix with ``transfer.copy``. For the copies through the client, one of the stores has an option
that the other one lacks and that changes no request. Both kinds take turns. Prints the median of
the rates, the CPU time of this process for each key, and the median of the ratios of each round
with the least and the most. The service and this process share the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import S3Endpoint, minio_server, seaweedfs_server

from fsspec_store import Buffer, FsspecStore
from fsspec_store.transfer import copy, remove

_KIB = 1024
#: Sizes of the values in bytes, and the part of the keys that has them.
SIZES = {4 * _KIB: 1.0, 256 * _KIB: 0.2, 4096 * _KIB: 0.02}
SERVERS = {"seaweedfs": seaweedfs_server, "minio": minio_server}
#: An option of s3fs that no request of a store depends on.
OTHER = {"default_fill_cache": False}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", default="32", help="a list, such as 32,128")
    parser.add_argument("--server", choices=SERVERS)
    arguments = parser.parse_args()
    print(f"{'':28} {'on the service, keys/s':>22} {'CPU, us':>8}", end=" ")
    print(f"{'through the client':>18} {'CPU, us':>8}   ratio")
    for name, server in SERVERS.items():
        if arguments.server not in (None, name):
            continue
        with server() as endpoint:
            for size, part in SIZES.items():
                for concurrency in map(int, arguments.concurrency.split(",")):
                    keys = max(int(arguments.keys * part), 1)
                    rounds = await measured(endpoint, size, keys, arguments.rounds, concurrency)
                    show(f"{name} {size // _KIB} KiB, {keys} keys, {concurrency}", rounds)


async def measured(
    endpoint: S3Endpoint, size: int, keys: int, rounds: int, concurrency: int
) -> list[list[tuple[float, float]]]:
    """For each round and both kinds of copies, keys per second, and seconds of CPU for each key."""
    root, options = f"s3://{endpoint.make_bucket()}", endpoint.storage_options()
    value = Buffer.from_bytes(random.Random(5).randbytes(size))
    found = []
    async with (
        FsspecStore.from_url(f"{root}/source", options) as source,
        FsspecStore.from_url(f"{root}/source", options | OTHER) as other,
        FsspecStore.from_url(f"{root}/target", options) as target,
    ):
        await source._set_many((f"c/{number}", value) for number in range(keys))
        for turn in range(rounds + 1):
            pair: list[tuple[float, float]] = []
            for store in (source, other) if turn % 2 else (other, source):
                began, used = time.perf_counter(), time.process_time()
                result = await copy(store, target, concurrency=concurrency)
                seconds = time.perf_counter() - began
                assert (result.copied, result.ok) == (keys, True), result.failures[:3]
                pair.append((keys / seconds, (time.process_time() - used) / keys))
                await remove(target, max_delete=1.0)
            # The first round finds out what the service can do.
            if turn:
                found.append(pair if turn % 2 else pair[::-1])
        await remove(source, max_delete=1.0)
    return found


def show(name: str, rounds: list[list[Any]]) -> None:
    ratios = [ours[0] / theirs[0] for ours, theirs in rounds]
    ours, theirs = ([pair[kind] for pair in rounds] for kind in (0, 1))
    print(f"{name:32}", end="")
    for kind in (ours, theirs):
        rate, used = (statistics.median(figures) for figures in zip(*kind, strict=True))
        print(f" {rate:18.0f} {1e6 * used:8.0f}", end="")
    print(
        f"   {statistics.median(ratios):.1f}x ({min(ratios):.1f} to {max(ratios):.1f})", flush=True
    )


if __name__ == "__main__":
    asyncio.run(main())
