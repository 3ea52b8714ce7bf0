"""List a prefix of very many keys: the time of the first key, and how much memory it takes.

    python benchmarks/long_listing.py [--keys 200000] [--rounds 3] [--latency 50]

Starts a SeaweedFS server, writes the keys, and lists them in fresh processes, this store and s3fs's
``_find`` taking turns. Prints, for each, the share of the whole time until the
first key, the growth of the process's memory, and the ratio of their times.

Then lists them with latency added to each response: page after page, with the next page requested
while a program uses this one, and with common prefixes at the same time. Prints how many times
as long page after page takes.
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

from s3fs import S3FileSystem

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import S3Endpoint, seaweedfs_server
from servers.fault_proxy import fault_proxy

from fsspec_store import Buffer, FsspecStore

_PAGE_KIB = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=50, help="in milliseconds")
    parser.add_argument("--list", choices=LISTERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.list:
        # A child. Options are in standard input, so that no command line has a secret.
        print(json.dumps(asyncio.run(measured(LISTERS[arguments.list], **json.load(sys.stdin)))))
        return
    with seaweedfs_server() as server:
        place = {"root": f"{server.make_bucket()}/data", "options": server.storage_options()}
        asyncio.run(fill(arguments.keys, **place))
        rounds = [
            {name: in_child(name, place) for name in LISTERS} for _ in range(arguments.rounds)
        ]
        far = asyncio.run(from_far_away(server, place, arguments.latency / 1000, arguments.rounds))
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
    for name, (peer, _) in FROM_FAR_AWAY.items():
        ratios = [long / short for long, short in zip(far[peer], far[name], strict=True)]
        print(f"{name:36} {statistics.median(far[name]):6.2f} s", end="")
        if name != peer:
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f", {peer} takes {ratio} times as long", end="")
        print()


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
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


async def measured(lister: Any, root: str, options: dict[str, Any]) -> dict[str, float]:
    # Sessions, connections and libraries are there before it is measured.
    store = FsspecStore.from_url(f"s3://{root}", options)
    await store.exists("missing")
    fs = S3FileSystem(**options, asynchronous=True, skip_instance_cache=True)
    session = await fs.set_session()
    await fs._exists(f"{root}/missing")
    keys, first, before, most = 0, 0.0, memory(), 0.0
    began = time.perf_counter()
    async for _ in lister(store, fs):
        keys += 1
        if keys == 1:
            first = time.perf_counter() - began
        if keys % 1000 == 0:
            most = max(most, memory())
    total = time.perf_counter() - began
    await session.close()
    await store.aclose()
    return {"keys": keys, "first": first, "total": total, "grown": (most - before) / 1e6}


async def with_store(store: FsspecStore, fs: S3FileSystem) -> Any:
    async for key in store.list():
        yield key


async def with_s3fs(store: FsspecStore, fs: S3FileSystem) -> Any:
    for path in await fs._find(store.path):
        yield path


async def from_far_away(
    server: S3Endpoint, place: dict[str, Any], latency: float, rounds: int
) -> dict[str, list[float]]:
    """Seconds that each kind of listing takes, by its name."""
    times: dict[str, list[float]] = {}
    with fault_proxy(server.url) as proxy:
        options = server.storage_options() | {"endpoint_url": proxy.url}
        async with FsspecStore.from_url(f"s3://{place['root']}", options) as store:
            await store.exists("missing")
            proxy.latency = latency
            for _ in range(rounds):
                for name, (_, listing) in FROM_FAR_AWAY.items():
                    began = time.perf_counter()
                    await listing(store, latency)
                    times.setdefault(name, []).append(time.perf_counter() - began)
            proxy.latency = 0
    return times


async def pages(store: FsspecStore, use: float) -> None:
    """One page after the other, each used for so many seconds."""
    async for _ in store._backend.pages(f"{store.path}/", "", recursive=True):
        await asyncio.sleep(use)


async def keys(store: FsspecStore, use: float, fan_out: int = 1) -> None:
    """As the store lists, and so many seconds used for each page's keys."""
    number = 0
    async for _ in store.list_prefix("", fan_out=fan_out):
        number += 1
        if number % 1000 == 0:
            await asyncio.sleep(use)


#: The listing that each is compared with, and its function. "Used": for as long as a page takes.
FROM_FAR_AWAY: dict[str, tuple[str, Any]] = {
    "used, page by page": ("used, page by page", pages),
    "used, the next page requested ahead": ("used, page by page", keys),
    "page by page": ("page by page", lambda store, _: pages(store, 0)),
    "the next page requested ahead": ("page by page", lambda store, _: keys(store, 0)),
    "fan_out=8": ("page by page", lambda store, _: keys(store, 0, 8)),
    "getsize_prefix, fan_out=8": (
        "page by page",
        lambda store, _: store.getsize_prefix("", fan_out=8),
    ),
}


LISTERS = {"fsspec_store": with_store, "s3fs": with_s3fs}


def memory() -> float:
    """Bytes of memory this process holds (proc(5), ``statm``)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_KIB * 1024


if __name__ == "__main__":
    main()
