"""List a prefix of very many keys: when the first key comes, and how much memory it takes.

    python benchmarks/long_listing.py [--keys 200000] [--rounds 3]

Starts a SeaweedFS server, writes the keys, and lists them in fresh processes, this store and s3fs's
own ``_find`` taking turns. Prints, for each, the share of the whole time after which the first key
came, the growth of the process's memory, and the ratio of their times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import seaweedfs_server

from fsspec_store import Buffer, FsspecStore

_PAGE_KIB = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--list", choices=LISTERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.list:
        # A child: where and how come by standard input, so that no secret is on a command line.
        print(json.dumps(asyncio.run(measured(LISTERS[arguments.list], **json.load(sys.stdin)))))
        return
    with seaweedfs_server() as server:
        place = {"root": f"{server.make_bucket()}/data", "options": server.storage_options()}
        asyncio.run(fill(arguments.keys, **place))
        rounds = [
            {name: in_child(name, place) for name in LISTERS} for _ in range(arguments.rounds)
        ]
    for name in LISTERS:
        figures = [figure[name] for figure in rounds]
        assert {figure["keys"] for figure in figures} == {arguments.keys}, figures
        first = statistics.median(figure["first"] / figure["total"] for figure in figures)
        grown = max(figure["grown"] for figure in figures)
        print(f"{name:12} first key after {first:6.1%} of the time, memory grows {grown:.0f} MB")
    ratios = [figure["s3fs"]["total"] / figure["fsspec_store"]["total"] for figure in rounds]
    print(
        f"s3fs takes {statistics.median(ratios):.2f} times as long ({min(ratios):.2f} "
        f"to {max(ratios):.2f})"
    )


async def fill(keys: int, root: str, options: dict[str, Any]) -> None:
    began = time.perf_counter()
    async with FsspecStore.from_url(f"s3://{root}", options) as store:
        value = Buffer.from_bytes(b"x")
        await store._set_many((f"c/{number // 1000}/{number}", value) for number in range(keys))
    print(f"{keys} keys written in {time.perf_counter() - began:.0f} s", file=sys.stderr)


def in_child(name: str, place: dict[str, Any]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--list", name],
        input=json.dumps(place),
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


async def measured(lister: Any, root: str, options: dict[str, Any]) -> dict[str, float]:
    # Sessions, connections and libraries are there before it is measured.
    store = FsspecStore.from_url(f"s3://{root}", options)
    await store.exists("missing")
    keys, first, before, most = 0, 0.0, memory(), 0.0
    began = time.perf_counter()
    async for _ in lister(store):
        keys += 1
        if keys == 1:
            first = time.perf_counter() - began
        if keys % 1000 == 0:
            most = max(most, memory())
    total = time.perf_counter() - began
    await store.aclose()
    return {"keys": keys, "first": first, "total": total, "grown": (most - before) / 1e6}


async def with_store(store: FsspecStore) -> Any:
    async for key in store.list():
        yield key


async def with_s3fs(store: FsspecStore) -> Any:
    fs = store._backend._filesystems.get()
    for path in await fs._find(store.path):
        yield path


LISTERS = {"fsspec_store": with_store, "s3fs": with_s3fs}


def memory() -> float:
    """Bytes of memory this process holds (proc(5), ``statm``)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_KIB * 1024


if __name__ == "__main__":
    main()
