"""What every test may use: the servers, a proxy, and the rules' own assertions spelled out."""

from __future__ import annotations

import ctypes
import functools
import gc
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from fsspec.implementations.memory import MemoryFileSystem

pytest.register_assert_rewrite("conformance", "pages.reader", "servers")
pytest_plugins = ["conformance.matrix", "order", "seeds", "skips", "variants"]

from servers.certificates import Authority  # noqa: E402
from servers.fault_proxy import FaultProxy, fault_proxy  # noqa: E402
from servers.fixtures import (  # noqa: E402
    apache_endpoint,
    authority,
    azurite_endpoint,
    fake_gcs_endpoint,
    minio_endpoint,
    minio_tls_endpoint,
    moto_endpoint,
    nginx_endpoint,
    rclone_endpoint,
    rclone_webdav_endpoint,
    running_moto,
    seaweedfs_endpoint,
    seaweedfs_tls_endpoint,
    wsgidav_endpoint,
)

__all__ = [
    "apache_endpoint",
    "authority",
    "azurite_endpoint",
    "fake_gcs_endpoint",
    "minio_endpoint",
    "minio_tls_endpoint",
    "moto_endpoint",
    "nginx_endpoint",
    "rclone_endpoint",
    "rclone_webdav_endpoint",
    "running_moto",
    "seaweedfs_endpoint",
    "seaweedfs_tls_endpoint",
    "wsgidav_endpoint",
]

# A session of botocore's reads anew what it knows of S3, a quarter of a second's work each time.
# This package's stores share that by themselves; other libraries', and chained ones, do not.
_read_description = functools.cache(JSONFileLoader().load_file)
JSONFileLoader.load_file = lambda self, path: _read_description(path)


#: `M_ARENA_MAX` of glibc's malloc.h.
_ARENA_MAX = -8


def pytest_configure() -> None:
    """Let the threads of this process share one heap.

    glibc gives each a heap, of which it returns little to the system: with large values the workers
    had twice the memory, and a third more of the system's time.
    """
    if sys.platform == "linux":
        # Other libraries of C have no such option.
        with suppress(AttributeError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


@pytest.fixture(scope="session", autouse=True)
def trusted_authority(authority: Authority) -> Iterator[None]:
    """Makes Python trust servers with TLS; the native transport reads the variable once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority.ca))
        yield


@pytest.fixture(scope="module", autouse=True)
def leaves_nothing() -> Iterator[None]:
    """Ends what a module's tests left behind, so that no other module's are told of it.

    Garbage may be collected at any time: a socket that nobody closed would be an error of whichever
    test runs then, and a filesystem that goes (s3fs's, gcsfs's) ends its sessions by a task on
    whatever loop runs then, where that task fails. What is left then is there to stay, and need not
    be looked through again by the next module's tests: those that collect garbage took seconds.
    fsspec's memory filesystem lists a folder by looking at all keys of the process.
    """
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    gc.collect()
    gc.freeze()


@pytest.fixture
def proxy(endpoint: Any) -> Iterator[FaultProxy]:
    """A proxy before the service that a module's or a class's own ``endpoint`` is."""
    with fault_proxy(endpoint.url) as running:
        yield running


@pytest.fixture(params=["auto", "library"])
def transport(request: pytest.FixtureRequest) -> str:
    """The option of a store: the native transport where it is supported, or the library alone."""
    name: str = request.param
    return name
