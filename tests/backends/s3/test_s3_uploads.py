"""What protects the bodies of uploads: their signature, a checksum, or both."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from botocore.config import Config
from conformance.support import buf, content, read
from servers import S3Endpoint
from servers.certificates import Authority
from servers.fault_proxy import Damage, fault_proxy, the_first
from servers.scripted_s3 import Asked, Reply, ScriptedS3, error, scripted_s3

from fsspec_store import FsspecStore
from fsspec_store.errors import BackendError

from .s3_transports import said

UNSIGNED = "UNSIGNED-PAYLOAD"
UPLOADED = Reply(200, b"", {"ETag": "e"})
PARTS = {"large_value_bytes": 5 * 2**20, "part_bytes": 5 * 2**20}

#: Older releases of botocore have no such option, and send no checksums.
pytestmark = pytest.mark.skipif(
    "request_checksum_calculation" not in Config.OPTION_DEFAULTS,
    reason="this release of botocore sends no checksums of uploads",
)

Respond = Callable[[Asked], Reply]


def upload(request: Asked) -> Reply:
    """The response of a service that supports everything."""
    if request.method == "PUT":
        return UPLOADED
    if request.query.startswith("uploads"):
        body = b"<R><UploadId>1</UploadId></R>"
        return Reply(200, body, {"x-amz-checksum-algorithm": "CRC32"})
    if "delete" in request.query:
        return Reply(200, b"<DeleteResult/>")
    if request.method == "POST":
        return Reply(200, b"<R><ETag>e</ETag></R>")
    keys = "".join(
        f"<Contents><Key>x/d/{number}</Key><Size>1</Size></Contents>" for number in range(3)
    )
    listing = f"<ListBucketResult><IsTruncated>false</IsTruncated>{keys}</ListBucketResult>"
    return Reply(200, listing.encode())


@asynccontextmanager
async def opened(
    respond: Respond, authority: Authority | None, *, config: Any = None, **options: Any
) -> AsyncIterator[tuple[ScriptedS3, FsspecStore]]:
    """A service, over TLS with an authority, and a store on it."""
    tls = authority and authority.certificate()
    async with scripted_s3(respond, tls=tls) as server:
        storage = server.options(config_kwargs=config or {})
        options = {"retries": 0, "timeout": 10, **options}
        async with FsspecStore.from_url("s3://bucket/x", storage, **options) as store:
            yield server, store


@pytest.fixture(params=[False, True], ids=["http", "tls"])
def over(request: pytest.FixtureRequest, authority: Authority) -> Authority | None:
    return authority if request.param else None


def crc32_of(body: bytes) -> str:
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def check_body(request: Asked, *, is_signed: bool, crc32: bool = True) -> None:
    digest = hashlib.sha256(request.body).hexdigest()
    assert request.headers["x-amz-content-sha256"] == (digest if is_signed else UNSIGNED)
    checksum = request.headers.get("x-amz-checksum-crc32")
    assert checksum == (crc32_of(request.body) if crc32 else None)


@pytest.mark.parametrize("size", [0, 1000, 2**18 + 1])
async def test_a_body_is_signed_without_tls(over: Authority | None, size: int) -> None:
    async with opened(upload, over) as (server, store):
        await store.set("a", buf(content(size)))
        [request] = server.seen
        assert request.body == content(size)
        check_body(request, is_signed=over is None)
        assert store.stats.native == 1


async def test_a_part_is_signed_without_tls(over: Authority | None) -> None:
    async with opened(upload, over, **PARTS) as (server, store):
        await store.set("a", buf(content(6 * 2**20)))
        parts = [request for request in server.seen if request.method == "PUT"]
        assert len(parts) == 2
        for part in parts:
            check_body(part, is_signed=over is None)


async def test_a_bulk_delete_is_signed(over: Authority | None) -> None:
    async with opened(upload, over) as (server, store):
        await store.delete_dir("d")
        [request] = [request for request in server.seen if request.method == "POST"]
        check_body(request, is_signed=True, crc32=False)
        assert store.stats.native == store.stats.requests


@pytest.mark.parametrize(
    ("config", "is_signed", "crc32"),
    [
        ({"s3": {"payload_signing_enabled": True}}, True, True),
        ({"s3": {"payload_signing_enabled": False}}, False, True),
        ({"request_checksum_calculation": "when_required"}, True, False),
    ],
    ids=["signing is enabled", "signing is disabled", "without checksums"],
)
async def test_a_body_is_signed_as_configured(
    over: Authority | None, config: Any, is_signed: bool, crc32: bool
) -> None:
    async with opened(upload, over, config=config) as (server, store):
        await store.set("a", buf(b"value"))
        check_body(server.seen[0], is_signed=is_signed, crc32=crc32)
        assert store.stats.native == 1


async def test_a_body_is_signed_where_certificates_are_not_verified(authority: Authority) -> None:
    async with scripted_s3(upload, tls=authority.certificate()) as server:
        client = {"region_name": "us-east-1", "verify": False}
        storage = server.options(client_kwargs=client)
        async with FsspecStore.from_url("s3://bucket/x", storage, retries=0) as store:
            await store.set("a", buf(b"value"))
            check_body(server.seen[0], is_signed=True)
            assert store.stats.native == 1


UNSUPPORTED = [
    error(400, "InvalidArgument"),
    error(501, "NotImplemented"),
    # The service computes the hash of the body, and compares it with the text or the signature.
    error(400, "XAmzContentSHA256Mismatch"),
    error(403, "SignatureDoesNotMatch"),
]


@pytest.mark.parametrize("rejected", UNSUPPORTED, ids=lambda reply: reply.body[13:35].decode())
@pytest.mark.parametrize("feature", ["checksums", "unsigned bodies"])
async def test_a_body_is_signed_where_another_one_is_unsupported(
    authority: Authority, caplog: pytest.LogCaptureFixture, feature: str, rejected: Reply
) -> None:
    def is_rejected(request: Asked) -> bool:
        if feature == "checksums":
            return not request.headers.keys().isdisjoint({"x-amz-checksum-crc32", "x-amz-trailer"})
        return "UNSIGNED" in request.headers["x-amz-content-sha256"]

    def respond(request: Asked) -> Reply:
        return rejected if request.method == "PUT" and is_rejected(request) else upload(request)

    async with opened(respond, authority, **PARTS) as (server, store):
        for number in range(3):
            await store.set(f"a/{number}", buf(content(100)))
        await store.set("b", buf(content(6 * 2**20)))
        uploads = [request for request in server.seen if request.method == "PUT"]
        check_body(uploads[0], is_signed=False)
        accepted = [request for request in uploads if not is_rejected(request)]
        assert len(accepted) == 5
        for request in accepted:
            check_body(request, is_signed=True, crc32=False)
        # s3fs repeats a request whose signature is invalid.
        assert len(uploads) == 6 + (b"Signature" in rejected.body)
        assert store.stats.retries == 0
    [warning] = [text for text in said(caplog) if "from now on" in text]
    assert warning.startswith(f"{server.url} does not support x-amz-checksum-* (")
    assert "SHA-256" in warning


async def test_a_body_that_differs_from_its_hash_is_not_a_missing_feature() -> None:
    mismatch = error(400, "XAmzContentSHA256Mismatch")
    async with opened(lambda request: mismatch, None, retries=1) as (server, store):
        with pytest.raises(BackendError, match="XAmzContentSHA256Mismatch"):
            await store.set("a", buf(b"value"))
        assert len(server.seen) == 2
        for request in server.seen:
            check_body(request, is_signed=True)


async def test_a_service_verifies_the_checksum_of_an_unsigned_body(
    endpoint: S3Endpoint, authority: Authority
) -> None:
    data = content(100_000)
    url = f"s3://{endpoint.make_bucket()}/x"
    with fault_proxy(endpoint.url, authority.certificate().server_context()) as proxy:
        storage = replace(endpoint, url=proxy.url, ca=authority.ca).storage_options()
        async with FsspecStore.from_url(url, storage, retries=1) as store:
            proxy.plan = the_first(1, Damage.REQUEST, method="PUT")
            await store.set("a", buf(data))
            assert await read(store, "a") == data
            proxy.plan = lambda method, target, headers: Damage.REQUEST
            with pytest.raises(BackendError, match=r"BadDigest|ChecksumMismatch"):
                await store.set("b", buf(data))
            assert await store.get("b") is None
        uploads = [request for request in proxy.seen if request.method == "PUT"]
        assert [request.status for request in uploads] == [400, 200, 400, 400]
        assert {request.headers["x-amz-content-sha256"] for request in uploads} == {UNSIGNED}
