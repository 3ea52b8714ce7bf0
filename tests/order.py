"""A pytest plugin: the files that take longest start first.

The workers of xdist take a file each (`--dist loadfile`). A long one that starts last runs alone at
the end.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
#: The longest one first, slow tests included.
LONGEST = (
    "backends/s3/test_moto.py",
    "pages/test_pages.py",
    "benchmarks/test_harness.py",
    "cli/test_situations.py",
    "backends/s3/test_minio.py",
    "request_counts/test_s3.py",
    "faults/test_s3.py",
    "faults/test_webdav.py",
    "backends/webdav/test_webdav.py",
    "backends/generic/test_chained.py",
    "backends/test_hostile_bodies.py",
    "process/test_sync_anywhere.py",
    "faults/test_faults.py",
    "backends/test_large_values.py",
    "backends/s3/test_s3_native_integrity.py",
    "process/test_silence.py",
    "ecosystem/test_configuration.py",
    "ecosystem/test_dask.py",
    "backends/generic/test_sftp.py",
    "faults/test_azure.py",
    "faults/test_gcs.py",
    "servers/test_servers.py",
    "backends/local/test_local_files.py",
    "backends/test_by_aiohttp.py",
    "zarr_flavour/test_zarrs_own_rules.py",
    "backends/test_read_memory.py",
    "transfer/test_cluster.py",
    "backends/gcs/test_gcs.py",
    "ecosystem/test_dask_workers.py",
    "backends/s3/test_seaweedfs.py",
    "examples/test_demo.py",
    "zarr_flavour/test_far_away.py",
    "backends/test_leftovers.py",
    "http/http1/test_http1_connection.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {TESTS / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
