"""Every tenth request fails: every answer is right or a clear error, and nothing is lost."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from seeds import PROFILE
from servers.fault_proxy import Answer, Fault, FaultProxy, every_nth, fault_proxy, no_faults

from fsspec_store import FsspecStore

from .workload import Worker

#: More where each run has other faults.
OPERATIONS = 1000 if PROFILE == "fixed" else 2000
WORKERS = 20
#: Seconds until a delayed answer counts as lost.
TIMEOUT = 1.0
QUICK = [
    *(fault for fault in Fault if fault is not Fault.DELAYED),
    Answer(503, {"Retry-After": "0"}),
    Answer(500, {}, b"<broken"),
    Answer(429),
]
#: Those that take their time strike half as often as any other.
FAULTS = [Fault.DELAYED, *QUICK, *QUICK]

#: Protocol, server, and the transport of the store.
BUCKETS = {
    "minio": ("s3", "minio_endpoint", "auto"),
    "minio, by s3fs": ("s3", "minio_endpoint", "library"),
    "seaweedfs": ("s3", "seaweedfs_endpoint", "auto"),
    "fake-gcs": ("gs", "fake_gcs_endpoint", "auto"),
    "azurite": ("abfs", "azurite_endpoint", "auto"),
}
SLOW = {"minio, by s3fs", "seaweedfs"}


@pytest.fixture
def through(request: pytest.FixtureRequest) -> Iterator[tuple[FaultProxy, FsspecStore]]:
    """A proxy before a service, and a store that reaches a new bucket through it."""
    protocol, fixture, transport = BUCKETS[request.param]
    endpoint = request.getfixturevalue(fixture)
    make = endpoint.make_container if protocol == "abfs" else endpoint.make_bucket
    with fault_proxy(endpoint.url) as proxy:
        options = dataclasses.replace(endpoint, url=proxy.url).storage_options()
        store = FsspecStore.from_url(
            f"{protocol}://{make()}/data",
            options,
            timeout=TIMEOUT,
            out_of_range="empty",
            transport=transport,
        )
        yield proxy, store
        if protocol == "s3":
            # None of these faults is a reason for a fallback; s3fs always makes some calls.
            if transport == "library":
                assert store.stats.native == 0
            else:
                assert store.stats.native > 0.9 * store.stats.requests
        store.close()


@pytest.mark.parametrize(
    "through",
    [pytest.param(each, marks=[pytest.mark.slow] * (each in SLOW)) for each in BUCKETS],
    indirect=True,
)
async def test_a_bucket_whose_every_tenth_request_fails(
    through: tuple[FaultProxy, FsspecStore], seed: int
) -> None:
    proxy, store = through
    crew = [Worker(store, f"w{number}", seed) for number in range(WORKERS)]
    await work(crew, proxy, seed)
    done = sum((worker.done for worker in crew), Counter())
    assert all(done[name] for name in crew[0].operations), done
    await store.aclose()


async def test_a_web_server_whose_every_tenth_request_fails(nginx_endpoint: Any, seed: int) -> None:
    random = Random(seed)
    values: dict[str, bytes | None] = {"missing": None, "missing/too": None}
    for number, size in enumerate([0, 10, 1000, 3000, 100_000]):
        key = f"faults {seed}/{number}"
        values[key] = random.randbytes(size)
        path = nginx_endpoint.folder / key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(values[key] or b"")
    with fault_proxy(nginx_endpoint.root) as proxy:
        url = dataclasses.replace(nginx_endpoint, root=proxy.url).url
        store = FsspecStore.from_url(url, timeout=TIMEOUT, out_of_range="empty")
        crew = [Worker(store, f"w{number}", seed, values) for number in range(WORKERS)]
        await work(crew, proxy, seed)
        await store.aclose()


@pytest.mark.parametrize(
    "server",
    [
        "apache",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("rclone_webdav", "wsgidav")),
    ],
)
async def test_a_webdav_server_whose_every_tenth_request_fails(
    request: pytest.FixtureRequest, server: str, seed: int
) -> None:
    endpoint = request.getfixturevalue(f"{server}_endpoint")
    with fault_proxy(endpoint.url) as proxy:
        options = dataclasses.replace(endpoint, url=proxy.url).storage_options()
        url = f"webdav://faults {seed}"
        store = FsspecStore.from_url(url, options, timeout=TIMEOUT, out_of_range="empty")
        crew = [Worker(store, f"w{number}", seed) for number in range(WORKERS)]
        await work(crew, proxy, seed)
        await store.aclose()


async def work(crew: list[Worker], proxy: FaultProxy, seed: int) -> None:
    """Let the crew work under faults, within bounds, and check all of it afterwards."""
    proxy.plan = every_nth(10, FAULTS, seed)
    # Bounded: whatever fails is repeated for no more than twice the timeout, plus one attempt.
    async with asyncio.timeout(280):
        await asyncio.gather(*(worker.run(OPERATIONS // WORKERS) for worker in crew))
    proxy.plan = no_faults
    await asyncio.gather(*(worker.check_nothing_is_lost() for worker in crew))
    met = [seen.fault for seen in proxy.seen]
    assert all(fault in met for fault in FAULTS)
    done = sum(sum(worker.done.values()) for worker in crew)
    # One in ten fails at first; hardly any as often as it is tried.
    assert done > 0.99 * OPERATIONS, [str(error) for worker in crew for error in worker.errors]
