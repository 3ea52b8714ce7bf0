"""Places for the data: one bucket of SeaweedFS for each process, a prefix for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from servers import S3Endpoint

from .places import Place


@pytest.fixture(scope="session")
def bucket(seaweedfs_endpoint: S3Endpoint) -> str:
    return seaweedfs_endpoint.make_bucket()


@pytest.fixture
def place(seaweedfs_endpoint: S3Endpoint, bucket: str) -> Iterator[Place]:
    found = Place(f"s3://{bucket}/{uuid.uuid4()}", seaweedfs_endpoint.storage_options())
    yield found
    found.close()
