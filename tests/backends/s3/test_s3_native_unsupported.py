"""s3fs sends the requests that the native transport does not support; the log says why."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import aiobotocore.session
import pytest
import s3fs
from conformance.support import put, read
from servers import S3Endpoint
from servers.fault_proxy import Answer, FaultProxy, fault_proxy

from fsspec_store import Buffer, FsspecStore
from fsspec_store._backends.s3.endpoints import Endpoint, discover_endpoint
from fsspec_store._backends.s3.supported import UnsupportedError, tls_context

from .s3_transports import opened, options_of, reasons, use

KEY = base64.b64encode(bytes(32)).decode()


@pytest.fixture
def proxy(minio_endpoint: S3Endpoint) -> Iterator[FaultProxy]:
    with fault_proxy(minio_endpoint.url) as running:
        yield running


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "fsspec_store.s3")
    return caplog


def answering(method: str, target: str, headers: Any) -> Answer:
    """A service that accepts every request."""
    return Answer(200, {"ETag": '"e"'}, b"" if method in ("PUT", "HEAD") else b"value")


# -- Options ---------------------------------------------------------------------------------------


async def test_requester_pays_is_sent_with_each_request(
    minio_endpoint: S3Endpoint, proxy: FaultProxy, log: pytest.LogCaptureFixture
) -> None:
    options = options_of(minio_endpoint, proxy, requester_pays=True)
    with opened(f"s3://{minio_endpoint.make_bucket()}/x", options) as store:
        await use(store)
        assert store.stats.native == 0
        assert store.stats.requests == len(proxy.seen)
    assert {each.headers.get("x-amz-request-payer") for each in proxy.seen} == {"requester"}
    assert set(reasons(log).values()) == {"the header x-amz-request-payer"}


@pytest.mark.parametrize(
    ("more", "header", "value"),
    [
        ({"ServerSideEncryption": "AES256"}, "x-amz-server-side-encryption", "AES256"),
        ({"StorageClass": "STANDARD_IA"}, "x-amz-storage-class", "STANDARD_IA"),
        ({"ACL": "private"}, "x-amz-acl", "private"),
        ({"ContentType": "application/zarr"}, "content-type", "application/zarr"),
        ({"ContentEncoding": "gzip"}, "content-encoding", "gzip"),
        ({"CacheControl": "no-store"}, "cache-control", "no-store"),
        ({"Metadata": {"who": "me"}}, "x-amz-meta-who", "me"),
        ({"Tagging": "a=b"}, "x-amz-tagging", "a=b"),
        ({"ChecksumAlgorithm": "SHA256"}, "x-amz-sdk-checksum-algorithm", "SHA256"),
        ({"ExpectedBucketOwner": "1" * 12}, "x-amz-expected-bucket-owner", "1" * 12),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_options_of_writes(
    minio_endpoint: S3Endpoint,
    proxy: FaultProxy,
    log: pytest.LogCaptureFixture,
    more: dict[str, Any],
    header: str,
    value: str,
) -> None:
    proxy.plan = answering
    options = options_of(minio_endpoint, proxy, s3_additional_kwargs=more)
    with opened("s3://bucket/x", options) as store:
        await put(store, "a", data=b"value")
        assert store.stats.native == 0
        assert await read(store, "a") == b"value"
        # Reads still use the native transport, unless the options apply to them.
        assert store.stats.native == ("ExpectedBucketOwner" not in more)
    assert proxy.seen[0].headers[header] == value
    assert "header" in reasons(log)["put_object"]


async def test_a_replacement_keeps_the_configured_metadata(minio_endpoint: S3Endpoint) -> None:
    bucket = minio_endpoint.make_bucket()
    options = {
        **minio_endpoint.storage_options(),
        "s3_additional_kwargs": {"Metadata": {"project": "weather"}},
    }
    with opened(f"s3://{bucket}/x", options) as store:
        await put(store, "a")
        found = await store.get_version("a")
        assert found is not None
        await store.set("a", Buffer.from_bytes(b"new"), if_match=found.version)
    with closing(minio_endpoint.client()) as client:
        metadata = client.head_object(Bucket=bucket, Key="x/a")["Metadata"]
    assert metadata["project"] == "weather"


async def test_customer_provided_encryption_keys(
    minio_endpoint: S3Endpoint, proxy: FaultProxy
) -> None:
    proxy.plan = answering
    more = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}
    options = options_of(minio_endpoint, proxy, s3_additional_kwargs=more)
    with opened("s3://bucket/x", options) as store:
        await put(store, "a")
        await read(store, "a")
        await store.exists("a")
        assert store.stats.native == 0
    header = "x-amz-server-side-encryption-customer-algorithm"
    assert [each.headers[header] for each in proxy.seen] == ["AES256"] * 4


async def test_signature_version_2(
    minio_endpoint: S3Endpoint, proxy: FaultProxy, log: pytest.LogCaptureFixture
) -> None:
    options = options_of(minio_endpoint, proxy, config_kwargs={"signature_version": "s3"})
    with opened(f"s3://{minio_endpoint.make_bucket()}/x", options) as store:
        await put(store, "a")
        assert await read(store, "a") == b"a"
        assert store.stats.native == 0
    assert all(each.headers["authorization"].startswith("AWS ") for each in proxy.seen)
    assert set(reasons(log).values()) == {"the kind of signature"}


async def test_options_of_connections(
    minio_endpoint: S3Endpoint, log: pytest.LogCaptureFixture
) -> None:
    options = options_of(minio_endpoint, config_kwargs={"connector_args": {"ttl_dns_cache": 60}})
    with opened(f"s3://{minio_endpoint.make_bucket()}/x", options) as store:
        await use(store)
        assert store.stats.native == 0
    assert set(reasons(log).values()) == {"connector_args"}


@pytest.mark.parametrize(
    "more",
    [
        {"default_cache_type": "none", "default_block_size": 2**20, "default_fill_cache": False},
        {"use_listings_cache": True, "listings_expiry_time": 60},
        {"version_aware": True},
        {"max_concurrency": 2, "fixed_upload_size": True},
        {"config_kwargs": {"connector_args": {"keepalive_timeout": 5}}},
        {"config_kwargs": {"s3": {"payload_signing_enabled": True}}},
        {"config_kwargs": {"request_checksum_calculation": "when_required"}},
        {"config_kwargs": {"signature_version": "s3v4"}},
    ],
    ids=str,
)
async def test_options_that_change_no_request(
    minio_endpoint: S3Endpoint, log: pytest.LogCaptureFixture, more: dict[str, Any]
) -> None:
    options = options_of(minio_endpoint, **more)
    with opened(f"s3://{minio_endpoint.make_bucket()}/x", options) as store:
        await use(store)
        assert store.stats.native == store.stats.requests
    assert reasons(log) == {}


@pytest.mark.parametrize("agent", ["test/1.0", "t\u00e9st/1.0"])
async def test_the_configured_user_agent(
    minio_endpoint: S3Endpoint, proxy: FaultProxy, agent: str
) -> None:
    options = options_of(minio_endpoint, proxy, config_kwargs={"user_agent_extra": agent})
    with opened(f"s3://{minio_endpoint.make_bucket()}/x", options) as store:
        await use(store)
        # s3fs encodes other characters, so it sends these requests.
        assert bool(store.stats.native) is agent.isascii()
    sent = {each.headers["user-agent"].encode("latin-1").decode() for each in proxy.seen}
    assert all(agent in each for each in sent)


# -- Endpoints of other services -------------------------------------------------------------------


async def endpoint_of(
    bucket: str = "bucket", method: str = "get_object", **options: Any
) -> Endpoint:
    fs = s3fs.S3FileSystem(
        asynchronous=True, skip_instance_cache=True, key="key", secret="secret", **options
    )
    try:
        endpoint, _ = await discover_endpoint(fs, bucket, method, lambda: tls_context(fs))
        return endpoint
    finally:
        await fs._s3creator.__aexit__(None, None, None)


@pytest.mark.parametrize(
    ("bucket", "config", "host", "path"),
    [
        ("bucket", {}, "bucket.s3.eu-west-1.amazonaws.com", "/"),
        ("bucket", {"addressing_style": "path"}, "s3.eu-west-1.amazonaws.com", "/bucket/"),
        ("dotted.bucket", {}, "s3.eu-west-1.amazonaws.com", "/dotted.bucket/"),
        ("bucket", {"use_accelerate_endpoint": True}, "bucket.s3-accelerate.amazonaws.com", "/"),
        (
            "bucket",
            {"use_dualstack_endpoint": True},
            "bucket.s3.dualstack.eu-west-1.amazonaws.com",
            "/",
        ),
        (
            "arn:aws:s3:eu-west-1:123456789012:accesspoint/door",
            {},
            "door-123456789012.s3-accesspoint.eu-west-1.amazonaws.com",
            "/",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else str(list(value)),
)
async def test_endpoints_of_amazon(
    bucket: str, config: dict[str, Any], host: str, path: str
) -> None:
    # botocore resolves some of these only with this option.
    dualstack = config.pop("use_dualstack_endpoint", False)
    endpoint = await endpoint_of(
        bucket,
        client_kwargs={"region_name": "eu-west-1"},
        config_kwargs={"s3": config, "use_dualstack_endpoint": dualstack},
    )
    assert (endpoint.host, endpoint.path) == (host, path)
    assert (endpoint.origin.host, endpoint.origin.port) == (host, 443)
    assert endpoint.origin.tls is not None
    assert endpoint.origin.tls.check_hostname
    # Over TLS botocore sends the checksum in a trailer, the native transport in a header.
    assert (await endpoint_of(method="put_object")).crc32


@pytest.mark.parametrize(
    ("endpoint", "host", "port"),
    [
        ("http://h.example:80", "h.example", 80),
        ("https://h.example:443/x", "h.example", 443),
        ("https://h.example:80", "h.example:80", 80),
        ("http://H.Example", "h.example", 80),
        ("http://[::1]:9000", "[::1]:9000", 9000),
        ("https://[::1]", "[::1]", 443),
    ],
)
async def test_the_signed_host_header(endpoint: str, host: str, port: int) -> None:
    found = await endpoint_of(endpoint_url=endpoint)
    assert (found.host, found.origin.port) == (host, port)
    assert found.origin.host in ("h.example", "::1")


@pytest.mark.parametrize(
    "bucket",
    [
        "arn:aws:s3-object-lambda:eu-west-1:123456789012:accesspoint/door",
        "arn:aws:s3-outposts:eu-west-1:123456789012:outpost/op-01234567890123456/accesspoint/door",
    ],
)
async def test_signatures_for_other_services(bucket: str) -> None:
    with pytest.raises(UnsupportedError, match="signature"):
        await endpoint_of(bucket, client_kwargs={"region_name": "eu-west-1"})


# -- The user's code -------------------------------------------------------------------------------


def mark(request: Any = None, params: Any = None, **_: Any) -> None:
    """A handler of botocore's events that adds a header."""
    headers = request.headers if request is not None else params["headers"]
    headers["x-marked"] = "yes"


