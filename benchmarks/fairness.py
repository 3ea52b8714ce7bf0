"""How long listings, deletes and large reads delay other tasks of the same event loop.

    python benchmarks/fairness.py [--keys 200000] [--rounds 3] [--only memory]

A task that sleeps for 1 ms measures how much later it runs, while an operation runs beside it: on
S3 (the benchmarks' cheap server, in another process), local files and memory. Prints percentiles of
the delays of all rounds, in milliseconds, and of their part in which this process used the CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import S3Endpoint
from servers.certificates import make_certificate
from servers.ports import listener
from servers.process import Launch, running

from fsspec_store import Buffer, FsspecStore
from fsspec_store.zarr import open_store

_ROOT = Path(__file__).parents[1]
_TICK_SECONDS = 0.001
_LARGE = 32 * 2**20
_READS = 64

Operation: TypeAlias = Callable[[FsspecStore], Awaitable[object]]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=PLACES)
    arguments = parser.parse_args()
    heads = [f"{head:>7}" for head in ("p50", "p99", "p99.9", "most")]
    print(f"{'':36}  ticks", *heads, *heads, "(of its CPU time)")
    show("idle", await delays(asyncio.sleep(1)))
    for place, options in PLACES.items():
        if arguments.only in (None, place):
            await measure(place, options, arguments.keys, arguments.rounds)


async def measure(place: str, options: Any, keys: int, rounds: int) -> None:
    with options() as (url, storage_options):
        for store in (
            FsspecStore.from_url(f"{url}/data", storage_options),
            open_store(f"{url}/data", storage_options),
        ):
            is_zarr = store.__class__ is not FsspecStore
            async with store:
                if not is_zarr:
                    await fill(store, keys)
                await list_all(store)
                for name, operation in (ZARR_LISTINGS if is_zarr else LISTINGS).items():
                    found = [each for _ in range(rounds) for each in await delays(operation(store))]
                    show(f"{place} {name}", found)
        async with FsspecStore.from_url(f"{url}/data", storage_options) as store:
            show(f"{place} delete_dir", await delays(store.delete_dir("c")))
            if url.startswith("s3:"):
                value = Buffer.from_bytes(bytes(_LARGE))
                await store.set("large", value)
                found = [each for _ in range(rounds) for each in await delays(read_many(store))]
                show(f"{place} {_READS} reads of 32 MiB", found)


async def fill(store: FsspecStore, keys: int) -> None:
    value = Buffer.from_bytes(b"x")
    await store._set_many((f"c/{number:06}", value) for number in range(keys))


async def delays(work: Awaitable[object]) -> list[tuple[float, float]]:
    """The delays of a task that sleeps and runs again, in seconds, until the work is done.

    With each delay, the part of it that is CPU time of this process. The rest may be due to other
    programs.
    """
    loop, found = asyncio.get_running_loop(), []

    async def tick() -> None:
        while True:
            due, used = loop.time() + _TICK_SECONDS, time.process_time()
            await asyncio.sleep(_TICK_SECONDS)
            delay = loop.time() - due
            found.append((delay, min(delay, time.process_time() - used)))

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(10 * _TICK_SECONDS)
    found.clear()
    await work
    # A delay that began with the end of the work.
    await asyncio.sleep(2 * _TICK_SECONDS)
    ticking.cancel()
    return found


def show(name: str, found: list[tuple[float, float]]) -> None:
    print(f"{name:36} {len(found):6}", end="")
    for figures in zip(*found, strict=True):
        ordered = sorted(figures)
        for part in (0.5, 0.99, 0.999, 1):
            print(f" {1000 * ordered[int(part * (len(ordered) - 1))]:7.2f}", end="")
    print()


async def list_all(store: FsspecStore) -> list[str]:
    return [key async for key in store.list()]


async def list_prefix(store: FsspecStore) -> list[str]:
    return [key async for key in store.list_prefix("c/")]


async def list_dir(store: FsspecStore) -> list[str]:
    return [name async for name in store.list_dir("c")]


async def getsize_prefix(store: FsspecStore) -> int:
    return await store.getsize_prefix("c")


async def read_many(store: FsspecStore) -> None:
    async def read() -> None:
        await store.get("large")

    await asyncio.gather(*(read() for _ in range(_READS)))


LISTINGS: dict[str, Operation] = {
    "list": list_all,
    "list_prefix": list_prefix,
    "list_dir": list_dir,
    "getsize_prefix": getsize_prefix,
}
ZARR_LISTINGS: dict[str, Operation] = {"list (zarr)": list_all}


@contextmanager
def s3(*, tls: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    @contextmanager
    def prepare(folder: Path) -> Iterator[Launch[S3Endpoint]]:
        with listener() as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "benchmarks.cheap_server", "--port", str(port)]
        ca = None
        if tls:
            certificate = make_certificate(folder)
            ca = certificate.ca
            command += ["--certificate", str(certificate.file)]
        endpoint = S3Endpoint.about_to_start("cheap", port, ca)
        with endpoint.readiness() as why_not_ready:
            yield Launch(command, {"PYTHONPATH": str(_ROOT)}, endpoint, why_not_ready)

    with running("cheap", prepare) as endpoint:
        yield f"s3://{endpoint.make_bucket()}", endpoint.storage_options()


@contextmanager
def local() -> Iterator[tuple[str, dict[str, Any]]]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"file://{folder}", {}


@contextmanager
def memory() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "memory://fairness", {}


PLACES = {
    "S3 over TLS": partial(s3, tls=True),
    "S3": partial(s3, tls=False),
    "local": local,
    "memory": memory,
}

if __name__ == "__main__":
    asyncio.run(main())
