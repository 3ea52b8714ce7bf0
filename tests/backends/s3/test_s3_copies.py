"""Copies on S3 services: in one request and in parts, by both transports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from conformance.support import buf, content, put, read
from servers import S3Endpoint
from servers.fault_proxy import Answer, Fault, FaultProxy, Seen, the_first
from servers.scripted_s3 import Reply, scripted_s3

from fsspec_store import FsspecStore
from fsspec_store._backends.s3.copy_messages import copy_headers
from fsspec_store._backends.s3.requests import CopyObject
from fsspec_store.errors import (
    AccessDeniedError,
    BackendError,
    BucketNotFoundError,
    KeyNotFoundError,
    VersionMismatchError,
)

from .s3_transports import options_of

PART = 5 * 2**20
DATA = content(2 * PART + 1)
TOO_LARGE = Answer(
    400, {}, b"<Error><Code>InvalidRequest</Code><Message>too large</Message></Error>"
)
METADATA: dict[str, Any] = {
    "CacheControl": "no-cache",
    "ContentDisposition": "inline",
    "ContentEncoding": "zstd",
    "ContentLanguage": "en",
    "ContentType": "text/x-test",
    "Metadata": {"colour": "blue"},
}


@pytest.fixture
def bucket(endpoint: S3Endpoint) -> str:
    return endpoint.make_bucket()


@pytest.fixture
def client(endpoint: S3Endpoint) -> Iterator[Any]:
    with closing(endpoint.client()) as client:
        yield client


@pytest.fixture
def open_store(endpoint: S3Endpoint, bucket: str, proxy: FaultProxy, transport: str) -> Any:
    options = {"large_value_bytes": PART, "part_bytes": PART, "transport": transport}

    def open_(**more: Any) -> FsspecStore:
        storage = options_of(endpoint, proxy)
        return FsspecStore.from_url(f"s3://{bucket}/x", storage, **{**options, **more})

    return open_


def is_part(target: str) -> bool:
    return "partNumber=" in target


def copies_at_once(method: str, target: str, headers: Mapping[str, str]) -> bool:
    return method == "PUT" and "x-amz-copy-source" in headers and not is_part(target)


def part_copies(seen: list[Seen]) -> list[Seen]:
    return [each for each in seen if each.method == "PUT" and is_part(each.target)]


def too_large(
    further: Callable[[str, str], Any] = lambda method, target: None,
) -> Callable[[str, str, Mapping[str, str]], Any]:
    """A plan: the service refuses to copy in one request, and ``further`` decides on others."""

    def plan(method: str, target: str, headers: Mapping[str, str]) -> Any:
        return TOO_LARGE if copies_at_once(method, target, headers) else further(method, target)

    return plan


def kept(head: Mapping[str, Any]) -> dict[str, Any]:
    return {name: head.get(name) for name in METADATA if name != "Metadata"}


def uploads(client: Any, bucket: str) -> list[Any]:
    found: list[Any] = client.list_multipart_uploads(Bucket=bucket, Prefix="x/").get("Uploads", [])
    return found


async def test_a_copy_keeps_metadata(open_store: Any, client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="x/a", Body=b"value", **METADATA)
    async with open_store() as store:
        await store.copy_from(store, "a", "b")
        assert await read(store, "b") == b"value"
    before, after = (client.head_object(Bucket=bucket, Key=key) for key in ("x/a", "x/b"))
    assert kept(after) == kept(before)
    assert after["Metadata"] == {"colour": "blue"}


@pytest.mark.parametrize("cause", [TOO_LARGE, Fault.DELAYED], ids=["too large", "too slow"])
async def test_what_one_request_cannot_copy_is_copied_in_parts(
    open_store: Any, client: Any, bucket: str, proxy: FaultProxy, cause: Any
) -> None:
    client.put_object(Bucket=bucket, Key="x/a b+c", Body=DATA, **METADATA)
    async with open_store(timeout=2) as store:
        version = (await store.get_version("a b+c")).version
        # The first one probes the service.
        await store.copy_from(store, "a b+c", "first", version=version)
        struck = iter([cause])
        proxy.plan = lambda *request: next(struck, None) if copies_at_once(*request) else None
        with proxy.watching() as seen:
            await store.copy_from(store, "a b+c", "d e+f", version=version)
        proxy.plan = lambda *request: None
        assert await read(store, "d e+f") == DATA
    parts = part_copies(seen)
    ranges = sorted(each.headers["x-amz-copy-source-range"] for each in parts)
    end = 2 * PART
    assert ranges == [f"bytes=0-{PART - 1}", f"bytes={end}-{end}", f"bytes={PART}-{end - 1}"]
    assert {each.headers["x-amz-copy-source-if-match"] for each in parts} == {version}
    others = [each.method for each in seen if not is_part(each.target)]
    assert others == ["PUT", "HEAD", "POST", "HEAD", "POST"]
    # The bytes stay on the service.
    assert all(int(each.headers.get("content-length", 0)) < 10_000 for each in seen)
    before, after = (
        client.head_object(Bucket=bucket, Key=f"x/{key}") for key in ("a b+c", "d e+f")
    )
    assert kept(after) == kept(before)
    assert after["Metadata"]["colour"] == "blue"
    assert uploads(client, bucket) == []


async def test_a_small_value_whose_copy_takes_long_is_copied_again(
    open_store: Any, proxy: FaultProxy
) -> None:
    async with open_store(timeout=1) as store:
        await put(store, "a")
        proxy.plan = the_first(1, Fault.DELAYED, method="PUT")
        with proxy.watching() as seen:
            await store.copy_from(store, "a", "b")
        assert await read(store, "b") == b"a"
    assert [each.method for each in seen] == ["PUT", "HEAD", "PUT"]


async def test_a_copy_in_parts_that_fails_leaves_nothing(
    open_store: Any, client: Any, bucket: str, proxy: FaultProxy
) -> None:
    denied = Answer(403, {}, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
    async with open_store() as store:
        await store.set("a", buf(DATA))
        proxy.plan = too_large(lambda method, target: denied if "partNumber=2" in target else None)
        with pytest.raises(AccessDeniedError, match=r"copy 'a' in s3://.* to 'b' in s3://"):
            await store.copy_from(store, "a", "b")
        assert not await store.exists("b")
    assert uploads(client, bucket) == []


async def test_a_copy_in_parts_is_of_one_version(
    open_store: Any, client: Any, bucket: str, proxy: FaultProxy
) -> None:
    def replace(method: str, target: str) -> None:
        if "partNumber=2" in target:
            client.put_object(Bucket=bucket, Key="x/a", Body=DATA[::-1])

    async with open_store() as store:
        await store.set("a", buf(DATA))
        proxy.plan = too_large(replace)
        with pytest.raises(VersionMismatchError):
            await store.copy_from(store, "a", "b")
        assert not await store.exists("b")
    assert uploads(client, bucket) == []


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.RESET, Fault.UNAVAILABLE])
async def test_a_copy_whose_response_is_lost_is_sent_again(
    open_store: Any, proxy: FaultProxy, fault: Fault
) -> None:
    async with open_store() as store:
        await put(store, "a")
        proxy.plan = the_first(1, fault, method="PUT")
        with proxy.watching() as seen:
            await store.copy_from(store, "a", "b")
        assert await read(store, "b") == b"a"
    assert [each.method for each in seen] == ["PUT", "PUT"]


async def test_a_copy_in_parts_whose_last_response_is_lost_succeeds(
    open_store: Any, client: Any, bucket: str, proxy: FaultProxy
) -> None:
    async with open_store() as store:
        await store.set("a", buf(DATA))
        struck = iter([Fault.LOST])
        completes = lambda method, target: method == "POST" and "uploadId=" in target  # noqa: E731
        proxy.plan = too_large(
            lambda method, target: next(struck, None) if completes(method, target) else None
        )
        await store.copy_from(store, "a", "b")
        assert await read(store, "b") == DATA
    assert uploads(client, bucket) == []


async def test_an_error_after_the_status_200_is_an_error(
    open_store: Any, proxy: FaultProxy
) -> None:
    def failing(code: str) -> Answer:
        # White space is sent while the service copies.
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n  \n<Error><Code>{code}</Code></Error>'
        return Answer(200, {"Content-Type": "application/xml"}, text.encode())

    async with open_store(retries=1) as store:
        await put(store, "a")
        proxy.plan = the_first(1, failing("InternalError"), method="PUT")
        await store.copy_from(store, "a", "b")
        assert await read(store, "b") == b"a"
        proxy.plan = lambda method, *rest: failing("InternalError") if method == "PUT" else None
        with pytest.raises(BackendError, match="InternalError"):
            await store.copy_from(store, "a", "c")
        proxy.plan = lambda *request: None
        assert not await store.exists("c")


@pytest.mark.parametrize("body", [b"", b"<html>sign in</html>", b"<CopyObjectResult/>"])
async def test_another_response_than_a_copy_is_an_error(
    open_store: Any, proxy: FaultProxy, body: bytes
) -> None:
    async with open_store(retries=0) as store:
        await put(store, "a")
        proxy.plan = lambda method, *rest: Answer(200, {}, body) if method == "PUT" else None
        with pytest.raises(BackendError):
            await store.copy_from(store, "a", "b")


async def test_a_service_without_copies_gets_the_value_from_the_client(
    open_store: Any, proxy: FaultProxy
) -> None:
    missing = Answer(501, {}, b"<Error><Code>NotImplemented</Code><Message>no</Message></Error>")
    async with open_store() as store:
        await put(store, "a")
        proxy.plan = lambda *request: missing if copies_at_once(*request) else None
        with proxy.watching() as seen:
            await store.copy_from(store, "a", "b")
        assert await read(store, "b") == b"a"
    assert [each.method for each in seen] == ["PUT", "GET", "PUT"]


async def test_a_service_is_probed_before_the_first_copy_of_one_version(
    open_store: Any, client: Any, bucket: str, proxy: FaultProxy
) -> None:
    async with open_store() as store:
        await put(store, "a")
        version = (await store.get_version("a")).version
        for methods in (["PUT", "PUT", "DELETE", "PUT"], ["PUT"]):
            with proxy.watching() as seen:
                await store.copy_from(store, "a", "c/b", version=version)
            assert [each.method for each in seen] == methods
        assert await read(store, "c/b") == b"a"
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["x/a", "x/c/b"]


async def test_a_service_that_ignores_the_condition_gets_the_value_from_the_client(
    open_store: Any, proxy: FaultProxy
) -> None:
    copied = b"<CopyObjectResult><ETag>e</ETag></CopyObjectResult>"
    async with open_store() as store:
        await put(store, "a")
        version = (await store.get_version("a")).version
        proxy.plan = lambda *request: Answer(200, {}, copied) if copies_at_once(*request) else None
        with proxy.watching() as seen:
            await store.copy_from(store, "a", "b", version=version)
        assert [each.method for each in seen] == ["PUT", "PUT", "DELETE", "DELETE", "GET", "PUT"]
        assert await read(store, "b") == b"a"
        await put(store, "a", data=b"new")
        with pytest.raises(VersionMismatchError):
            await store.copy_from(store, "a", "b", version=version)
        assert await read(store, "b") == b"a"


async def test_a_missing_bucket_is_an_error(
    open_store: Any, endpoint: S3Endpoint, proxy: FaultProxy, transport: str
) -> None:
    url = "s3://there-is-no-such-bucket/x"
    other = FsspecStore.from_url(url, options_of(endpoint, proxy), transport=transport, retries=0)
    # SeaweedFS states an internal error.
    error = BackendError if endpoint.name == "seaweedfs" else BucketNotFoundError
    async with open_store() as store, other:
        await put(store, "a")
        with pytest.raises(error):
            await other.copy_from(store, "a")
        with pytest.raises(BucketNotFoundError):
            await store.copy_from(other, "a")
        with pytest.raises(KeyNotFoundError):
            await store.copy_from(store, "missing", "b")


async def test_copies_go_by_the_transport_of_the_store(open_store: Any, transport: str) -> None:
    async with open_store() as store:
        await put(store, "a")
        before = store.stats.native
        await store.copy_from(store, "a", "b")
        assert store.stats.native - before == (transport == "auto")


async def test_a_copy_has_the_users_encryption_keys_of_both_objects() -> None:
    copied = b"<CopyObjectResult><ETag>e</ETag></CopyObjectResult>"
    keys = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}
    async with scripted_s3(lambda request: Reply(200, copied)) as server:
        storage = server.options(s3_additional_kwargs=keys)
        async with FsspecStore.from_url("s3://bucket/x", storage, retries=0) as store:
            await store.copy_from(store, "a", "b")
    [request] = server.seen
    names = ("server-side-encryption-customer", "copy-source-server-side-encryption-customer")
    for name in names:
        assert request.headers[f"x-amz-{name}-algorithm"] == "AES256"
        assert request.headers[f"x-amz-{name}-key-md5"]
    assert request.headers["x-amz-copy-source"] == "bucket/x/a"


def test_the_source_is_quoted() -> None:
    access_point = "arn:aws:s3:us-east-1:123456789012:accesspoint/name"
    for bucket, expected in (
        ("bucket", "bucket/a%20b%2Bc/%C3%BC%3F%23%25"),
        (access_point, f"{access_point.replace(':', '%3A')}/object/a%20b%2Bc/%C3%BC%3F%23%25"),
    ):
        headers = copy_headers(CopyObject("target", "key", (bucket, "a b+c/ü?#%"), '"e"'))
        assert headers == {
            "x-amz-copy-source": expected,
            "x-amz-copy-source-if-match": '"e"',
        }
