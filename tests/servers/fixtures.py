"""The servers as pytest fixtures: each starts with the first test that asks, and lasts to the end.

Knows pytest, and when a missing server may be passed over.
Does not know how any server is started.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest

from servers.errors import ServerUnavailable
from servers.minio import minio_server
from servers.moto import moto_server
from servers.s3_endpoint import S3Endpoint
from servers.seaweedfs import seaweedfs_server


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[S3Endpoint]:
    with or_skip(moto_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def seaweedfs_endpoint() -> Iterator[S3Endpoint]:
    with or_skip(seaweedfs_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def minio_endpoint() -> Iterator[S3Endpoint]:
    with or_skip(minio_server()) as endpoint:
        yield endpoint


@contextmanager
def or_skip(server: AbstractContextManager[S3Endpoint]) -> Iterator[S3Endpoint]:
    """Enters `server`; one that is not installed skips the test, but fails it on CI."""
    with ExitStack() as stack:
        try:
            endpoint = stack.enter_context(server)
        except ServerUnavailable as reason:
            # On CI a skip would be a green tick on tests that never ran.
            if os.environ.get("CI", "").lower() not in ("", "0", "false"):
                pytest.fail(str(reason), pytrace=False)
            pytest.skip(str(reason))
        yield endpoint
