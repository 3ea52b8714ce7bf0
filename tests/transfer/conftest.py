"""What the tests of transfers share: a cluster of Dask's, and the server behind the proxy."""

from __future__ import annotations

import pytest
from servers import S3Endpoint
from servers.dask_cluster import cluster
from servers.roots import new_root

__all__ = ["cluster"]


@pytest.fixture(scope="module")
def endpoint(minio_endpoint: S3Endpoint) -> S3Endpoint:
    return minio_endpoint


@pytest.fixture
def url(endpoint: S3Endpoint) -> str:
    return f"s3://{new_root(endpoint)}"