@pytest.mark.parametrize("event", ["before-call", "request-created", "before-sign", "before-send"])
async def test_a_handler_that_adds_a_header_is_called(
    minio_endpoint: S3Endpoint, proxy: FaultProxy, log: pytest.LogCaptureFixture, event: str
) -> None:
    session = aiobotocore.session.AioSession()
    session.register(f"{event}.s3", mark)
    options = options_of(minio_endpoint, proxy, session=session)
    with opened(f"s3://{minio_endpoint.make_bucket()}/x", options) as store:
        await use(store)
        assert store.stats.native == 0
    assert all(each.headers["x-marked"] == "yes" for each in proxy.seen)
    assert set(reasons(log).values()) == {f"a handler of {__name__} for the event {event}"}


async def test_a_handler_of_one_call_leaves_the_others_alone(
    minio_endpoint: S3Endpoint, proxy: FaultProxy, log: pytest.LogCaptureFixture
) -> None:
    session = aiobotocore.session.AioSession()
    session.register("before-send.s3.PutObject", functools.partial(mark, more=1))
    options = options_of(minio_endpoint, proxy, session=session)
    with opened(f"s3://{minio_endpoint.make_bucket()}/x", options) as store:
        await use(store)
    puts = [each for each in proxy.seen if each.method == "PUT"]
    assert all(each.headers["x-marked"] == "yes" for each in puts)
    assert store.stats.native == store.stats.requests - len(puts)
    assert list(reasons(log)) == ["put_object"]


