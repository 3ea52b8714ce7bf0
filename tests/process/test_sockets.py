"""The number of sockets of a process: few for many stores, and within the limit of the system."""

from __future__ import annotations

import json
import subprocess
import sys

from servers import S3Endpoint


def test_many_stores_leave_files_to_the_process(minio_endpoint: S3Endpoint) -> None:
    place = [f"s3://{minio_endpoint.make_bucket()}", minio_endpoint.storage_options()]
    program = """
import asyncio, json, os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
from fsspec_store import Buffer, FsspecStore

async def main(url, options):
    stores = [FsspecStore.from_url(f"{url}/{n}", options) for n in range(30)]
    async def use(n):
        store = stores[n % len(stores)]
        await store.set(f"k/{n}", Buffer.from_bytes(b"value"))
        return (await store.get(f"k/{n}")).to_bytes()
    values = await asyncio.gather(*(use(n) for n in range(1500)))
    print(set(values), len(os.listdir("/dev/fd")) < 60)
    for store in stores[:-1]:
        await store.aclose()
    print(await stores[-1].exists("k/29"))
    await stores[-1].aclose()

asyncio.run(main(*json.load(sys.stdin)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(place),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stderr, done.stdout) == ("", "{b'value'} True\nTrue\n")
