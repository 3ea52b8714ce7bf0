"""The memory of values in flight has a bound. Reads that wait for it do not block each other."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from conformance.support import content, read
from servers import S3Endpoint
from servers.fault_proxy import Fault, FaultProxy, fault_proxy, no_faults

from fsspec_store import RangeByteRequest, StoreError
from fsspec_store._http.body_memory import body_memory
from fsspec_store._http.limiter import _limiters as limiters

from .places import SERVICES, Place, s3

MIB = 2**20
#: Values that are read in one response, and one that is read in parts.
SIZES = {"a": 8 * MIB, "b": 9 * MIB + 1, "c": 300_000, "large": 34 * MIB}
DATA = {key: content(size) for key, size in SIZES.items()}
BOUND = 24 * MIB
#: Idle buffers and what a few requests need.
MORE = (32 + 16) * MIB


#: The other services of these transports run in the slow tests: all share the retrier's slots.
FAST = ("s3", "s3 by s3fs", "web")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[] if name in FAST else pytest.mark.slow)
        for name in (*SERVICES, "s3 by s3fs")
    ],
)
def place(request: pytest.FixtureRequest) -> Place:
    by_s3fs = {"s3 by s3fs": ("minio_endpoint", partial(s3, transport="library"))}
    fixture, make = {**SERVICES, **by_s3fs}[request.param]
    made = make(request.getfixturevalue(fixture))
    for key, data in DATA.items():
        made.put(key, data)
    return made


@pytest.fixture
def proxy(place: Place) -> Iterator[FaultProxy]:
    with fault_proxy(place.server) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_reserved() -> Iterator[None]:
    yield
    assert body_memory.reserved == 0


async def compare(store: Any, key: str) -> None:
    """Read a value, and drop it."""
    assert await read(store, key) == DATA[key]


async def test_values_in_flight_have_a_bound(place: Place) -> None:
    async with place.open(place.server, read_memory_bytes=BOUND) as store:

        async def size(key: str) -> int:
            value = await store.get(key)
            assert value is not None
            return len(value)

        await size("c")
        keys = ["a", "b"] * 12
        tracemalloc.start()
        try:
            sizes = await asyncio.gather(*map(size, keys))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert sizes == [SIZES[key] for key in keys]
        assert peak < BOUND + MORE
        assert store.stats.retries == 0


@pytest.mark.parametrize("bound", [1, BOUND])
async def test_values_above_the_bound_are_read_one_by_one(place: Place, bound: int) -> None:
    async with place.open(place.server, read_memory_bytes=bound) as store:
        keys = ["large", "a", "c", "large", "b"]
        await asyncio.gather(*(compare(store, key) for key in keys))
        part = RangeByteRequest(5, SIZES["large"] - 5)
        parts = await asyncio.gather(*(read(store, "large", part) for _ in range(3)))
        assert {data == DATA["large"][5:-5] for data in parts} == {True}


async def test_one_request_at_a_time_is_enough(place: Place, proxy: FaultProxy) -> None:
    async with place.open(proxy.url, read_memory_bytes=BOUND) as store:
        await store.exists("a")
        host = "/".join(proxy.url.split("/")[:3])
        for name, limiter in limiters.items():
            if name.endswith(host):
                limiter.limit, limiter.most = 1.0, 1
        async with asyncio.timeout(60):
            await asyncio.gather(*(compare(store, key) for key in [*SIZES] * 3))


async def test_a_read_that_fails_releases_its_memory(place: Place, proxy: FaultProxy) -> None:
    async with place.open(proxy.url, read_memory_bytes=BOUND, retries=1, timeout=5) as store:
        await store.exists("a")
        faults = itertools.cycle([Fault.TRUNCATED, None, Fault.RESET, Fault.UNAVAILABLE])
        proxy.plan = lambda *_: next(faults)
        results = await asyncio.gather(
            *(compare(store, key) for key in [*SIZES] * 3), return_exceptions=True
        )
        assert all(each is None or isinstance(each, StoreError) for each in results)
        assert body_memory.reserved == 0
        proxy.plan = no_faults
        await asyncio.gather(*(compare(store, key) for key in SIZES))


async def test_a_cancelled_read_releases_its_memory(place: Place) -> None:
    async with place.open(place.server, read_memory_bytes=BOUND) as store:
        reads = [asyncio.create_task(compare(store, key)) for key in [*SIZES] * 4]
        await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
        for task in reads[::2]:
            task.cancel()
        await asyncio.gather(*reads[1::2])
        await asyncio.gather(*reads, return_exceptions=True)
        assert body_memory.reserved == 0


def test_event_loops_share_the_memory(place: Place) -> None:
    done = []

    async def read_all() -> None:
        async with place.open(place.server, read_memory_bytes=BOUND) as store:
            await asyncio.gather(*(compare(store, key) for key in [*SIZES] * 2))
        done.append(True)

    threads = [threading.Thread(target=lambda: asyncio.run(read_all())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert done == [True] * 3


_PROGRAM = """
import asyncio, json, sys
from fsspec_store import FsspecStore

def kilobytes(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))

async def main(url, options, count, keep):
    async with FsspecStore.from_url(url, options, read_memory_bytes=256 * 2**20) as store:
        await store.get("small")
        before = kilobytes("VmRSS")
        async def size(_):
            value = await store.get("value")
            if keep:
                kept.append(value)
            return len(value)
        kept = []
        sizes = await asyncio.gather(*map(size, range(count)))
        print(json.dumps([sum(sizes), (kilobytes("VmHWM") - before) * 1024]))

asyncio.run(main(*json.loads(sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system has no /proc")
@pytest.mark.parametrize("keep", [False, True])
def test_64_reads_of_100_mib(minio_endpoint: S3Endpoint, keep: bool) -> None:
    bucket, size, count = minio_endpoint.make_bucket(), 100 * MIB, 64
    with closing(minio_endpoint.client()) as client:
        client.put_object(Bucket=bucket, Key="value", Body=bytes(size))
        client.put_object(Bucket=bucket, Key="small", Body=bytes(300_000))
    given = json.dumps([f"s3://{bucket}", minio_endpoint.storage_options(), count, keep])
    program = [sys.executable, "-c", _PROGRAM, given]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert done.stderr == ""
    read_bytes, grown = json.loads(done.stdout)
    assert read_bytes == count * size
    results = count * size if keep else 0
    assert grown < results + 256 * MIB + MORE
