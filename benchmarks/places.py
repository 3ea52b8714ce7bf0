"""The servers that a run can start, and places of stores on them."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from servers import (
    AzureEndpoint,
    GCSEndpoint,
    S3Endpoint,
    ServerUnavailable,
    azurite_server,
    fake_gcs_server,
    minio_server,
    seaweedfs_server,
)
from servers.certificates import Authority, Certificate
from servers.fault_proxy import FaultProxy, fault_proxy
from servers.s3_endpoint import REGION

from benchmarks.cheap_server.launch import cheap_server
from benchmarks.cores import shares, starting_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

__all__ = [
    "REGION",
    "SERVERS",
    "AzureEndpoint",
    "FaultProxy",
    "GCSEndpoint",
    "Place",
    "S3Endpoint",
    "ServerUnavailable",
    "place_on",
]

Endpoint: TypeAlias = S3Endpoint | AzureEndpoint | GCSEndpoint

#: How to start each server that supports TLS, by its name on the command line.
_WITH_TLS: dict[str, Callable[[Certificate | None], AbstractContextManager[Endpoint]]] = {
    "seaweedfs": seaweedfs_server,
    "minio": lambda tls: minio_server(tls=tls),
    "cheap": lambda tls: cheap_server(len(shares()[0]), tls),
}
#: The emulators: adlfs and gcsfs have no option for a certificate.
_PLAIN: dict[str, Callable[[], AbstractContextManager[Endpoint]]] = {
    "azurite": azurite_server,
    "fake-gcs": fake_gcs_server,
}

SERVERS = (*_WITH_TLS, *_PLAIN)
"""Names of the servers."""


@dataclass(frozen=True)
class Place:
    """Where a store is: a server, a bucket on it, and a root in the bucket.

    Attributes
    ----------
    certificate
        Of the server; None without TLS.
    """

    endpoint: Endpoint
    bucket: str
    root: str = ""
    certificate: Certificate | None = None

    @classmethod
    def on(cls, endpoint: Endpoint, certificate: Certificate | None = None) -> Place:
        """A new bucket on a server."""
        if isinstance(endpoint, AzureEndpoint):
            return cls(endpoint, endpoint.make_container())
        return cls(endpoint, endpoint.make_bucket(), certificate=certificate)

    def below(self, root: str) -> Place:
        """A root in the same bucket."""
        return replace(self, root=root)

    def through(self, url: str) -> Place:
        """The same place through a proxy."""
        return replace(self, endpoint=replace(self.endpoint, url=url))

    def proxy(self) -> AbstractContextManager[FaultProxy]:
        """A proxy in front of the server, with TLS on both sides if the server has it."""
        if self.certificate is None:
            return fault_proxy(self.endpoint.url)
        contexts = self.certificate.server_context(), self.certificate.client_context()
        return fault_proxy(self.endpoint.url, *contexts)

    @property
    def ca(self) -> Path | None:
        """The certificate that a client has to trust; None without TLS."""
        return None if self.certificate is None else self.certificate.ca

    @property
    def url(self) -> str:
        """Its URL for fsspec."""
        protocol = {S3Endpoint: "s3", AzureEndpoint: "abfs", GCSEndpoint: "gs"}
        return f"{protocol[type(self.endpoint)]}://{self.bucket}/{self.root}"

    @property
    def keeps_what_was_overwritten(self) -> bool:
        """Whether writing again and again fills the server's memory.

        Azurite keeps overwritten values for ten minutes, in a bounded memory.
        """
        return isinstance(self.endpoint, AzureEndpoint)


@contextmanager
def place_on(server: str, *, plain: bool = False) -> Iterator[Place]:
    """Runs a server on its cores until the block is left, with a new bucket on it.

    With TLS, unless `plain` or the server is an emulator.
    """
    with ExitStack() as stack:
        certificate = None
        if server in _WITH_TLS and not plain:
            folder = stack.enter_context(TemporaryDirectory(prefix="benchmarks-"))
            certificate = Authority(Path(folder)).certificate()
        with starting_on(shares()[0]):
            start = _PLAIN.get(server) or partial(_WITH_TLS[server], certificate)
            endpoint = stack.enter_context(start())
        yield Place.on(endpoint, certificate)