class Idle:
    """A disabled handler, such as moto's, which is registered on import."""

    enabled = False

    def __call__(self, **_: Any) -> None:
        raise AssertionError("idle")


async def test_a_disabled_handler_is_ignored() -> None:
    session = aiobotocore.session.AioSession()
    session.register("after-call.s3", Idle())
    assert await endpoint_of(session=session)
    Idle.enabled = True
    with pytest.raises(UnsupportedError, match="after-call"):
        await endpoint_of(session=session)


class Counted(s3fs.S3FileSystem):
    """Counts its calls."""

    protocol = ("s3", "s3a")
    calls: list[str] = []  # noqa: RUF012

    async def _call_s3(self, method: str, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(method)
        return await super()._call_s3(method, *args, **kwargs)


async def test_an_overridden_method_of_a_subclass_is_called(
    minio_endpoint: S3Endpoint, log: pytest.LogCaptureFixture
) -> None:
    fs = Counted(**options_of(minio_endpoint), skip_instance_cache=True)
    with FsspecStore(fs, f"{minio_endpoint.make_bucket()}/x") as store:
        Counted.calls.clear()
        await use(store)
        assert store.stats.native == 0
        # No further call for the discovery.
        assert len(Counted.calls) == store.stats.requests
    assert set(reasons(log).values()) == {"Counted._call_s3 overrides that of s3fs"}


class WithOptions(s3fs.S3FileSystem):
    """A subclass with another default that sends the same requests."""

    protocol = ("s3", "s3a")
    default_block_size = 2**20

    async def _ls(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("no store lists by it")


async def test_a_subclass_without_overrides_has_the_native_transport(
    minio_endpoint: S3Endpoint,
) -> None:
    fs = WithOptions(**options_of(minio_endpoint), skip_instance_cache=True)
    with FsspecStore(fs, f"{minio_endpoint.make_bucket()}/x") as store:
        await use(store)
        assert store.stats.native == store.stats.requests


@pytest.mark.parametrize("name", ["_call_s3", "get_s3", "set_session", "_filter_kwargs"])
async def test_wrapped_methods_of_s3fs_are_called(
    minio_endpoint: S3Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
    name: str,
) -> None:
    own = getattr(s3fs.S3FileSystem, name)

    @functools.wraps(own)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return own(*args, **kwargs)

    monkeypatch.setattr(s3fs.S3FileSystem, name, wrapped)
    options = options_of(minio_endpoint)
    with opened(f"s3://{minio_endpoint.make_bucket()}/x", options) as store:
        await use(store)
        assert store.stats.native == 0
    assert set(reasons(log).values()) == {f"S3FileSystem.{name} overrides that of s3fs"}
