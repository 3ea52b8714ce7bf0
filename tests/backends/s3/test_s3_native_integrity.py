"""Both transports detect corruption in transit, and responses of other servers than S3."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing
from functools import cache
from typing import Any

import pytest
from conformance.support import buf, content, listed, put, read
from servers import S3Endpoint
from servers.fault_proxy import Answer, Damage, FaultProxy, fault_proxy, no_faults, the_first
from servers.scripted import Peer, scripted_server

from fsspec_store import (
    FsspecStore,
    OffsetByteRequest,
    RangeByteRequest,
    StoreError,
)
from fsspec_store.errors import BackendError

from .s3_transports import opened, options_of

_places = itertools.count()


@cache
def _bucket(endpoint: S3Endpoint) -> str:
    return endpoint.make_bucket()


@pytest.fixture
def open_store(endpoint: S3Endpoint, proxy: FaultProxy, transport: str) -> Iterator[Any]:
    """Opens stores at a new location, through the proxy."""
    url, storage = f"s3://{_bucket(endpoint)}/{next(_places)}", options_of(endpoint, proxy)
    made = []
    with ExitStack() as stack:

        def open_(**options: Any) -> FsspecStore:
            store = stack.enter_context(opened(url, storage, transport=transport, **options))
            made.append(store)
            return store

        yield open_
        assert all(bool(store.stats.native) is (transport == "auto") for store in made)


@pytest.fixture
def store(open_store: Any) -> FsspecStore:
    store: FsspecStore = open_store()
    return store


# -- Corrupt bodies --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100_000, 3 * 2**20])
async def test_an_upload_corrupted_in_transit_is_retried(
    store: FsspecStore, proxy: FaultProxy, size: int
) -> None:
    await put(store, "before")
    data = content(size)
    proxy.plan = the_first(2, Damage.REQUEST, method="PUT")
    with proxy.watching() as seen:
        await put(store, "a", data=data)
    assert [each.status for each in seen] == [400, 400, 200]
    assert await read(store, "a") == data
    assert store.stats.retries == 2


async def test_an_upload_that_is_always_corrupted_is_never_stored(
    store: FsspecStore, proxy: FaultProxy
) -> None:
    await put(store, "a", data=b"old")
    proxy.plan = lambda method, target, headers: Damage.REQUEST if method == "PUT" else None
    for call in (put(store, "a", data=b"new"), put(store, "b", data=b"new")):
        with pytest.raises(BackendError, match=r"BadDigest|SHA256Mismatch|ChecksumMismatch"):
            await call
    proxy.plan = no_faults
    assert await read(store, "a") == b"old"
    assert await store.get("b") is None


async def test_a_corrupted_conditional_upload_is_retried(
    store: FsspecStore, proxy: FaultProxy
) -> None:
    await store.set_if_not_exists("first", buf(b"x"))
    proxy.plan = the_first(1, Damage.REQUEST, method="PUT")
    await store.set_if_not_exists("a", buf(b"right"))
    assert await read(store, "a") == b"right"
    version = (await store.get_version("a")).version
    proxy.plan = the_first(1, Damage.REQUEST, method="PUT")
    await store.set("a", buf(b"other"), if_match=version)
    assert await read(store, "a") == b"other"


async def test_a_corrupted_part_of_an_upload_is_retried(open_store: Any, proxy: FaultProxy) -> None:
    # The minimum size of a part.
    store = open_store(large_value_bytes=5 * 2**20, part_bytes=5 * 2**20)
    data = content(6 * 2**20)
    proxy.plan = the_first(1, Damage.REQUEST, method="PUT")
    await put(store, "a", data=data)
    assert [each.status for each in proxy.seen if each.method == "PUT"] == [400, 200, 200]
    assert await read(store, "a") == data


@pytest.mark.parametrize("page", [b"", b"<html><body>Log in</body></html>"], ids=["none", "HTML"])
@pytest.mark.parametrize("which", ["uploads", "uploadId"])
async def test_a_multipart_upload_needs_responses_of_s3(
    open_store: Any, proxy: FaultProxy, which: str, page: bytes
) -> None:
    store = open_store(large_value_bytes=2**19)
    data = content(2**20)

    def plan(method: str, target: str, headers: Any) -> Answer | None:
        is_it = method == "POST" and which in target
        return Answer(200, {}, page) if is_it and next(times) < 1 else None

    times = itertools.count()
    proxy.plan = plan
    await put(store, "a", data=data)
    assert next(times) > 1
    assert await read(store, "a") == data
    times = itertools.repeat(0)
    with pytest.raises(BackendError, match="does not speak S3"):
        await put(store, "b", data=data)
    assert await store.get("b") is None


@pytest.mark.parametrize("size", [100_000, 3 * 2**20])
async def test_a_whole_value_corrupted_in_transit_is_read_again(
    endpoint: S3Endpoint, store: FsspecStore, proxy: FaultProxy, size: int
) -> None:
    data = content(size)
    await put(store, "a", data=data)
    bucket, _, root = store.path.partition("/")
    with closing(endpoint.client()) as client:
        found = client.head_object(Bucket=bucket, Key=f"{root}/a", ChecksumMode="ENABLED")
    if "ChecksumCRC32" not in found:
        pytest.skip(f"cannot: {endpoint.name} states no checksum")
    proxy.plan = the_first(1, Damage.ANSWER, method="GET")
    assert await read(store, "a") == data
    assert store.stats.retries == 1
    proxy.plan = lambda method, target, headers: Damage.ANSWER
    with pytest.raises(BackendError, match=r"(?i)checksum|crc"):
        await store.get("a")


async def test_a_large_value_corrupted_in_transit_is_read_again(
    open_store: Any, proxy: FaultProxy
) -> None:
    data = content(9 * 2**20)
    # In one request: the services state the checksum of the whole value.
    await put(open_store(), "a", data=data)
    store = open_store(large_value_bytes=2**20)
    with proxy.watching() as seen:
        assert await read(store, "a") == data
    # In parts: the end is read by another request.
    assert len(seen) == 2
    proxy.plan = the_first(1, Damage.ANSWER, method="GET")
    assert await read(store, "a") == data
    proxy.plan = lambda method, target, headers: Damage.ANSWER if method == "GET" else None
    with pytest.raises(BackendError):
        await store.get("a")


@pytest.mark.parametrize("request_", [None, OffsetByteRequest(0)], ids=str)
async def test_a_value_without_a_stated_length_is_an_error(transport: str, request_: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b'HTTP/1.1 200 OK\r\nETag: "x"\r\n\r\nhalf of it')

    async with scripted_server(script) as server:
        options = {
            "endpoint_url": f"http://{server.host}:{server.port}",
            "key": "key",
            "secret": "secret",
        }
        with opened("s3://bucket/x", options, transport=transport) as store:
            with pytest.raises(BackendError, match="states no length"):
                await store.get("a", byte_range=request_)
            # Retried as transient: a proxy may be the cause.
            assert store.stats.retries == 2


async def test_compressed_values_are_returned_as_stored(
    endpoint: S3Endpoint, store: FsspecStore
) -> None:
    data = gzip.compress(b"value" * 1000, mtime=0)
    bucket, _, root = store.path.partition("/")
    with closing(endpoint.client()) as client:
        client.put_object(Bucket=bucket, Key=f"{root}/a", Body=data, ContentEncoding="gzip")
    assert await read(store, "a") == data
    assert await read(store, "a", RangeByteRequest(1, 5)) == data[1:5]
    assert await store.getsize("a") == len(data)


# -- Unexpected responses --------------------------------------------------------------------------

PAGE = b"<!DOCTYPE html><p>oops<br>"
DOCUMENT = b"<html><body>oops</body></html>"
LIST = b"<ListBucketResult><IsTruncated>%s</IsTruncated>%s</ListBucketResult>"
UNEXPECTED = {
    **{f"{status}, a page": Answer(status, {}, PAGE) for status in (200, 400, 403, 404, 500)},
    **{f"{status}, XML": Answer(status, {}, DOCUMENT) for status in (200, 403, 404, 500)},
    **{f"{status}, nothing": Answer(status) for status in (400, 403, 404, 500)},
    "403, no code": Answer(403, {}, b"<Error><Message>oops</Message></Error>"),
    "200, an error": Answer(200, {}, b"<Error><Code>InternalError</Code></Error>"),
    "200, another list": Answer(200, {}, b"<ListAllMyBucketsResult/>"),
    "200, no next page": Answer(200, {}, LIST % (b"true", b"")),
    "200, no sizes": Answer(200, {}, LIST % (b"false", b"<Contents><Key>x/a</Key></Contents>")),
    "200, no length": Answer(200, {"Content-Length": "\xb2"}),
    # Last, since s3fs accepts some of these: after three s3fs makes all calls.
    **{f"{status}, nothing": Answer(status) for status in (200, 204, 206)},
}
Call = Callable[[FsspecStore], Awaitable[Any]]
CALLS: dict[str, tuple[str, Call]] = {
    "get": ("GET", lambda store: read(store, "a")),
    "get a range": ("GET", lambda store: read(store, "a", RangeByteRequest(1, 3))),
    "exists": ("HEAD", lambda store: store.exists("a")),
    "getsize": ("HEAD", lambda store: store.getsize("a")),
    "set": ("PUT", lambda store: put(store, "b")),
    "delete": ("DELETE", lambda store: store.delete("b")),
    "delete_dir": ("POST", lambda store: store.delete_dir("c")),
    "list": ("GET", lambda store: listed(store.list())),
}


@pytest.mark.parametrize("call", CALLS)
async def test_an_unexpected_response_means_the_same_by_both_transports(
    minio_endpoint: S3Endpoint, call: str
) -> None:
    verb, act = CALLS[call]
    bucket = minio_endpoint.make_bucket()
    found: dict[str, dict[str, str]] = {"auto": {}, "library": {}}
    with fault_proxy(minio_endpoint.url) as proxy:
        for transport in found:
            url, options = f"s3://{bucket}/x", options_of(minio_endpoint, proxy)
            with opened(url, options, transport=transport, retries=0) as store:
                await put(store, "a", "c/0")
                await store.exists("a")
                for name, answer in UNEXPECTED.items():
                    if call == "delete_dir" and answer.status == 400:
                        # Keys are deleted one by one after that.
                        continue
                    before = store.stats.requests
                    proxy.plan = lambda method, target, headers, answer=answer: (
                        answer if method == verb else None
                    )
                    with proxy.watching() as seen:
                        try:
                            found[transport][name] = repr(await act(store))
                        except StoreError as error:
                            found[transport][name] = type(error).__name__
                    # botocore sends a HeadBucket after a 400 to a HEAD.
                    asked = [each for each in seen if each.target != f"/{bucket}"]
                    assert store.stats.requests - before == len(asked), name
                proxy.plan = no_faults
                # s3fs does not make all calls yet.
                assert transport == "library" or store.stats.native > len(UNEXPECTED)
                await store.aclose()
    assert found["auto"] == found["library"]
    if call == "list":
        # Never an empty listing.
        assert found["auto"].pop("200, no sizes") == "['a']"
        assert found["auto"].pop("200, no length") == "UnreachableError"
        assert set(found["auto"].values()) <= {"BackendError", "AccessDeniedError"}


async def test_single_unexpected_responses_do_not_end_the_native_transport(
    minio_endpoint: S3Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "fsspec_store.s3")
    bucket = minio_endpoint.make_bucket()
    with (
        fault_proxy(minio_endpoint.url) as proxy,
        opened(f"s3://{bucket}/x", options_of(minio_endpoint, proxy)) as store,
    ):
        await put(store, "a")
        for _ in range(2):
            proxy.plan = the_first(1, Answer(404, {}, PAGE), method="GET")
            # Not missing: the response was not from S3.
            assert await read(store, "a") == b"a"
        native = store.stats.native
        assert await read(store, "a") == b"a"
        assert store.stats.native == native + 1
        # After three unexpected responses s3fs makes all calls.
        proxy.plan = the_first(1, Answer(404, {}, PAGE), method="GET")
        assert await read(store, "a") == b"a"
        native = store.stats.native
        assert await read(store, "a") == b"a"
        assert store.stats.native == native
        assert store.stats.requests == len(proxy.seen)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        *[
            f"a request to the S3 bucket {bucket!r} went through s3fs: "
            "the status 404 without an S3 error body"
        ]
        * 2,
        f"requests to the S3 bucket {bucket!r} go through s3fs: "
        "the status 404 without an S3 error body",
    ]
