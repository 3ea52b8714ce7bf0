"""Time to read a zarr array when a few responses are slow, without and with hedged reads.

    python benchmarks/slow_responses.py [--chunks 2000] [--late 0.01] [--seconds 3] [--rounds 3]

Starts SeaweedFS, and a proxy in a process of its own that holds back a share of the responses,
chosen with a fixed seed. zarr reads the array through it, ten chunks at once. Prints for each round
the time of the whole array, percentiles of a chunk, and the hedges.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from servers import S3Endpoint, seaweedfs_server
from servers.fault_proxy import Late, fault_proxy

from fsspec_store.zarr import ZarrStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from multiprocessing.connection import Connection

CHUNK = 16 * 2**10


class TimedStore(ZarrStore):
    """Records the time of each read."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seconds: list[float] = []

    async def get(self, *args: Any, **options: Any) -> Any:
        """The value, after its time was recorded."""
        began = time.perf_counter()
        value = await super().get(*args, **options)
        self.seconds.append(time.perf_counter() - began)
        return value


def _run_proxy(upstream: str, late: float, seconds: float, pipe: Connection) -> None:
    with fault_proxy(upstream) as proxy:
        while True:
            pipe.send(proxy.url)
            if pipe.recv() is None:
                return
            chosen = random.Random(0)

            def plan(method: str, target: str, headers: Mapping[str, str]) -> Late | None:
                return Late(seconds) if chosen.random() < late else None  # noqa: B023

            proxy.plan = plan


@contextmanager
def slow(endpoint: S3Endpoint, late: float, seconds: float) -> Iterator[tuple[S3Endpoint, Any]]:
    """The server behind the proxy, and a function that starts the choice of responses again."""
    ours, theirs = multiprocessing.Pipe()
    arguments = (endpoint.url, late, seconds, theirs)
    process = multiprocessing.get_context("spawn").Process(target=_run_proxy, args=arguments)
    process.start()

    def restart() -> None:
        ours.send("again")
        ours.recv()

    try:
        yield replace(endpoint, url=ours.recv()), restart
    finally:
        ours.send(None)
        process.join()


def read(url: str, options: dict[str, Any], chunks: int, hedge: bool) -> str:
    """Read the array once, and describe how long it took."""
    with TimedStore.from_url(url, options, read_only=True, hedge=hedge) as store:
        array = zarr.open_array(store, mode="r")
        began = time.perf_counter()
        assert array[:].sum() == chunks * CHUNK
        took = time.perf_counter() - began
        p50, p99, longest = np.percentile(store.seconds, [50, 99, 100]) * 1000
        stats = store.stats
    return (
        f"hedge={hedge!s:5}  {took:6.2f} s   p50 {p50:5.0f} ms  p99 {p99:5.0f} ms"
        f"  max {longest:5.0f} ms"
        f"   {stats.requests} requests, {stats.hedges} hedges, {stats.hedges_won} won"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Reading with slow responses.")
    parser.add_argument("--chunks", type=int, default=2000)
    parser.add_argument("--late", type=float, default=0.01, help="share of the responses")
    parser.add_argument("--seconds", type=float, default=3.0, help="how late they are")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with seaweedfs_server() as endpoint:
        url = f"s3://{endpoint.make_bucket()}/array"
        with ZarrStore.from_url(url, endpoint.storage_options()) as store:
            array = zarr.create_array(
                store,
                shape=(given.chunks * CHUNK,),
                chunks=(CHUNK,),
                dtype="uint8",
                compressors=None,
            )
            array[:] = 1
        with slow(endpoint, given.late, given.seconds) as (place, restart):
            for _ in range(given.rounds):
                for hedge in (False, True):
                    restart()
                    print(read(url, place.storage_options(), given.chunks, hedge), flush=True)


if __name__ == "__main__":
    main()
