"""Requests are sent only to servers with a valid certificate.

aiohttp sends those to web and WebDAV servers, the native transport all others.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conformance.support import read
from gcsfs.core import GCSFileSystem
from servers.certificates import Authority, make_certificate
from servers.ports import LOOPBACK, listener
from servers.scripted import Peer, ScriptedServer, scripted_server

from fsspec_store import FsspecStore
from fsspec_store.errors import BackendError

#: A value, with the headers that each service sends.
RESPONSE = (
    b'HTTP/1.1 200 OK\r\nETag: "e"\r\nx-goog-generation: 1\r\nx-ms-blob-type: BlockBlob\r\n'
    b"Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok"
)

#: A store at the URL of a server that trusts an authority. Google and Azure have no option for it:
#: they trust that of the variable ``SSL_CERT_FILE``.
MakeStore = Callable[[str, Path], FsspecStore]


def on_s3(url: str, ca: Path) -> FsspecStore:
    client = {"region_name": "us-east-1", "verify": str(ca)}
    options = {"key": "k", "secret": "s", "endpoint_url": url, "client_kwargs": client}
    return FsspecStore.from_url("s3://bucket/x", options)


def on_web(url: str, ca: Path) -> FsspecStore:
    context = ssl.create_default_context(cafile=ca)
    return FsspecStore.from_url(f"{url}/x", {"ssl": context})


def on_gcs(url: str, ca: Path) -> FsspecStore:
    options: dict[str, Any] = {"token": "anon", "project": "p", "endpoint_url": url}
    return FsspecStore(GCSFileSystem(**options), "bucket/x")


def on_azure(url: str, ca: Path) -> FsspecStore:
    connection = f"AccountName=a;AccountKey=a2V5;BlobEndpoint={url}/a;"
    return FsspecStore.from_url("az://container/x", {"connection_string": connection})


def on_webdav(url: str, ca: Path) -> FsspecStore:
    context = ssl.create_default_context(cafile=ca)
    return FsspecStore.from_url("webdav://x", {"base_url": url, "verify": context})


PLACES = [on_s3, on_gcs, on_azure, on_web, on_webdav]


@pytest.fixture(params=PLACES, ids=lambda make: make.__name__)
def make_store(request: pytest.FixtureRequest) -> MakeStore:
    make: MakeStore = request.param
    return make


@asynccontextmanager
async def serving(tls: ssl.SSLContext) -> AsyncIterator[ScriptedServer]:
    async def respond(peer: Peer) -> None:
        while not peer.reader.at_eof():
            await peer.request()
            await peer.send(RESPONSE)

    async with scripted_server(respond, tls=tls) as server:
        yield server


def check_native(store: FsspecStore) -> None:
    by_aiohttp = store.url.startswith(("https:", "webdav:"))
    assert store.stats.native == (0 if by_aiohttp else store.stats.requests)


async def check_refused(
    make_store: MakeStore,
    tls: ssl.SSLContext,
    ca: Path,
    message: str,
    *,
    host: str = LOOPBACK,
) -> None:
    async with serving(tls) as server, make_store(f"https://{host}:{server.port}", ca) as store:
        with pytest.raises(BackendError, match=f"cannot read 'a' in .*{message}"):
            await store.get("a")
        # No byte of a request is sent.
        assert store.stats.retries == 0
        check_native(store)
        assert server.peers == []


@pytest.mark.parametrize("host", [LOOPBACK, "localhost"])
async def test_a_certificate_of_a_trusted_authority_is_accepted(
    make_store: MakeStore, authority: Authority, host: str
) -> None:
    tls = authority.certificate([host]).server_context()
    async with serving(tls) as server:
        async with make_store(f"https://{host}:{server.port}", authority.ca) as store:
            assert await read(store, "a") == b"ok"
            check_native(store)
        assert server.peers != []


@pytest.mark.parametrize(
    ("host", "names", "message"),
    [
        (LOOPBACK, ["localhost"], "IP address mismatch"),
        ("localhost", [LOOPBACK], "Hostname mismatch"),
        ("localhost", ["other.invalid"], "Hostname mismatch"),
    ],
)
async def test_a_certificate_of_another_host_is_refused(
    make_store: MakeStore, authority: Authority, host: str, names: list[str], message: str
) -> None:
    tls = authority.certificate(names).server_context()
    await check_refused(make_store, tls, authority.ca, message, host=host)


async def test_an_expired_certificate_is_refused(
    make_store: MakeStore, authority: Authority
) -> None:
    tls = authority.expired().server_context()
    await check_refused(make_store, tls, authority.ca, "certificate has expired")


async def test_a_self_signed_certificate_is_refused(
    make_store: MakeStore, authority: Authority, tmp_path: Path
) -> None:
    tls = make_certificate(tmp_path).server_context()
    await check_refused(make_store, tls, authority.ca, "self-signed certificate")


async def test_a_certificate_of_an_unknown_authority_is_refused(
    make_store: MakeStore, authority: Authority, tmp_path: Path
) -> None:
    tls = Authority(tmp_path).certificate().server_context()
    await check_refused(make_store, tls, authority.ca, "unable to get local issuer certificate")


async def test_a_missing_file_of_an_authority_is_not_retried(tmp_path: Path) -> None:
    async with on_s3(f"https://{LOOPBACK}:1", tmp_path / "missing.pem") as store:
        with pytest.raises(BackendError, match="No such file or directory"):
            await store.get("a")
        assert store.stats.retries == 0


@pytest.mark.parametrize("make_store", PLACES[:3], ids=lambda make: make.__name__)
async def test_an_old_version_of_tls_is_refused(
    make_store: MakeStore, authority: Authority
) -> None:
    tls = authority.certificate().server_context()
    # Python deprecates the version, and OpenSSL allows it only at this level.
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_1
    tls.set_ciphers("DEFAULT:@SECLEVEL=0")

    def accept(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with pytest.raises(ssl.SSLError):
            tls.wrap_socket(connection, server_side=True)

    # asyncio's servers close the connection before the alert is sent.
    with listener() as listening:
        port = listening.getsockname()[1]
        async with make_store(f"https://{LOOPBACK}:{port}", authority.ca) as store:
            accepting = asyncio.create_task(asyncio.to_thread(accept, listening))
            with pytest.raises(BackendError, match=r"cannot read 'a' in .*protocol version"):
                await store.get("a")
            await accepting
            assert store.stats.retries == 0
            check_native(store)
