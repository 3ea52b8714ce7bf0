"""Servers that are set up as the pages speak of them: with TLS, names, regions and users.

Knows pytest, and no page.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from backends.own_minio import make_certificates, own_minio
from servers.fixtures import or_skip
from servers.ftp import FTPEndpoint, ftp_server
from servers.sftp import SFTPEndpoint, sftp_server

from pages.places.s3 import KMS_KEY, REGION, Service


@pytest.fixture(scope="session")
def secure_minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A MinIO with TLS by an authority of its own, a region, and a key that encrypts."""
    certificates = tmp_path_factory.mktemp("certificates")
    make_certificates(certificates, "public")
    settings = {"MINIO_SITE_REGION": REGION, "MINIO_KMS_SECRET_KEY": KMS_KEY}
    with or_skip(own_minio(settings, certificates)) as endpoint:
        yield Service(endpoint, REGION, certificates / "authority.crt")


@pytest.fixture(scope="session")
def ftp_endpoint() -> Iterator[FTPEndpoint]:
    with or_skip(ftp_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def sftp_endpoint() -> Iterator[SFTPEndpoint]:
    with or_skip(sftp_server()) as endpoint:
        yield endpoint
