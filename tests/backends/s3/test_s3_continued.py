"""Copies in parts that find an unfinished upload of another program."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from conformance.support import content, put, read
from servers import S3Endpoint
from servers.fault_proxy import Answer, FaultProxy, fault_proxy
from servers.roots import new_root

from fsspec_store import FsspecStore

PART = 5 * 2**20
DATA = content(2 * PART + 1)


@pytest.fixture
def proxy(minio_endpoint: S3Endpoint) -> Iterator[FaultProxy]:
    with fault_proxy(minio_endpoint.url) as running:
        yield running


@pytest.fixture
def url(minio_endpoint: S3Endpoint) -> str:
    return f"s3://{new_root(minio_endpoint)}"


@pytest.fixture
async def source() -> FsspecStore:
    store = FsspecStore.from_url(f"memory://{uuid4()}", part_bytes=PART)
    await put(store, "a", data=DATA)
    return store


@pytest.fixture
async def store(
    minio_endpoint: S3Endpoint, proxy: FaultProxy, url: str
) -> AsyncIterator[FsspecStore]:
    options = replace(minio_endpoint, url=proxy.url).storage_options()
    async with FsspecStore.from_url(url, options, part_bytes=PART) as store:
        yield store


def begin(endpoint: S3Endpoint, url: str, parts: dict[int, bytes], **options: Any) -> None:
    """An unfinished upload of the key "a"."""
    bucket, _, root = url.removeprefix("s3://").partition("/")
    client, target = endpoint.client(), {"Bucket": bucket, "Key": f"{root}/a"}
    upload = client.create_multipart_upload(**target, **options)["UploadId"]
    for number, body in parts.items():
        client.upload_part(**target, UploadId=upload, PartNumber=number, Body=body, **options)
    client.close()


@pytest.mark.parametrize(
    ("parts", "options", "sent"),
    [
        ({1: DATA[:PART], 3: DATA[-1:]}, {}, 1),
        ({1: DATA[:PART], 3: DATA[-1:]}, {"ChecksumAlgorithm": "CRC32"}, 1),
        # A completion would need the checksums of all parts.
        ({1: DATA[:PART]}, {"ChecksumAlgorithm": "SHA256"}, 3),
        ({2: DATA[:PART]}, {}, 3),
        # Parts of another size, and more parts than the value has.
        ({1: DATA[: PART + 1]}, {}, 3),
        ({1: DATA[:PART], 4: b"x"}, {}, 3),
    ],
    ids=["parts", "CRC-32", "SHA-256", "another number", "another size", "too many"],
)
async def test_only_parts_that_fit_are_used(
    minio_endpoint: S3Endpoint,
    proxy: FaultProxy,
    url: str,
    source: FsspecStore,
    store: FsspecStore,
    parts: dict[int, bytes],
    options: dict[str, Any],
    sent: int,
) -> None:
    begin(minio_endpoint, url, parts, **options)
    await store.copy_from(source, "a")
    assert [each.method for each in proxy.seen].count("PUT") == sent
    assert await read(store, "a") == DATA


async def test_the_newest_upload_of_the_same_key_is_used(
    minio_endpoint: S3Endpoint, proxy: FaultProxy, url: str, source: FsspecStore, store: FsspecStore
) -> None:
    begin(minio_endpoint, url, {})
    begin(minio_endpoint, url, {1: DATA[:PART]})
    begin(minio_endpoint, f"{url}/a", {1: DATA[:PART], 2: DATA[PART : 2 * PART]})
    await store.copy_from(source, "a")
    assert [each.method for each in proxy.seen].count("PUT") == 2
    assert await read(store, "a") == DATA


async def test_an_upload_with_options_of_the_user_is_a_new_one(
    minio_endpoint: S3Endpoint, proxy: FaultProxy, url: str, source: FsspecStore
) -> None:
    begin(minio_endpoint, url, {1: DATA[:PART]})
    options = {
        **replace(minio_endpoint, url=proxy.url).storage_options(),
        "s3_additional_kwargs": {"ContentType": "application/x-part"},
    }
    async with FsspecStore.from_url(url, options, part_bytes=PART) as store:
        await store.copy_from(source, "a")
        assert [each.method for each in proxy.seen] == ["POST", "PUT", "PUT", "PUT", "POST"]
        assert await read(store, "a") == DATA


def other_parts(proxy: FaultProxy, *are_other: bool) -> None:
    """Respond to some of the completions with the ETag of other parts."""
    etag = f"&quot;{'0' * 32}-3&quot;"
    result = f"<ETag>{etag}</ETag>"
    completed = f"<CompleteMultipartUploadResult>{result}</CompleteMultipartUploadResult>".encode()
    answer = Answer(200, {"Content-Type": "application/xml"}, completed)
    left = iter(are_other)

    def plan(method: str, target: str, headers: Mapping[str, str]) -> Answer | None:
        is_completion = method == "POST" and "uploadId=" in target
        return answer if is_completion and next(left, False) else None

    proxy.plan = plan


async def puts(proxy: FaultProxy, source: FsspecStore, store: FsspecStore, to: str = "a") -> int:
    """Number of parts that a copy sends."""
    with proxy.watching() as seen:
        await store.copy_from(source, "a", to)
    return [each.method for each in seen].count("PUT")


@pytest.mark.parametrize("parts", [{1: DATA[:PART]}, {}], ids=["continued", "begun"])
async def test_a_completion_of_other_parts_is_repeated_with_a_new_upload(
    minio_endpoint: S3Endpoint,
    proxy: FaultProxy,
    url: str,
    source: FsspecStore,
    store: FsspecStore,
    parts: dict[int, bytes],
) -> None:
    """Another writer may continue an upload, and replace its parts, until it is completed."""
    if parts:
        begin(minio_endpoint, url, parts)
    other_parts(proxy, True)
    assert await puts(proxy, source, store) == 3 - len(parts) + 3
    assert await read(store, "a") == DATA


async def test_each_completion_is_checked_on_a_service_with_composite_md5s(
    proxy: FaultProxy, source: FsspecStore, store: FsspecStore
) -> None:
    other_parts(proxy, False, True, False, True, False)
    assert [await puts(proxy, source, store, to) for to in "abc"] == [3, 3 + 3, 3 + 3]


async def test_a_service_with_other_etags_is_known_after_one_upload(
    proxy: FaultProxy, source: FsspecStore, store: FsspecStore
) -> None:
    other_parts(proxy, True, False, True)
    assert [await puts(proxy, source, store, to) for to in "ab"] == [3 + 3, 3]
