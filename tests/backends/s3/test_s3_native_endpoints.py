"""The native transport has the endpoint, region and addressing style of s3fs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from conformance.support import put, read
from servers import S3Endpoint
from servers.fault_proxy import Answer, fault_proxy, the_first
from servers.fixtures import or_skip

from fsspec_store.errors import StorageOptionError

from .own_minio import own_minio, to_loopback
from .s3_transports import check_transport, make_bucket, opened, options_of, said, use, wire

REGION = "eu-test-1"
LISTING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


@pytest.fixture(scope="module")
def domain_endpoint() -> Iterator[S3Endpoint]:
    """A MinIO with a region and virtual-hosted buckets."""
    settings = {"MINIO_DOMAIN": "localhost", "MINIO_SITE_REGION": REGION}
    with or_skip(own_minio(settings)) as endpoint:
        yield endpoint


async def test_the_region_is_signed(domain_endpoint: S3Endpoint, transport: str) -> None:
    options = options_of(domain_endpoint, client_kwargs={"region_name": REGION})
    bucket = await make_bucket(options)
    with (
        fault_proxy(domain_endpoint.url) as proxy,
        opened(
            f"s3://{bucket}/x", {**options, "endpoint_url": proxy.url}, transport=transport
        ) as store,
    ):
        await use(store)
        check_transport(store, transport)
        assert all(f"/{REGION}/s3/" in each.headers["authorization"] for each in proxy.seen)


async def test_a_wrong_region_is_corrected_by_s3fs_once(
    domain_endpoint: S3Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "fsspec_store.s3")
    bucket = await make_bucket(options_of(domain_endpoint, client_kwargs={"region_name": REGION}))
    with opened(f"s3://{bucket}/x", options_of(domain_endpoint)) as store:
        await use(store)
        # The first request was sent twice.
        assert store.stats.native == store.stats.requests - 1
    assert said(caplog) == []


async def test_concurrent_requests_to_the_wrong_region(
    domain_endpoint: S3Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "fsspec_store.s3")
    bucket = await make_bucket(options_of(domain_endpoint, client_kwargs={"region_name": REGION}))
    with opened(f"s3://{bucket}/x", options_of(domain_endpoint)) as store:
        await asyncio.gather(*(put(store, f"a/{number}") for number in range(16)))
        native = store.stats.native
        assert sorted(await asyncio.gather(*(read(store, f"a/{each}") for each in range(16)))) == (
            sorted(f"a/{each}".encode() for each in range(16))
        )
        assert store.stats.native == native + 16
    assert said(caplog) == []


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
async def test_the_endpoint_from_the_environment(
    minio_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch, name: str, transport: str
) -> None:
    monkeypatch.setenv(name, minio_endpoint.url)
    bucket = minio_endpoint.make_bucket()
    options = options_of(minio_endpoint, endpoint_url=None)
    with opened(f"s3://{bucket}/x", options, transport=transport) as store:
        await use(store)
        check_transport(store, transport)


async def test_an_invalid_endpoint_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "127.0.0.1:9000")
    with (
        opened("s3://bucket/x", {"key": "key", "secret": "secret"}, transport=transport) as store,
        pytest.raises(StorageOptionError, match=r"environment.*: Invalid endpoint: 127.0.0.1:9000"),
    ):
        await store.get("a")


async def test_an_endpoint_with_a_path(minio_endpoint: S3Endpoint) -> None:
    wires = []
    with fault_proxy(f"{minio_endpoint.url}/deep/er") as proxy:
        proxy.plan = lambda method, target, headers: Answer(
            200, {"ETag": '"e"'}, b"" if method == "PUT" else LISTING
        )
        for transport in ("auto", "library"):
            with (
                opened(
                    "s3://bucket/x", options_of(minio_endpoint, proxy), transport=transport
                ) as store,
                proxy.watching() as seen,
            ):
                await put(store, "k e y")
                await read(store, "k e y")
                await store.is_empty("")
                check_transport(store, transport)
            wires.append(wire(seen))
    assert wires[0] == wires[1]
    assert wires[0][0][1] == "/deep/er/bucket/x/k%20e%20y?"
    assert wires[0][2][1].startswith("/deep/er/bucket?")


async def test_virtual_hosted_buckets(
    domain_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch, transport: str
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
            transport=transport,
        ) as store,
    ):
        await use(store)
        check_transport(store, transport)
    hosts = {each.headers["host"].partition(":")[0] for each in proxy.seen}
    assert hosts == {f"{bucket}.localhost"}
    assert proxy.seen[0].target == "/x/a"


async def test_regions_that_s3fs_looks_up(
    domain_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    bucket = await make_bucket(options_of(domain_endpoint, client_kwargs={"region_name": REGION}))
    with fault_proxy(domain_endpoint.url) as proxy:
        # s3fs looks up regions only without a configured region or endpoint.
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        proxy.plan = lambda method, target, headers: (
            Answer(200, {"x-amz-bucket-region": REGION}) if method == "HEAD" else None
        )
        options = options_of(
            domain_endpoint, endpoint_url=None, client_kwargs=None, cache_regions=True
        )
        with opened(f"s3://{bucket}/x", options, transport=transport) as store:
            await put(store, "a")
            assert await read(store, "a") == b"a"
            check_transport(store, transport)
        heads = [each for each in proxy.seen if each.method == "HEAD"]
    assert [each.target for each in heads] == [f"/{bucket}"]
    assert all(f"/{REGION}/" in each.headers["authorization"] for each in proxy.seen[1:])


ELSEWHERE = [
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
]


@pytest.mark.parametrize("answer", ELSEWHERE, ids=["301", "400"])
@pytest.mark.parametrize("first", ["PUT", "GET"])
async def test_a_redirect_to_another_region_is_remembered(
    minio_endpoint: S3Endpoint, answer: Answer, first: str
) -> None:
    bucket = minio_endpoint.make_bucket()
    with (
        fault_proxy(minio_endpoint.url) as proxy,
        opened(f"s3://{bucket}/x", options_of(minio_endpoint, proxy)) as store,
    ):
        await put(store, "before")
        # One request by the native transport, one by s3fs.
        proxy.plan = the_first(2, answer, method=first)
        await put(store, "before")
        assert await read(store, "before") == b"before"
        await store.clear()
        with proxy.watching() as seen:
            await use(store)
        # The region is remembered for all methods.
        assert all("/eu-north-1/" in each.headers["authorization"] for each in seen)
        assert store.stats.native == store.stats.requests - 1


@pytest.mark.parametrize("first", ["PUT", "GET"])
async def test_a_redirect_to_the_same_location_is_left_to_s3fs(
    minio_endpoint: S3Endpoint, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "fsspec_store.s3")
    bucket = minio_endpoint.make_bucket()
    with (
        fault_proxy(minio_endpoint.url) as proxy,
        opened(f"s3://{bucket}/x", options_of(minio_endpoint, proxy)) as store,
    ):
        await put(store, "before")
        answer = Answer(307, {}, b"<Error><Code>TemporaryRedirect</Code></Error>")
        proxy.plan = the_first(1, answer, method=first)
        await put(store, "a")
        assert await read(store, "a") == b"a"
        await put(store, "a")
        assert await read(store, "a") == b"a"
        # In every store.
        with opened(f"s3://{bucket}/y", options_of(minio_endpoint, proxy)) as beside:
            await use(beside)
            check_transport(beside, "library")
        # Other buckets are not affected.
        other = minio_endpoint.make_bucket()
        with opened(f"s3://{other}/x", options_of(minio_endpoint, proxy)) as elsewhere:
            await use(elsewhere)
            check_transport(elsewhere, "auto")
    assert len(said(caplog)) == 1
    assert f"requests to the S3 bucket {bucket!r} go through s3fs: the " in said(caplog)[0]


async def test_repeated_redirects_are_left_to_s3fs(
    minio_endpoint: S3Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "fsspec_store.s3")
    bucket = minio_endpoint.make_bucket()
    with (
        fault_proxy(minio_endpoint.url) as proxy,
        opened(f"s3://{bucket}/x", options_of(minio_endpoint, proxy)) as store,
    ):
        for _ in range(2):
            proxy.plan = the_first(2, ELSEWHERE[0], method="PUT")
            await put(store, "a")
        native = store.stats.native
        await put(store, "a")
        assert await read(store, "a") == b"a"
        assert store.stats.native == native == 2
    assert len(said(caplog)) == 1
