"""The native transport verifies servers as s3fs does; requests to proxies are sent by s3fs."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.support import put, read
from servers import S3Endpoint
from servers.certificates import Certificate
from servers.fault_proxy import fault_proxy
from servers.fixtures import or_skip

from fsspec_store.errors import BackendError

from .own_minio import make_certificates, own_minio
from .s3_transports import check_transport, options_of, reasons, store_of, use


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> list[Certificate]:
    """Certificates of a server and a client, by a private authority."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing, which makes certificates")
    return make_certificates(tmp_path_factory.mktemp("certificates"), "public", "client")


@pytest.fixture(scope="module")
def tls_endpoint(certificates: list[Certificate]) -> Iterator[S3Endpoint]:
    """A MinIO with TLS and a certificate of a private authority."""
    with or_skip(own_minio(tls=certificates[0])) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def tls_bucket(tls_endpoint: S3Endpoint) -> str:
    return tls_endpoint.make_bucket()


@pytest.mark.parametrize("by", ["option", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
async def test_a_private_certificate_authority(
    tls_endpoint: S3Endpoint,
    tls_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
) -> None:
    options = options_of(tls_endpoint)
    if by != "option":
        monkeypatch.setenv(by, options["client_kwargs"].pop("verify"))
    async with store_of(f"s3://{tls_bucket}/{by}", options) as store:
        await use(store)
        check_transport(store, "auto")


async def test_verification_is_disabled(tls_endpoint: S3Endpoint, tls_bucket: str) -> None:
    options = options_of(tls_endpoint, client_kwargs={"verify": False})
    async with store_of(f"s3://{tls_bucket}/none", options) as store:
        await use(store)
        check_transport(store, "auto")


async def test_an_untrusted_server_is_an_error_at_once(
    tls_endpoint: S3Endpoint, transport: str
) -> None:
    options = options_of(dataclasses.replace(tls_endpoint, ca=None))
    async with store_of("s3://bucket/x", options, transport=transport) as store:
        for call in (store.get("a"), put(store, "a")):
            with pytest.raises(BackendError, match="certificate verify failed"):
                await call
        assert store.stats.requests == 2
        assert store.stats.native == (2 if transport == "auto" else 0)


async def test_a_certificate_for_another_name_is_an_error(tls_endpoint: S3Endpoint) -> None:
    options = options_of(
        tls_endpoint, endpoint_url=tls_endpoint.url.replace("127.0.0.1", "localhost")
    )
    async with store_of("s3://bucket/x", options) as store:
        with pytest.raises(BackendError, match="localhost"):
            await store.get("a")
        assert store.stats.requests == store.stats.native == 1


async def test_a_missing_authority_file_is_an_error(
    tls_endpoint: S3Endpoint, tmp_path: Path, transport: str
) -> None:
    options = options_of(tls_endpoint, client_kwargs={"verify": str(tmp_path / "none.crt")})
    async with store_of("s3://bucket/x", options, transport=transport, retries=0) as store:
        with pytest.raises(BackendError):
            await store.get("a")


async def test_a_server_without_tls_is_an_error(minio_endpoint: S3Endpoint, transport: str) -> None:
    url = minio_endpoint.url.replace("http:", "https:")
    options = options_of(minio_endpoint, endpoint_url=url)
    async with store_of("s3://bucket/x", options, transport=transport) as store:
        with pytest.raises(BackendError, match=r"(?i)ssl"):
            await store.get("a")
        # The error is permanent.
        assert store.stats.requests == 1


async def test_a_client_certificate_is_sent(
    minio_endpoint: S3Endpoint, certificates: list[Certificate]
) -> None:
    public, client = certificates
    context = public.server_context()
    context.load_verify_locations(public.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    shown = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (await reader.readline()).strip():
            pass
        shown.append(writer.get_extra_info("peercert")["subject"])
        writer.write(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 2\r\n\r\nok')
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    options = options_of(
        minio_endpoint,
        endpoint_url=f"https://127.0.0.1:{port}",
        client_kwargs={"verify": str(public.ca)},
        config_kwargs={"client_cert": (str(client.file), str(client.key))},
    )
    async with store_of("s3://bucket/x", options, retries=0) as store:
        assert await read(store, "a") == b"ok"
        check_transport(store, "auto")
    assert shown == [((("commonName", "client"),),)]
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("by", ["option", "HTTP_PROXY"])
async def test_requests_go_through_the_proxy(
    minio_endpoint: S3Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    by: str,
) -> None:
    caplog.set_level("INFO", "fsspec_store.s3")
    bucket = minio_endpoint.make_bucket()
    with fault_proxy(minio_endpoint.url) as proxy:
        options = options_of(minio_endpoint)
        if by == "option":
            options["config_kwargs"] = {"proxies": {"http": proxy.url}}
        else:
            monkeypatch.setenv(by, proxy.url)
        async with store_of(f"s3://{bucket}/x", options) as store:
            await use(store)
            assert store.stats.native == 0
            assert store.stats.requests == len(proxy.seen)
        # Requests to a proxy have absolute URLs.
        assert all(each.target.startswith(f"{minio_endpoint.url}/") for each in proxy.seen)
    assert set(reasons(caplog).values()) == {"a proxy"}


async def test_no_proxy_is_used_where_it_is_disabled(
    minio_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    with fault_proxy(minio_endpoint.url) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        bucket = minio_endpoint.make_bucket()
        async with store_of(
            f"s3://{bucket}/x", options_of(minio_endpoint), transport=transport
        ) as store:
            await use(store)
            check_transport(store, transport)
        assert proxy.seen == []


@pytest.mark.parametrize("rounds", [1, 5, 20])
async def test_closing_during_the_first_request_leaves_no_connection(
    moto_endpoint: S3Endpoint, rounds: int
) -> None:
    said: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: said.append(context["message"]))
    url = f"s3://{moto_endpoint.make_bucket()}"
    store = store_of(url, moto_endpoint.storage_options(), transport="library")
    asking = asyncio.create_task(store.exists("a"))
    # s3fs creates its client or signs, and has no session yet.
    for _ in range(rounds):
        await asyncio.sleep(0)
    store.close()
    assert not await asking
    await store.aclose()
    del store, asking
    gc.collect()
    await asyncio.sleep(0)
    assert said == []
