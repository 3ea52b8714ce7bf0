"""A sync that is killed at any moment leaves no wrong value, and the next one finishes it."""

from __future__ import annotations

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from cli.running import run
from servers import S3Endpoint
from servers.fault_proxy import FaultProxy, Seen, fault_proxy, no_faults
from servers.roots import new_root

from fsspec_store import FsspecStore
from fsspec_store.transfer import sync

MIB = 2**20
OPTIONS = {"large_value_bytes": 8 * MIB, "part_bytes": 5 * MIB}
#: Forks for each line of its input, and prints the process, and the status with which it ends.
PROGRAM = """
import json, os, sys
import s3fs
from fsspec_store import FsspecStore
from fsspec_store.transfer import blocking

source, url, storage_options, options = json.loads(sys.argv[1])
for _ in sys.stdin:
    child = os.fork()
    if not child:
        blocking.sync(
            FsspecStore.from_url(source),
            FsspecStore.from_url(url, storage_options, **options),
            concurrency=4,
        )
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Killing:
    """Kills processes after a number of requests, or of uploaded bytes, at the proxy."""

    def __init__(self, program: subprocess.Popen[str], proxy: FaultProxy) -> None:
        self._program = program
        self._proxy = proxy

    def run(
        self, *, requests: float = math.inf, uploaded: float = math.inf
    ) -> tuple[int, list[Seen]]:
        """Run a process; return its status, and the requests that were in flight at its end."""
        proxy, first = self._proxy, len(self._proxy.seen)
        is_started = threading.Event()
        pending: list[Seen] = []
        at_kill: int | None = None
        process = 0

        def kill(method: str, target: str, headers: Mapping[str, str]) -> None:
            nonlocal at_kill
            seen = proxy.seen[first:]
            done = size_of(each for each in seen if each.status is not None)
            if at_kill is None and (len(seen) >= requests or done >= uploaded):
                pending.extend(each for each in seen if each.status is None)
                at_kill = len(proxy.seen)
                is_started.wait()
                os.kill(process, signal.SIGKILL)

        proxy.plan = kill
        process = int(self._ask("run\n"))
        is_started.set()
        status = int(self._ask(""))
        proxy.plan = no_faults
        return status, pending + proxy.seen[at_kill or len(proxy.seen) :]

    def _ask(self, line: str) -> str:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(line)
        self._program.stdin.flush()
        return self._program.stdout.readline()


def size_of(seen: Iterable[Seen]) -> int:
    """Bytes of values in the requests."""
    return sum(int(each.headers["content-length"]) for each in seen if each.method == "PUT")


def part_of(request: Seen) -> tuple[str, str]:
    """The path of a request, and the number of the part in it."""
    target = urlsplit(request.target)
    return unquote(target.path), parse_qs(target.query).get("partNumber", [""])[0]


@contextmanager
def killing(endpoint: S3Endpoint, place: list[object]) -> Iterator[tuple[Killing, FaultProxy]]:
    with fault_proxy(endpoint.url) as proxy:
        options = replace(endpoint, url=proxy.url).storage_options()
        arguments = json.dumps([*place, options, OPTIONS])
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as program:
            yield Killing(program, proxy), proxy
            assert program.stdin is not None
            program.stdin.close()


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
async def test_a_killed_sync_is_finished_by_the_next_one(
    seaweedfs_endpoint: S3Endpoint, tmp_path: Path, kills: int
) -> None:
    seeded = random.Random(7)
    source_folder = tmp_path / "data"
    values = {"zarr.json": b"group", "a/zarr.json": b"array"}
    (source_folder / "a/c").mkdir(parents=True)
    for key, value in values.items():
        (source_folder / key).write_bytes(value)
    root = new_root(seaweedfs_endpoint)
    options = seaweedfs_endpoint.storage_options()
    source = FsspecStore.from_url(str(source_folder))
    target = FsspecStore.from_url(f"s3://{root}", options, **OPTIONS)
    versions: dict[str, str | None] = {}
    in_flight: list[Seen] = []
    with killing(seaweedfs_endpoint, [str(source_folder), f"s3://{root}"]) as (killed, proxy):
        for number in range(kills):
            # No process finishes: each one has further values to copy.
            added = {f"a/c/{number}-{each}": seeded.randbytes(3000) for each in range(40)}
            added[f"a/c/{number}"] = seeded.randbytes(11 * MIB)
            for key, value in added.items():
                (source_folder / key).write_bytes(value)
            values |= added
            if number % 2:
                status, lost = killed.run(uploaded=seeded.randrange(1, 6 * MIB))
            else:
                status, lost = killed.run(requests=seeded.randrange(1, 30))
            assert status == -signal.SIGKILL
            in_flight += lost
            async for entry in target.list_entries():
                if entry.key not in versions:
                    value = await target.get(entry.key)
                    assert value is not None
                    assert value.to_bytes() == values[entry.key], entry.key
                    versions[entry.key] = entry.version
            # Chunks are missing, so no reader has opened the data set.
            assert "zarr.json" not in versions
        status, _ = killed.run()
        assert status == 0
        seen = list(proxy.seen)
    # A value whose last request was in flight may be missing in the next listing.
    uncertain = {
        part_of(each)[0]
        for each in in_flight
        if each.method == "POST" and "uploadId=" in each.target
    }
    stored: set[tuple[str, str]] = set()
    for each in seen:
        if each.method == "PUT" and part_of(each)[0] not in uncertain:
            assert part_of(each) not in stored
            if each.status == 200 and not any(each is one for one in in_flight):
                stored.add(part_of(each))
    twice = size_of(in_flight) + sum(
        len(values[path.partition(f"{root}/")[2]]) for path in uncertain
    )
    assert size_of(seen) <= sum(map(len, values.values())) + twice
    entries = {entry.key: entry async for entry in target.list_entries()}
    assert entries.keys() == values.keys()
    # What was there is not copied again.
    assert {key: entries[key].version for key in versions} == versions
    assert (await sync(source, target, compare="bytes")).equal == len(values)
    given = [f"-o{name}={json.dumps(value)}" for name, value in options.items()]
    ended = run("cleanup", "--older-than", "0", *given, f"s3://{root}")
    assert ended.code == 0
    assert re.search(r"\d+ leftovers? removed", ended.err)
    assert [leftover async for leftover in target.list_leftovers()] == []
    await target.aclose()
