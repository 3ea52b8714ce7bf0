"""The servers a run may start, and where on one of them a store is.

Knows the servers of the tests. Does not know how a library is told of a place, see `candidates`.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
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
from servers.fault_proxy import FaultProxy, fault_proxy
from servers.s3_endpoint import REGION

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
    "fault_proxy",
    "place_on",
]

Endpoint: TypeAlias = S3Endpoint | AzureEndpoint | GCSEndpoint

#: How to start each server, by the name it is asked for.
SERVERS: dict[str, Callable[[], AbstractContextManager[Endpoint]]] = {
    "seaweedfs": seaweedfs_server,
    "minio": minio_server,
    "azurite": azurite_server,
    "fake-gcs": fake_gcs_server,
}


@dataclass(frozen=True)
class Place:
    """Where a store is: a server, a bucket on it, and a root in the bucket."""

    endpoint: Endpoint
    bucket: str
    root: str = ""

    @classmethod
    def on(cls, endpoint: Endpoint) -> Place:
        """A new bucket on a server."""
        if isinstance(endpoint, AzureEndpoint):
            return cls(endpoint, endpoint.make_container())
        return cls(endpoint, endpoint.make_bucket())

    def below(self, root: str) -> Place:
        """A root in the same bucket."""
        return replace(self, root=root)

    def through(self, url: str) -> Place:
        """The same place by way of a proxy."""
        return replace(self, endpoint=replace(self.endpoint, url=url))

    @property
    def url(self) -> str:
        """The URL by which fsspec knows it."""
        protocol = {S3Endpoint: "s3", AzureEndpoint: "abfs", GCSEndpoint: "gs"}
        return f"{protocol[type(self.endpoint)]}://{self.bucket}/{self.root}"

    @property
    def keeps_what_was_overwritten(self) -> bool:
        """Whether writing again and again fills the server's memory.

        Azurite keeps what nobody can read any more for ten minutes, in a bounded memory.
        """
        return isinstance(self.endpoint, AzureEndpoint)


@contextmanager
def place_on(server: str) -> Iterator[Place]:
    """Runs a server until the block is left, with a new bucket on it."""
    with SERVERS[server]() as endpoint:
        yield Place.on(endpoint)
