"""The servers as pytest fixtures: each starts with the first test that asks, and lasts to the end.

Knows pytest, and when a missing server may be passed over.
Does not know how any server is started.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar
from urllib.request import urlopen

import pytest

from servers.azurite import AzureEndpoint, azurite_server
from servers.certificates import Authority
from servers.errors import ServerUnavailable
from servers.fake_gcs import GCSEndpoint, fake_gcs_server
from servers.minio import minio_server
from servers.moto import moto_server
from servers.nginx import HTTPEndpoint, nginx_server
from servers.rclone import rclone_server
from servers.roots import forget_bucket
from servers.s3_endpoint import S3Endpoint
from servers.seaweedfs import seaweedfs_server
from servers.webdav import WebDAVEndpoint, apache_server, rclone_webdav_server, wsgidav_server

Endpoint = TypeVar("Endpoint")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """It signs the certificates of all servers with TLS."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def running_moto() -> Iterator[S3Endpoint]:
    with or_skip(moto_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def moto_endpoint(running_moto: S3Endpoint) -> Iterator[S3Endpoint]:
    """Without buckets again at the end of a module: moto keeps all values ever written."""
    yield running_moto
    with urlopen(f"{running_moto.url}/moto-api/reset", data=b""):
        forget_bucket(running_moto)


@pytest.fixture(scope="session")
def seaweedfs_endpoint() -> Iterator[S3Endpoint]:
    with or_skip(seaweedfs_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def seaweedfs_tls_endpoint(authority: Authority) -> Iterator[S3Endpoint]:
    with or_skip(seaweedfs_server(authority.certificate())) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def minio_endpoint() -> Iterator[S3Endpoint]:
    with or_skip(minio_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def minio_tls_endpoint(authority: Authority) -> Iterator[S3Endpoint]:
    with or_skip(minio_server(tls=authority.certificate())) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def rclone_endpoint() -> Iterator[S3Endpoint]:
    with or_skip(rclone_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def azurite_endpoint() -> Iterator[AzureEndpoint]:
    with or_skip(azurite_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def fake_gcs_endpoint() -> Iterator[GCSEndpoint]:
    with or_skip(fake_gcs_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def nginx_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTPEndpoint]:
    with or_skip(nginx_server(folder=tmp_path_factory.mktemp("served"))) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def apache_endpoint() -> Iterator[WebDAVEndpoint]:
    with or_skip(apache_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def rclone_webdav_endpoint() -> Iterator[WebDAVEndpoint]:
    with or_skip(rclone_webdav_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def wsgidav_endpoint() -> Iterator[WebDAVEndpoint]:
    with or_skip(wsgidav_server()) as endpoint:
        yield endpoint


@contextmanager
def or_skip(server: AbstractContextManager[Endpoint]) -> Iterator[Endpoint]:
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
