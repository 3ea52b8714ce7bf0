"""Servers that are set up as the pages speak of them: with TLS, names, regions and users.

Knows pytest, and no page.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from backends.s3.own_minio import make_certificates, own_minio
from servers import GCSEndpoint
from servers.azure_identity import machine_identity
from servers.azurite import AzureEndpoint, azurite_server
from servers.certificates import Authority
from servers.fault_proxy import FaultProxy, fault_proxy
from servers.fixtures import or_skip
from servers.ftp import FTPEndpoint, ftp_server
from servers.google_accounts import GoogleAccounts, google_accounts
from servers.sftp import SFTPEndpoint, sftp_server

from pages.places.s3 import KMS_KEY, REGION, Service


@pytest.fixture(scope="session")
def secure_minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A MinIO with TLS by an authority of its own, a region, and a key that encrypts."""
    [certificate] = make_certificates(tmp_path_factory.mktemp("certificates"), "public")
    settings = {"MINIO_SITE_REGION": REGION, "MINIO_KMS_SECRET_KEY": KMS_KEY}
    with or_skip(own_minio(settings, certificate)) as endpoint:
        yield Service(endpoint, REGION, certificate.ca)


@pytest.fixture(scope="session")
def ftp_endpoint() -> Iterator[FTPEndpoint]:
    with or_skip(ftp_server()) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def sftp_endpoint() -> Iterator[SFTPEndpoint]:
    with or_skip(sftp_server()) as endpoint:
        yield endpoint


@pytest.fixture
def google_gate(fake_gcs_endpoint: GCSEndpoint) -> Iterator[tuple[GoogleAccounts, FaultProxy]]:
    """Accounts, and a proxy that lets nobody else to Google's service."""
    buckets = {"public": frozenset({"weather-open"}), "paid": frozenset({"weather-paid"})}
    with google_accounts(**buckets) as accounts, fault_proxy(fake_gcs_endpoint.url) as gate:
        gate.plan = accounts.gate
        yield accounts, gate


@pytest.fixture(scope="session")
def secure_azurite(authority: Authority) -> Iterator[AzureEndpoint]:
    """An Azurite with TLS, which takes tokens for that reason."""
    with or_skip(azurite_server(authority.certificate())) as endpoint:
        yield endpoint


@pytest.fixture
def azure_identity() -> Iterator[dict[str, str]]:
    with machine_identity() as environment:
        yield environment
