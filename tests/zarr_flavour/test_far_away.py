"""A hint for readers of a service that is far away: more requests at once."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
import zarr
from servers import S3Endpoint
from servers.fault_proxy import fault_proxy

from fsspec_store.zarr import open_store

PROGRAM = """
import json, logging, sys, zarr
from fsspec_store.zarr import open_store

logging.basicConfig(level=logging.INFO, format="%(message)s")
url, options, concurrency = json.loads(sys.argv[1])
zarr.config.set({"async.concurrency": concurrency})
for _ in range(2):
    with open_store(url, options, read_only=True) as store:
        assert zarr.open_array(store, mode="r")[:].sum() == 400
        print(store.stats.most_in_flight, store.stats.mean_response_seconds > 0.03)
"""


@pytest.fixture(scope="module")
def far_away(minio_endpoint: S3Endpoint) -> Iterator[tuple[str, dict[str, object]]]:
    url = f"s3://{minio_endpoint.make_bucket()}/array"
    with open_store(url, minio_endpoint.storage_options()) as store:
        array = zarr.create_array(store, shape=(400,), chunks=(1,), dtype="uint8", fill_value=0)
        array[:] = 1
    with fault_proxy(minio_endpoint.url) as proxy:
        proxy.latency = 0.03
        options = dataclasses.replace(minio_endpoint, url=proxy.url).storage_options()
        yield url, options


@pytest.mark.parametrize(
    ("concurrency", "hints"), [(10, 1), pytest.param(12, 0, marks=pytest.mark.slow)]
)
def test_one_hint_for_a_process(
    far_away: tuple[str, dict[str, object]], concurrency: int, hints: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([*far_away, concurrency])],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{concurrency} True"] * 2
    assert done.stderr.count("zarr.config.set({'async.concurrency': 128})") == hints
