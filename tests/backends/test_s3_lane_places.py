"""The fast lane sends where s3fs would send: endpoint, region, style of addresses, TLS, proxies."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.support import put, read
from servers import S3Endpoint
from servers.fault_proxy import Answer, fault_proxy, the_first
from servers.fixtures import or_skip

from fsspec_store import BackendError, FsspecStore

from .lanes import opened, options_of, use, wire
from .own_minio import make_certificate, own_minio, to_loopback

REGION = "eu-test-1"
LISTING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def domain_endpoint() -> Iterator[S3Endpoint]:
    """A MinIO that minds its region, and whose buckets have host names."""
    settings = {"MINIO_DOMAIN": "localhost", "MINIO_SITE_REGION": REGION}
    with or_skip(own_minio(settings)) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as MinIO wants it, and certificates of two clients."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing, which makes certificates")
    folder = tmp_path_factory.mktemp("certificates")
    certificate, key = make_certificate(folder, "public")
    key.rename(folder / "private.key")
    assert certificate == folder / "public.crt"
    make_certificate(tmp_path_factory.getbasetemp(), "client")
    return folder


@pytest.fixture(scope="module")
def tls_endpoint(certificates: Path) -> Iterator[S3Endpoint]:
    """A MinIO that speaks TLS, by a certificate that nobody else vouches for."""
    with or_skip(own_minio(certificates=certificates)) as endpoint:
        yield endpoint


@pytest.fixture(params=[True, False], ids=["fast", "by s3fs"])
def fast(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def check_lane(store: FsspecStore, fast: bool) -> None:
    assert store.stats.fast == (store.stats.requests if fast else 0)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "fsspec_store.s3"]


async def make_bucket(options: Any) -> str:
    """A bucket made by s3fs itself, whose settings differ from those of the endpoint."""
    store = FsspecStore.from_url("s3://not-yet-there/x", options, fast=False)
    bucket = f"test-{id(store):x}"
    fs = store._backend._lanes.get().fs
    await fs._call_s3("create_bucket", Bucket=bucket)
    await store.aclose()
    return bucket


# -- Endpoint and region ---------------------------------------------------------------------------


async def test_the_region_is_signed(domain_endpoint: S3Endpoint, fast: bool) -> None:
    options = options_of(domain_endpoint, client_kwargs={"region_name": REGION})
    bucket = await make_bucket(options)
    with (
        fault_proxy(domain_endpoint.url) as proxy,
        opened(f"s3://{bucket}/x", {**options, "endpoint_url": proxy.url}, fast=fast) as store,
    ):
        await use(store)
        check_lane(store, fast)
        assert all(f"/{REGION}/s3/" in each.headers["authorization"] for each in proxy.seen)


async def test_a_wrong_region_is_put_right_by_s3fs(
    domain_endpoint: S3Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fsspec_store.s3")
    bucket = await make_bucket(options_of(domain_endpoint, client_kwargs={"region_name": REGION}))
    with opened(f"s3://{bucket}/x", options_of(domain_endpoint)) as store:
        await use(store)
        assert store.stats.fast == 1
    assert said(caplog) == [
        f"requests to the S3 bucket {bucket!r} go through s3fs: "
        "the error AuthorizationHeaderMalformed"
    ]


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
async def test_the_endpoint_of_the_environment(
    minio_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch, name: str, fast: bool
) -> None:
    monkeypatch.setenv(name, minio_endpoint.url)
    bucket = minio_endpoint.make_bucket()
    options = options_of(minio_endpoint, endpoint_url=None)
    with opened(f"s3://{bucket}/x", options, fast=fast) as store:
        await use(store)
        check_lane(store, fast)


async def test_an_endpoint_with_a_path(minio_endpoint: S3Endpoint) -> None:
    wires = []
    with fault_proxy(f"{minio_endpoint.url}/deep/er") as proxy:
        proxy.plan = lambda method, target, headers: Answer(
            200, {"ETag": '"e"'}, b"" if method == "PUT" else LISTING
        )
        for fast in (True, False):
            with (
                opened("s3://bucket/x", options_of(minio_endpoint, proxy), fast=fast) as store,
                proxy.watching() as seen,
            ):
                await put(store, "k e y")
                await read(store, "k e y")
                await store.is_empty("")
                check_lane(store, fast)
            wires.append(wire(seen))
    assert wires[0] == wires[1]
    assert wires[0][0][1] == "/deep/er/bucket/x/k%20e%20y?"
    assert wires[0][2][1].startswith("/deep/er/bucket?")


async def test_buckets_that_have_host_names(
    domain_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", to_loopback(socket.getaddrinfo))
    options = options_of(
        domain_endpoint,
        endpoint_url=domain_endpoint.url.replace("127.0.0.1", "localhost"),
        client_kwargs={"region_name": REGION},
        config_kwargs={"s3": {"addressing_style": "virtual"}},
    )
    bucket = await make_bucket(options)
    with (
        fault_proxy(domain_endpoint.url) as proxy,
        opened(
            f"s3://{bucket}/x",
            {**options, "endpoint_url": proxy.url.replace("127.0.0.1", "localhost")},
            fast=fast,
        ) as store,
    ):
        await use(store)
        check_lane(store, fast)
    hosts = {each.headers["host"].partition(":")[0] for each in proxy.seen}
    assert hosts == {f"{bucket}.localhost"}
    assert proxy.seen[0].target == "/x/a"


async def test_regions_that_s3fs_looks_up(
    domain_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    bucket = await make_bucket(options_of(domain_endpoint, client_kwargs={"region_name": REGION}))
    with fault_proxy(domain_endpoint.url) as proxy:
        # Where s3fs is told a region or an endpoint, it looks up none.
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        proxy.plan = lambda method, target, headers: (
            Answer(200, {"x-amz-bucket-region": REGION}) if method == "HEAD" else None
        )
        options = options_of(
            domain_endpoint, endpoint_url=None, client_kwargs=None, cache_regions=True
        )
        with opened(f"s3://{bucket}/x", options, fast=fast) as store:
            await put(store, "a")
            assert await read(store, "a") == b"a"
            check_lane(store, fast)
        asked = [each for each in proxy.seen if each.method == "HEAD"]
    assert [each.target for each in asked] == [f"/{bucket}"]
    assert all(f"/{REGION}/" in each.headers["authorization"] for each in proxy.seen[1:])


@pytest.mark.parametrize(
    "answer",
    [
        Answer(
            301,
            {"x-amz-bucket-region": "eu-north-1"},
            b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>",
        ),
        Answer(
            400,
            {"x-amz-bucket-region": "eu-north-1"},
            b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>expecting</Message>"
            b"<Region>eu-north-1</Region></Error>",
        ),
        Answer(307, {}, b"<Error><Code>TemporaryRedirect</Code></Error>"),
    ],
    ids=["301", "400", "307"],
)
@pytest.mark.parametrize("first", ["PUT", "GET"])
async def test_a_redirection_is_followed_by_s3fs_from_then_on(
    minio_endpoint: S3Endpoint, answer: Answer, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fsspec_store.s3")
    bucket = minio_endpoint.make_bucket()
    with (
        fault_proxy(minio_endpoint.url) as proxy,
        opened(f"s3://{bucket}/x", options_of(minio_endpoint, proxy)) as store,
    ):
        await put(store, "before")
        assert store.stats.fast == 1
        proxy.plan = the_first(1, answer, method=first)
        await put(store, "a")
        assert await read(store, "a") == b"a"
        assert store.stats.fast == (2 if first == "PUT" else 3)
        # Whatever store it is.
        with opened(f"s3://{bucket}/y", options_of(minio_endpoint, proxy)) as beside:
            await use(beside)
            check_lane(beside, False)
        # Another bucket is another matter.
        other = minio_endpoint.make_bucket()
        with opened(f"s3://{other}/x", options_of(minio_endpoint, proxy)) as elsewhere:
            await use(elsewhere)
            check_lane(elsewhere, True)
    assert len(said(caplog)) == 1
    assert f"requests to the S3 bucket {bucket!r} go through s3fs: the " in said(caplog)[0]


def test_the_default_port_is_in_no_host_header() -> None:
    from fsspec_store.backends.s3.routes import _host, urlsplit

    hosts = {
        "http://h:80/b": "h",
        "https://h:443": "h",
        "https://h:80": "h:80",
        "http://H.example/": "h.example",
        "http://[::1]:9000/b": "[::1]:9000",
        "https://[::1]/": "[::1]",
    }
    assert {url: _host(urlsplit(url)) for url in hosts} == hosts


# -- TLS -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["option", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
async def test_an_authority_of_the_users_own(
    tls_endpoint: S3Endpoint,
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
    fast: bool,
) -> None:
    authority = str(certificates / "public.crt")
    if by != "option":
        monkeypatch.setenv(by, authority)
    options = options_of(
        tls_endpoint, client_kwargs={"verify": authority} if by == "option" else {}
    )
    bucket = await make_bucket(options)
    with opened(f"s3://{bucket}/x", options, fast=fast) as store:
        await use(store)
        check_lane(store, fast)


async def test_no_authority_at_all(tls_endpoint: S3Endpoint, fast: bool) -> None:
    options = options_of(tls_endpoint, client_kwargs={"verify": False})
    bucket = await make_bucket(options)
    with opened(f"s3://{bucket}/x", options, fast=fast) as store:
        await use(store)
        check_lane(store, fast)


async def test_a_server_that_nobody_vouches_for_is_refused_at_once(
    tls_endpoint: S3Endpoint, fast: bool
) -> None:
    with opened("s3://bucket/x", options_of(tls_endpoint), fast=fast) as store:
        for call in (store.get("a"), put(store, "a")):
            with pytest.raises(BackendError, match="certificate verify failed"):
                await call
        assert store.stats.requests == 2
        assert store.stats.fast == (2 if fast else 0)


async def test_a_certificate_for_another_name_is_refused(
    tls_endpoint: S3Endpoint, certificates: Path
) -> None:
    options = options_of(
        tls_endpoint,
        endpoint_url=tls_endpoint.url.replace("127.0.0.1", "localhost"),
        client_kwargs={"verify": str(certificates / "public.crt")},
    )
    with opened("s3://bucket/x", options) as store:
        with pytest.raises(BackendError, match="localhost"):
            await store.get("a")
        assert store.stats.requests == store.stats.fast == 1


async def test_an_authority_that_is_not_there_is_an_error(
    tls_endpoint: S3Endpoint, tmp_path: Path, fast: bool
) -> None:
    options = options_of(tls_endpoint, client_kwargs={"verify": str(tmp_path / "none.crt")})
    with (
        opened("s3://bucket/x", options, fast=fast, retries=0) as store,
        pytest.raises(BackendError),
    ):
        await store.get("a")


async def test_a_server_that_speaks_no_tls_is_an_error(
    minio_endpoint: S3Endpoint, fast: bool
) -> None:
    url = minio_endpoint.url.replace("http:", "https:")
    options = options_of(minio_endpoint, endpoint_url=url)
    with opened("s3://bucket/x", options, fast=fast) as store:
        with pytest.raises(BackendError, match=r"(?i)ssl"):
            await store.get("a")
        # It would speak none the next time either.
        assert store.stats.requests == 1


async def test_a_client_shows_its_certificate(
    minio_endpoint: S3Endpoint, certificates: Path, tmp_path_factory: Any, fast: bool
) -> None:
    client = tmp_path_factory.getbasetemp() / "client.crt"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client)
    context.load_cert_chain(certificates / "public.crt", certificates / "private.key")
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
        client_kwargs={"verify": str(certificates / "public.crt")},
        config_kwargs={"client_cert": (str(client), str(client.with_suffix(".key")))},
    )
    with opened("s3://bucket/x", options, fast=fast, retries=0) as store:
        assert await read(store, "a") == b"ok"
        check_lane(store, fast)
    assert shown == [((("commonName", "test"),),)]
    server.close()
    await server.wait_closed()


# -- Proxies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["option", "HTTP_PROXY"])
async def test_a_proxy_is_asked(
    minio_endpoint: S3Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    by: str,
) -> None:
    caplog.set_level(logging.INFO, "fsspec_store.s3")
    bucket = minio_endpoint.make_bucket()
    with fault_proxy(minio_endpoint.url) as proxy:
        options = options_of(minio_endpoint)
        if by == "option":
            options["config_kwargs"] = {"proxies": {"http": proxy.url}}
        else:
            monkeypatch.setenv(by, proxy.url)
        with opened(f"s3://{bucket}/x", options) as store:
            await use(store)
            assert store.stats.fast == 0
            assert store.stats.requests == len(proxy.seen)
        # As a proxy is asked: with the whole URL.
        assert all(each.target.startswith(f"{minio_endpoint.url}/") for each in proxy.seen)
    assert f"get_object of the S3 bucket {bucket!r} goes through s3fs: a proxy" in said(caplog)


async def test_no_proxy_is_asked_where_the_user_wants_none(
    minio_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    with fault_proxy(minio_endpoint.url) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        bucket = minio_endpoint.make_bucket()
        with opened(f"s3://{bucket}/x", options_of(minio_endpoint), fast=fast) as store:
            await use(store)
            check_lane(store, fast)
        assert proxy.seen == []
