"""Stores that reach a real server through a fault proxy: one class for each service.

A suite of rules inherits one of these classes. It uses the fixture ``proxy``, and ``make_store``,
which returns a new store at the same location in each call. Each test has another location.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from conformance.support import MakeStore, buf
from gcsfs.core import GCSFileSystem
from servers import GCSEndpoint, HTTPEndpoint, S3Endpoint
from servers.azurite import AzureEndpoint
from servers.certificates import Authority
from servers.fault_proxy import FaultProxy, fault_proxy
from servers.roots import new_root
from servers.webdav import WebDAVEndpoint

from fsspec_store import FsspecStore

S = TypeVar("S", bound=FsspecStore)

_places = itertools.count()


@contextmanager
def closing_all(make: Callable[..., S]) -> Iterator[Callable[..., S]]:
    """A function that makes stores, which are closed at the end."""
    with ExitStack() as made:
        yield lambda **options: made.enter_context(closing(make(**options)))


class OnServer:
    """A service that a store can write to."""

    #: The transport of the stores.
    transport = "auto"

    def options(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """Options of a store; by default, emulators under load have more time than a service."""
        return {"timeout": 120, "transport": self.transport, **more}

    async def fill(self, make_store: MakeStore, values: Mapping[str, bytes]) -> None:
        """Store values at the location of the test."""
        await make_store()._set_many((key, buf(data)) for key, data in values.items())


class OnS3(OnServer):
    #: The certificate that clients of the proxy have to trust.
    ca: Path | None = None

    @pytest.fixture
    def make_store(self, endpoint: S3Endpoint, proxy: FaultProxy) -> Iterator[Any]:
        options = dataclasses.replace(endpoint, url=proxy.url, ca=self.ca).storage_options()
        root = f"s3://{new_root(endpoint)}"
        with closing_all(
            lambda **more: FsspecStore.from_url(root, options, **self.options(more))
        ) as make:
            yield make


class OnSeaweedFS(OnS3):
    @pytest.fixture
    def endpoint(self, seaweedfs_endpoint: S3Endpoint) -> S3Endpoint:
        return seaweedfs_endpoint


class OnMinIO(OnS3):
    @pytest.fixture
    def endpoint(self, minio_endpoint: S3Endpoint) -> S3Endpoint:
        return minio_endpoint


class OnMinIOOverTLS(OnMinIO):
    """The proxy has a certificate; the server behind it does not."""

    @pytest.fixture
    def proxy(self, endpoint: S3Endpoint, authority: Authority) -> Iterator[FaultProxy]:
        self.ca = authority.ca
        with fault_proxy(endpoint.url, authority.certificate().server_context()) as running:
            yield running


class OnMoto(OnS3):
    @pytest.fixture
    def endpoint(self, moto_endpoint: S3Endpoint) -> S3Endpoint:
        return moto_endpoint


class OnFakeGCS(OnServer):
    filesystem: type[GCSFileSystem] = GCSFileSystem

    @pytest.fixture
    def endpoint(self, fake_gcs_endpoint: GCSEndpoint) -> GCSEndpoint:
        return fake_gcs_endpoint

    @pytest.fixture
    def make_store(self, endpoint: GCSEndpoint, proxy: FaultProxy) -> Iterator[Any]:
        # A bucket for each test: the emulator searches all of one, in memory, for an object.
        root = f"{endpoint.make_bucket()}/root"
        options = {**endpoint.storage_options(), "endpoint_url": proxy.url}
        with closing_all(
            lambda **more: FsspecStore(self.filesystem(**options), root, **self.options(more))
        ) as make:
            yield make


class OnAzurite(OnServer):
    @pytest.fixture
    def endpoint(self, azurite_endpoint: AzureEndpoint) -> AzureEndpoint:
        return azurite_endpoint

    @pytest.fixture
    def make_store(self, endpoint: AzureEndpoint, proxy: FaultProxy) -> Iterator[Any]:
        options = dataclasses.replace(endpoint, url=proxy.url).storage_options()
        # A container for each test: the emulator searches all of one for a blob.
        root = f"az://{endpoint.make_container()}/root"
        with closing_all(
            lambda **more: FsspecStore.from_url(root, options, **self.options(more))
        ) as make:
            yield make


class OnWebDAV(OnServer):
    @pytest.fixture
    def make_store(self, endpoint: WebDAVEndpoint, proxy: FaultProxy) -> Iterator[Any]:
        options = dataclasses.replace(endpoint, url=proxy.url).storage_options()
        root = f"webdav://proxied-{next(_places)}"
        with closing_all(
            lambda **more: FsspecStore.from_url(root, options, **self.options(more))
        ) as make:
            yield make


class OnApache(OnWebDAV):
    @pytest.fixture
    def endpoint(self, apache_endpoint: WebDAVEndpoint) -> WebDAVEndpoint:
        return apache_endpoint


class OnRclone(OnWebDAV):
    @pytest.fixture
    def endpoint(self, rclone_webdav_endpoint: WebDAVEndpoint) -> WebDAVEndpoint:
        return rclone_webdav_endpoint


class OnWsgidav(OnWebDAV):
    @pytest.fixture
    def endpoint(self, wsgidav_endpoint: WebDAVEndpoint) -> WebDAVEndpoint:
        return wsgidav_endpoint


class OnNginx(OnServer):
    @pytest.fixture
    def endpoint(self, nginx_endpoint: HTTPEndpoint) -> HTTPEndpoint:
        return nginx_endpoint

    @pytest.fixture(autouse=True)
    def folder(self, endpoint: HTTPEndpoint) -> Path:
        self._folder = endpoint.folder / f"proxied-{next(_places)}"
        self._folder.mkdir()
        return self._folder

    @pytest.fixture
    def make_store(self, proxy: FaultProxy, folder: Path) -> Iterator[Any]:
        url = f"{proxy.url}/{folder.name}"
        with closing_all(lambda **more: FsspecStore.from_url(url, **self.options(more))) as make:
            yield make

    async def fill(self, make_store: MakeStore, values: Mapping[str, bytes]) -> None:
        for key, data in values.items():
            path = self._folder / key
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_bytes(data)
            # Newer files are not read in parts.
            os.utime(path, (1e9, 1e9))
