"""Places for the data: one bucket of SeaweedFS for each process, a prefix for each test.

And a cluster of Dask's.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator

import pytest
import zarr
from servers import S3Endpoint
from servers.dask_cluster import cluster

from .places import Place

__all__ = ["cluster"]


@pytest.fixture(scope="module", autouse=True)
def zarrs_own_configuration() -> Iterator[None]:
    """Undoes what a library changes of zarr's configuration; cubed does so when it is imported."""
    before = copy.deepcopy(zarr.config.config)
    yield
    zarr.config.config.clear()
    zarr.config.config.update(before)


@pytest.fixture(scope="session")
def bucket(seaweedfs_endpoint: S3Endpoint) -> str:
    return seaweedfs_endpoint.make_bucket()


@pytest.fixture
def place(seaweedfs_endpoint: S3Endpoint, bucket: str) -> Iterator[Place]:
    found = Place(f"s3://{bucket}/{uuid.uuid4()}", seaweedfs_endpoint.storage_options())
    yield found
    found.close()


@pytest.fixture
def overwritten(minio_endpoint: S3Endpoint) -> Iterator[Place]:
    """Where something is written anew; SeaweedFS would go on listing what was there before."""
    found = Place(f"s3://{minio_endpoint.make_bucket()}/root", minio_endpoint.storage_options())
    yield found
    found.close()
