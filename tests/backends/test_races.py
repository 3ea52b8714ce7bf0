"""Many writers of one key, each with connections of its own: exactly one creates it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from conformance.support import read

from fsspec_store import FsspecStore

WRITERS = 64
#: Protocol, fixture, how a bucket is made, and rounds at once: SeaweedFS makes losers wait.
SERVICES = {
    "moto": ("s3", "moto_endpoint", "make_bucket", 1),
    "minio": ("s3", "minio_endpoint", "make_bucket", 1),
    "seaweedfs": ("s3", "seaweedfs_endpoint", "make_bucket", 20),
    "fake-gcs": ("gs", "fake_gcs_endpoint", "make_bucket", 1),
    "azurite": ("abfs", "azurite_endpoint", "make_container", 1),
}


@pytest.mark.parametrize("service", SERVICES)
async def test_one_of_many_writers_creates_a_key(
    request: pytest.FixtureRequest, service: str, race_rounds: int
) -> None:
    protocol, fixture, make, at_once = SERVICES[service]
    endpoint: Any = request.getfixturevalue(fixture)
    url = f"{protocol}://{getattr(endpoint, make)()}/races"
    # Losers of a race wait for each other on some services, longer than anybody else has to.
    stores = [
        FsspecStore.from_url(url, endpoint.storage_options(), timeout=60) for _ in range(WRITERS)
    ]

    async def race(number: int) -> None:
        key = f"lock/{number}"
        created = []

        async def contend(writer: int) -> None:
            store, value = stores[writer], b"%d" % writer * 100
            if await store._backend.create(f"{store.path}/{key}", memoryview(value)):
                created.append(value)

        await asyncio.gather(*(contend(writer) for writer in range(WRITERS)))
        assert created == [await read(stores[0], key)]

    for start in range(0, race_rounds, at_once):
        await asyncio.gather(*map(race, range(start, min(start + at_once, race_rounds))))
    for store in stores:
        await store.aclose()


def test_one_of_many_processes_creates_a_file(tmp_path: Path, race_rounds: int) -> None:
    processes = 16
    program = """
import asyncio, sys
from fsspec_store import Buffer, FsspecStore

async def main():
    store = FsspecStore.from_url(sys.argv[1])
    value = sys.argv[2].encode() * 100
    # Nobody starts before everybody is here.
    print("here", flush=True)
    sys.stdin.readline()
    for number in range(int(sys.argv[3])):
        await asyncio.gather(
            *(store.set_if_not_exists(f"lock/{number}", Buffer.from_bytes(value)) for _ in range(4))
        )
        found = (await store.get(f"lock/{number}")).to_bytes()
        assert len(found) == 200, found
        print(found[:2].decode())
asyncio.run(main())
"""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), f"{number:02}", str(race_rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
    seen = [process.communicate("go\n", timeout=120)[0].split() for process in running]
    assert [process.returncode for process in running] == [0] * processes
    # Whoever comes back from a creation finds the same winner, and everybody finds one.
    assert all(winners == seen[0] for winners in seen)
    assert len(seen[0]) == race_rounds
    assert set(seen[0]) <= {f"{number:02}" for number in range(processes)}


def test_one_of_many_threads_creates_a_value_in_memory(race_rounds: int) -> None:
    store = FsspecStore.from_url(f"memory://races-{uuid.uuid4()}")
    together = threading.Barrier(16, timeout=30)
    created: list[int] = []

    async def contend(writer: int) -> None:
        for number in range(race_rounds):
            await asyncio.to_thread(together.wait)
            path = f"{store.path}/{number}"
            if await store._backend.create(path, memoryview(b"%d" % writer)):
                created.append(number)

    threads = [
        threading.Thread(target=lambda writer=writer: asyncio.run(contend(writer)))
        for writer in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert created == list(range(race_rounds))
