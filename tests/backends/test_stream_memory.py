"""A stream takes the memory of a few parts, whatever the size of the value."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

MIB = 2**20
SIZE = 200 * MIB + 1

_PROGRAM = """
import asyncio, json, sys, zlib
from fsspec_store import FsspecStore

def kilobytes(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))

async def write(store, key, size):
    piece = memoryview(bytes(range(256)) * 4096)
    async with store.open_writer(key) as writer:
        for start in range(0, size, len(piece)):
            await writer.write(piece[:size - start])
        await writer.finish()

async def read(store, key):
    size = checksum = 0
    async with store.open_reader(key) as reader:
        async for part in reader:
            size += len(part)
            checksum = zlib.crc32(part.as_numpy_array(), checksum)
    return size, checksum

async def main(url, options, size):
    async with FsspecStore.from_url(url, options) as store:
        await write(store, "small", 300_000)
        await read(store, "small")
        before = kilobytes("VmRSS")
        await write(store, "large", size)
        written = kilobytes("VmHWM")
        found = await read(store, "large")
        peaks = [written, kilobytes("VmHWM")]
        print(json.dumps([*found, *((peak - before) * 1024 for peak in peaks)]))

asyncio.run(main(*json.loads(sys.argv[1])))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system has no /proc")
@pytest.mark.parametrize(
    "service",
    ["local", *(pytest.param(each, marks=pytest.mark.slow) for each in ("minio", "seaweedfs"))],
)
def test_a_stream_takes_the_memory_of_a_few_parts(
    request: pytest.FixtureRequest, tmp_path: Path, service: str
) -> None:
    options: dict[str, Any] = {}
    url = f"file://{tmp_path}/data"
    if service != "local":
        endpoint = request.getfixturevalue(f"{service}_endpoint")
        url, options = f"s3://{endpoint.make_bucket()}/x", endpoint.storage_options()
    program = [sys.executable, "-c", _PROGRAM, json.dumps([url, options, SIZE])]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert done.stderr == ""
    size, checksum, writing, reading = json.loads(done.stdout)
    assert size == SIZE
    piece = bytes(range(256)) * 4096
    expected = 0
    for start in range(0, SIZE, len(piece)):
        expected = zlib.crc32(piece[: SIZE - start], expected)
    assert checksum == expected
    assert writing < 100 * MIB
    assert reading < 100 * MIB
