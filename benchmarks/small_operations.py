"""Small operations on S3: this store beside zarr-python's own FsspecStore.

    python benchmarks/small_operations.py [--rounds 5] [--seconds 1.0]

Starts SeaweedFS, writes 200 values of 16 KiB, and lets the candidates take turns at each operation,
32 at a time. Prints operations a second (median of the rounds) and the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import zarr.storage
from zarr.core.buffer import default_buffer_prototype

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from servers import seaweedfs_server

from fsspec_store.zarr import FsspecStore

AT_ONCE = 32
KEYS = [f"c/{number}" for number in range(200)]
PROTOTYPE = default_buffer_prototype()
VALUE = PROTOTYPE.buffer.from_bytes(bytes(range(256)) * 64)

Operation = Callable[[Any, int], Awaitable[Any]]

OPERATIONS: dict[str, Operation] = {
    "get 16 KiB whole": lambda store, turn: store.get(KEYS[turn % 200], PROTOTYPE),
    "get 4 KiB range": lambda store, turn: store.get(
        KEYS[turn % 200], PROTOTYPE, zarr.abc.store.RangeByteRequest(4096, 8192)
    ),
    "get missing": lambda store, turn: store.get(f"missing/{turn}", PROTOTYPE),
    "exists": lambda store, turn: store.exists(KEYS[turn % 200]),
    "exists, missing": lambda store, turn: store.exists(f"missing/{turn}"),
    "set 256 B": lambda store, turn: store.set(f"new/{turn % 200}", VALUE[:256]),
    "getsize_prefix of 200": lambda store, turn: store.getsize_prefix("c"),
}


async def rate(operation: Operation, store: Any, seconds: float) -> float:
    """Operations a second, ``AT_ONCE`` under way at any time."""
    turns = iter(range(10**9))
    end = time.perf_counter() + seconds
    done = 0

    async def work() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await operation(store, next(turns))
            done += 1

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return done / (time.perf_counter() - start)


async def compare(url: str, options: dict[str, Any], rounds: int, seconds: float) -> None:
    ours = FsspecStore.from_url(url, options)
    theirs = zarr.storage.FsspecStore.from_url(url, options)
    await asyncio.gather(*(ours.set(key, VALUE) for key in KEYS))
    print(f"{'operation':24}{'fsspec-store /s':>18}{'zarr FsspecStore /s':>22}{'ratio':>8}")
    for name, operation in OPERATIONS.items():
        rates: dict[int, list[float]] = {0: [], 1: []}
        for turn in range(rounds + 1):
            for who, store in enumerate((ours, theirs)):
                measured = await rate(operation, store, seconds)
                # The first round warms up sessions and servers.
                if turn:
                    rates[who].append(measured)
        first, second = statistics.median(rates[0]), statistics.median(rates[1])
        print(f"{name:24}{first:18.0f}{second:22.0f}{first / second:7.1f}x")
    await ours.aclose()
    await theirs.fs._s3creator.__aexit__(None, None, None)


def main() -> None:
    parser = argparse.ArgumentParser(description="Small operations on S3, beside zarr's own store.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    with seaweedfs_server() as endpoint:
        url = f"s3://{endpoint.make_bucket()}/data"
        asyncio.run(compare(url, endpoint.storage_options(), given.rounds, given.seconds))


if __name__ == "__main__":
    main()
