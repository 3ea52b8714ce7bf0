"""A sync that is killed at any moment leaves no wrong value, and the next one finishes it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from servers import S3Endpoint
from servers.roots import new_root

from fsspec_store import FsspecStore
from fsspec_store.transfer import sync

MIB = 2**20
OPTIONS = {"large_value_bytes": 8 * MIB, "part_bytes": 5 * MIB}
#: Prints a line for each key that is copied.
PROGRAM = """
import json, sys
from fsspec_store import FsspecStore
from fsspec_store.transfer import blocking

source, url, storage_options, options = json.loads(sys.argv[1])
blocking.sync(
    FsspecStore.from_url(source),
    FsspecStore.from_url(url, storage_options, **options),
    concurrency=4,
    on_progress=lambda result: print(result.copied, flush=True),
)
"""


@pytest.mark.slow
async def test_a_killed_sync_is_finished_by_the_next_one(
    minio_endpoint: S3Endpoint, tmp_path: Path
) -> None:
    seeded = random.Random(7)
    values = {f"a/c/{number}": seeded.randbytes(3000) for number in range(120)}
    values |= {f"a/c/-large-{number}": seeded.randbytes(12 * MIB) for number in range(3)}
    values |= {"zarr.json": b"group", "a/zarr.json": b"array"}
    for key, value in values.items():
        path = tmp_path / "data" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)
    url = f"s3://{new_root(minio_endpoint)}"
    place = [str(tmp_path / "data"), url, minio_endpoint.storage_options(), OPTIONS]
    target = FsspecStore.from_url(url, minio_endpoint.storage_options(), **OPTIONS)
    copied = 0
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(place)], stdout=subprocess.PIPE, text=True
        ) as running:
            assert running.stdout is not None
            for _ in range(seeded.randrange(1, 12)):
                if not running.stdout.readline():
                    break
                copied += 1
            running.kill()
        async for key in target.list():
            value = await target.get(key)
            assert value is not None
            assert value.to_bytes() == values[key], key
        # Chunks were missing, so no reader has opened the data set.
        assert await target.exists("zarr.json") is False
    result = await sync(FsspecStore.from_url(place[0]), target)
    assert result.ok
    # Nothing that was reported as copied is copied again.
    assert result.copied <= len(values) - copied
    assert (await sync(FsspecStore.from_url(place[0]), target)).equal == len(values)
    await target.remove_leftovers(older_than=0)
    assert [leftover async for leftover in target.list_leftovers()] == []
    await target.aclose()
