"""Sets of references: values that are parts of other files, or inline values."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from conformance.ranges import sliced
from conformance.support import content, listed, put, read
from servers import S3Endpoint

from fsspec_store import FsspecStore, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from fsspec_store.errors import (
    AccessDeniedError,
    BackendError,
    ByteRangeError,
    UnsupportedOperationError,
)

TARGET = content(100_000)
REQUESTS = [
    None,
    RangeByteRequest(0, 10),
    RangeByteRequest(5, 100_000),
    OffsetByteRequest(7),
    SuffixByteRequest(3),
    SuffixByteRequest(100_000),
]


def references(target: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A set of references, and the value of each."""
    refs = {
        "zarr.json": '{"zarr_format": 3}',
        "c/part": [target, 1000, 500],
        "c/tail": [target, 99_000, 1000],
        "c/whole": [target],
        "c/text": "ümlaut",
        "c/binary": "base64:" + base64.b64encode(b"\0\1\2\3\4\5\6\7\xff").decode(),
        "cc": "x",
    }
    values = {
        "zarr.json": b'{"zarr_format": 3}',
        "c/part": TARGET[1000:1500],
        "c/tail": TARGET[99_000:],
        "c/whole": TARGET,
        "c/text": "ümlaut".encode(),
        "c/binary": b"\0\1\2\3\4\5\6\7\xff",
        "cc": b"x",
    }
    return refs, values


@pytest.fixture(params=["s3", "file", "memory set"])
def place(
    request: pytest.FixtureRequest, moto_endpoint: S3Endpoint, tmp_path: Path
) -> tuple[FsspecStore, dict[str, bytes]]:
    path = tmp_path / "refs.json"
    if request.param == "s3":
        bucket = moto_endpoint.make_bucket()
        moto_endpoint.client().put_object(Bucket=bucket, Key="target", Body=TARGET)
        refs, values = references(f"s3://{bucket}/target")
        path.write_text(json.dumps({"version": 1, "refs": refs}))
        options = {
            "remote_protocol": "s3",
            "remote_options": moto_endpoint.storage_options(),
        }
        return FsspecStore.from_url(f"reference://::{path}", {"reference": options}), values
    (tmp_path / "target").write_bytes(TARGET)
    refs, values = references(f"file://{tmp_path}/target")
    if request.param == "memory set":
        return FsspecStore.from_url("reference://", {"fo": refs}), values
    path.write_text(json.dumps(refs))
    return FsspecStore.from_url(f"reference://::{path}"), values


async def test_values_sizes_and_listings(place: tuple[FsspecStore, dict[str, bytes]]) -> None:
    store, values = place
    assert await listed(store.list()) == sorted(values)
    assert await listed(store.list_dir("")) == ["c", "cc", "zarr.json"]
    assert await listed(store.list_dir("c")) == ["binary", "part", "tail", "text", "whole"]
    assert await listed(store.list_dir("c/part")) == []
    assert await listed(store.list_dir("missing")) == []
    assert await listed(store.list_prefix("c/t")) == ["c/tail", "c/text"]
    for key, value in values.items():
        assert await store.exists(key)
        assert await store.getsize(key) == len(value)
        for request in REQUESTS:
            expected = value if request is None else sliced(value, request)
            if expected is not None:
                assert await read(store, key, request) == expected
    assert await store.getsize_prefix("") == sum(map(len, values.values()))


async def test_a_key_without_a_reference_is_missing(
    place: tuple[FsspecStore, dict[str, bytes]],
) -> None:
    store, _ = place
    for key in ("missing", "c", "c/missing", "c/part/below"):
        for request in (None, RangeByteRequest(0, 1), SuffixByteRequest(1)):
            assert await read(store, key, request) is None
        assert not await store.exists(key)
    with pytest.raises(ByteRangeError) as caught:
        await read(store, "c/part", RangeByteRequest(500, 501))
    assert caught.value.size == 500


async def test_a_set_of_references_is_not_written(
    place: tuple[FsspecStore, dict[str, bytes]],
) -> None:
    store, values = place
    assert not store.supports_writes
    assert not store.supports_deletes
    for change in (lambda: put(store, "new"), lambda: store.delete("cc")):
        with pytest.raises(UnsupportedOperationError):
            await change()
    assert await listed(store.list()) == sorted(values)


async def test_a_target_that_is_missing_is_an_error_and_not_a_missing_key(
    moto_endpoint: S3Endpoint,
) -> None:
    bucket = moto_endpoint.make_bucket()
    moto_endpoint.client().put_object(Bucket=bucket, Key="short", Body=b"0123456789")
    refs = {
        "part": [f"s3://{bucket}/gone", 0, 10],
        "whole": [f"s3://{bucket}/gone"],
        "short": [f"s3://{bucket}/short", 5, 10],
        "past": [f"s3://{bucket}/short", 50, 10],
        "no bucket": ["s3://no-such-bucket-of-ours/gone", 0, 10],
    }
    store = FsspecStore.from_url(
        "reference://",
        {
            "fo": refs,
            "remote_protocol": "s3",
            "remote_options": moto_endpoint.storage_options(),
        },
    )
    for key in refs:
        for request in (None, RangeByteRequest(0, 4), SuffixByteRequest(4)):
            # "short" has fewer bytes than stated; a part within them is valid.
            if key == "short" and request == RangeByteRequest(0, 4):
                assert await read(store, key, request) == b"5678"
                continue
            with pytest.raises(BackendError, match=key):
                await read(store, key, request)
    for key in ("part", "short"):
        # The set states the size.
        assert await store.getsize(key) == 10
    with pytest.raises(BackendError, match="whole"):
        await store.exists("whole")


async def test_access_denied_for_a_target(
    minio_endpoint: S3Endpoint,
) -> None:
    bucket = minio_endpoint.make_bucket()
    options = {**minio_endpoint.storage_options(), "secret": "wrong"}
    store = FsspecStore.from_url(
        "reference://",
        {
            "fo": {"part": [f"s3://{bucket}/target", 0, 10], "inside": "abc"},
            "remote_protocol": "s3",
            "remote_options": options,
        },
    )
    with pytest.raises(AccessDeniedError, match="part"):
        await read(store, "part")
    assert await read(store, "inside") == b"abc"
