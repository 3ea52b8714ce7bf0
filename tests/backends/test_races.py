"""Sixty-four writers of one key, of four processes: exactly one creates it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fsspec_store import FsspecStore

PROCESSES = 4
#: Protocol, fixture, how a bucket is made, and rounds at once: SeaweedFS makes losers wait.
SERVICES = {
    "moto": ("s3", "moto_endpoint", "make_bucket", 1),
    "minio": ("s3", "minio_endpoint", "make_bucket", 1),
    "seaweedfs": ("s3", "seaweedfs_endpoint", "make_bucket", 20),
    "fake-gcs": ("gs", "fake_gcs_endpoint", "make_bucket", 1),
    "azurite": ("abfs", "azurite_endpoint", "make_container", 1),
}
SLOW = SERVICES.keys() - {"minio"}


@pytest.mark.parametrize(
    "service", [pytest.param(each, marks=[pytest.mark.slow] * (each in SLOW)) for each in SERVICES]
)
def test_one_of_many_writers_creates_a_key(
    request: pytest.FixtureRequest, service: str, race_rounds: int
) -> None:
    protocol, fixture, make, at_once = SERVICES[service]
    endpoint: Any = request.getfixturevalue(fixture)
    url = f"{protocol}://{getattr(endpoint, make)()}/races"
    race(url, endpoint.storage_options(), race_rounds, at_once)


def test_one_of_many_writers_creates_a_file(tmp_path: Path, race_rounds: int) -> None:
    race(str(tmp_path), {}, race_rounds * 20, at_once=5)


def race(url: str, options: dict[str, Any], rounds: int, at_once: int) -> None:
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    # -P: the folder of the program has a package `azure`.
                    [sys.executable, "-P", str(Path(__file__).with_name("race.py"))],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    bufsize=1,
                )
            )
            for _ in range(PROCESSES)
        ]
        for process in running:
            stack.callback(process.kill)
        for number, process in enumerate(running):
            say(process, json.dumps([url, options, number, rounds, at_once]))
        winners = []
        for _ in range(0, rounds, at_once):
            # Nobody starts before everybody is here.
            assert [answer(process) for process in running] == ["ready\n"] * PROCESSES
            for process in running:
                say(process, "go")
            for process in running:
                winners += json.loads(answer(process))
        assert [process.wait(60) for process in running] == [0] * PROCESSES
        assert sorted(winners) == list(range(rounds))


def say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


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
