"""Copy keys within a bucket: on the service, and through the client.

    python benchmarks/copies.py [--keys 5000] [--rounds 5] [--latency 0,20] [--server minio]

Starts SeaweedFS and MinIO, writes values of 4 KiB, 256 KiB and 4 MiB, and copies them to another
prefix with ``transfer.copy``. For the copies through the client, one of the stores has an option
that the other one lacks and that changes no request. Both kinds take turns.

Prints the medians of the rates, and of the CPU time of this process and of the server for each
key; then the median of the ratios of each round with the least and the most, and the ratio of the
CPU times. The server and this process share the cores, so without latency the rates are bounded by
the CPU times. With latency, each response is that much later, in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import S3Endpoint, minio_server, seaweedfs_server
from servers.fault_proxy import FaultProxy, fault_proxy

from fsspec_store import Buffer, FsspecStore
from fsspec_store.transfer import Options, copy, remove

_KIB = 1024
#: Sizes of the values in bytes, and the part of the keys that has them.
SIZES = {4 * _KIB: 1.0, 256 * _KIB: 0.2, 4096 * _KIB: 0.02}
SERVERS = {"seaweedfs": seaweedfs_server, "minio": minio_server}
#: An option of s3fs that no request of a store depends on.
OTHER = {"default_fill_cache": False}
_TICKS = os.sysconf("SC_CLK_TCK")


class Figures(NamedTuple):
    """Of one copy of all keys: seconds of CPU are for each key."""

    rate: float
    client: float
    server: float


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency", default="0", help="milliseconds, a list such as 0,20")
    parser.add_argument("--concurrency", type=int, help="of both kinds; by default those of copy")
    parser.add_argument("--server", choices=SERVERS)
    parser.add_argument("--sizes", default="4,256,4096", help="in KiB")
    arguments = parser.parse_args()
    options: Options = {}
    if arguments.concurrency:
        options["concurrency"] = arguments.concurrency
    sizes = [int(size) * _KIB for size in arguments.sizes.split(",")]
    print(f"{'':34} {'on the service, keys/s':>22} {'CPU, us: client, server':>24}", end="  ")
    print("through the client, the same          ratio                of CPU")
    for name, server in SERVERS.items():
        if arguments.server not in (None, name):
            continue
        with server() as endpoint, fault_proxy(endpoint.url) as proxy:
            for latency in map(float, arguments.latency.split(",")):
                proxy.latency = latency / 1000
                for size in sizes:
                    keys = max(int(arguments.keys * SIZES[size]), 1)
                    rounds = await measured(endpoint, proxy, size, keys, arguments.rounds, options)
                    show(f"{name} {size // _KIB} KiB, {keys} keys, {latency:g} ms", rounds)


async def measured(
    endpoint: S3Endpoint, proxy: FaultProxy, size: int, keys: int, rounds: int, options: Options
) -> list[tuple[Figures, Figures]]:
    """For each round, the figures of copies on the service and of those through the client."""
    root, storage = f"s3://{endpoint.make_bucket()}", endpoint.storage_options()
    value = Buffer.from_bytes(random.Random(5).randbytes(size))
    async with FsspecStore.from_url(f"{root}/source", storage) as filled:
        await filled._set_many((f"c/{number}", value) for number in range(keys))
    if proxy.latency:
        storage["endpoint_url"] = proxy.url
    found = []
    async with (
        FsspecStore.from_url(f"{root}/source", storage) as source,
        FsspecStore.from_url(f"{root}/source", storage | OTHER) as other,
        FsspecStore.from_url(f"{root}/target", storage) as target,
    ):
        # The first round finds out what the service can do.
        for turn in range(rounds + 1):
            pair = {}
            for store in (source, other) if turn % 2 else (other, source):
                before = store.stats.requests + target.stats.requests
                began, client, server = time.perf_counter(), time.process_time(), server_seconds()
                result = await copy(store, target, **options)
                seconds = time.perf_counter() - began
                assert (result.copied, result.ok) == (keys, True), result.failures[:3]
                pair[store] = Figures(
                    keys / seconds,
                    (time.process_time() - client) / keys,
                    (server_seconds() - server) / keys,
                )
                requests = store.stats.requests + target.stats.requests - before
                # The listings have 1,000 keys for each request.
                listed = 2 * (keys // 1000 + 1)
                assert requests <= keys * (1 if store is source else 2) + listed or not turn
                await remove(target, max_delete=1.0)
            if turn:
                found.append((pair[source], pair[other]))
        await remove(source, max_delete=1.0)
    return found


def server_seconds() -> float:
    """CPU time of the programs that this process has started (proc(5), ``stat``)."""
    used = 0
    for tasks in Path("/proc/self/task").iterdir():
        for pid in (tasks / "children").read_text().split():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            used += int(fields[11]) + int(fields[12])
    return used / _TICKS


def show(name: str, rounds: list[tuple[Figures, Figures]]) -> None:
    print(f"{name:34}", end="")
    used = []
    for kind in zip(*rounds, strict=True):
        rate, client, server = (statistics.median(each) for each in zip(*kind, strict=True))
        print(f" {rate:18.0f} {1e6 * client:10.0f} {1e6 * server:10.0f}", end="")
        used.append(client + server)
    ratios = [ours.rate / theirs.rate for ours, theirs in rounds]
    least, most = min(ratios), max(ratios)
    print(f"    {statistics.median(ratios):4.1f}x ({least:.1f} to {most:.1f})", end="")
    print(f" {used[1] / used[0]:4.1f}x", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
