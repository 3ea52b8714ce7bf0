"""Where the page of Azure runs: an Azurite with TLS, and a machine's identity."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from servers.azurite import AzureEndpoint

from .contents import write_era5
from .place import Place


def prepare(request: pytest.FixtureRequest) -> Place:
    identity: dict[str, str] = request.getfixturevalue("azure_identity")
    endpoint: AzureEndpoint = request.getfixturevalue("secure_azurite")
    with closing(endpoint.client()) as client:
        client.create_container("weather")
        client.create_container("weather-open", public_access="container")
    environment = {
        # Accounts have host names of their own, and this one is a path.
        "FSSPEC_ABFS_ACCOUNT_HOST": endpoint.url.removeprefix("https://"),
        "SSL_CERT_FILE": str(endpoint.ca),
        **identity,
    }
    for container in ("weather", "weather-open"):
        write_era5(f"abfs://{container}/era5.zarr", endpoint.storage_options())
    return Place(
        environment=environment,
        words={
            "EndpointSuffix=core.windows.net": f"BlobEndpoint={endpoint.url}",
            "weatherdata": endpoint.account,
            "ZXhhbXBsZSBrZXkgb2YgdGhlIHdlYXRoZXIgYWNjb3VudA==": endpoint.key,
            "sv=2025-01-05&sp=rl&sr=c&sig=ZXhhbXBsZQ": _signature(endpoint),
        },
    )


def _signature(endpoint: AzureEndpoint) -> str:
    return str(
        generate_container_sas(
            endpoint.account,
            "weather",
            endpoint.key,
            permission=ContainerSasPermissions(read=True, list=True),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
    )
