"""The contract on obstore's fsspec filesystem, on S3 and on local files."""

from __future__ import annotations

import multiprocessing
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance import Limits, StoreConformance
from conformance.support import listed, put, read
from servers import S3Endpoint
from servers.roots import new_root

from fsspec_store import FsspecStore, RangeByteRequest, SuffixByteRequest
from fsspec_store.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    ByteRangeError,
    UnsupportedOperationError,
)

obstore = pytest.importorskip("obstore.fsspec")


def filesystem(endpoint: S3Endpoint, **changes: str) -> Any:
    config = {
        "endpoint": endpoint.url,
        "access_key_id": endpoint.key,
        "secret_access_key": endpoint.secret,
        "region": "us-east-1",
    }
    return obstore.FsspecStore(
        "s3",
        config={**config, **changes},
        client_options={"allow_http": True},
        # moto may respond 500 while it overwrites what is read.
        retry_config={"max_retries": 5},
    )


class TestObstoreS3(StoreConformance):
    service = "obstore, S3"
    limits = Limits(
        atomic_create="obstore's fsspec filesystem ignores the mode of a write",
        compare_and_swap="obstore's fsspec filesystem passes no conditions on",
        examples=10,
        # fsspec's filesystems list no pages.
        many=60,
    )

    @pytest.fixture
    def fs(self, moto_endpoint: S3Endpoint) -> Any:
        return filesystem(moto_endpoint)

    @pytest.fixture
    def root(self, moto_endpoint: S3Endpoint) -> str:
        return new_root(moto_endpoint)

    @pytest.fixture
    def make_store(self, fs: Any, root: str) -> Iterator[Any]:
        made = []

        def make(below: str = "", **options: Any) -> FsspecStore:
            options.setdefault("allow_racy_create", True)
            made.append(FsspecStore(fs, f"{root}/{below}".rstrip("/"), **options))
            return made[-1]

        yield make
        for store in made:
            store.close()


async def test_local_files(tmp_path: Path) -> None:
    store = FsspecStore(obstore.FsspecStore("file"), str(tmp_path))
    await put(store, "a/b", data=b"0123456789")
    assert await read(store, "a/b", RangeByteRequest(8, 20)) == b"89"
    assert await read(store, "a/b", SuffixByteRequest(3)) == b"789"
    with pytest.raises(ByteRangeError):
        await read(store, "a/b", RangeByteRequest(10, 11))
    (tmp_path / "empty").mkdir()
    assert await listed(store.list_dir("")) == ["a"]
    assert await read(store, "a") is None
    await store.delete("a/b")
    assert await listed(store.list()) == []


async def test_a_missing_bucket_is_no_missing_key(moto_endpoint: S3Endpoint) -> None:
    store = FsspecStore(filesystem(moto_endpoint), f"no-bucket-{uuid.uuid4()}/x")
    for request in (None, RangeByteRequest(0, 1)):
        with pytest.raises(BucketNotFoundError):
            await read(store, "a", request)


async def test_a_wrong_secret_is_access_denied(minio_endpoint: S3Endpoint) -> None:
    bucket = minio_endpoint.make_bucket()
    store = FsspecStore(filesystem(minio_endpoint, secret_access_key="wrong"), bucket)
    for use in (read(store, "a"), read(store, "a", SuffixByteRequest(2)), store.exists("a")):
        with pytest.raises(AccessDeniedError) as caught:
            await use
        assert "wrong" not in str(caught.value)
    with pytest.raises(AccessDeniedError):
        await put(store, "a")


def test_a_url_is_as_good_as_a_path(moto_endpoint: S3Endpoint) -> None:
    assert FsspecStore(filesystem(moto_endpoint), "s3://bucket/x/").path == "bucket/x"


def _read_in_child(store: FsspecStore, results: Any) -> None:
    import asyncio

    try:
        results.put(asyncio.run(read(store, "a")))
    except UnsupportedOperationError as error:
        results.put(str(error))


async def test_a_forked_child_gets_a_clear_error(moto_endpoint: S3Endpoint) -> None:
    # obstore's threads are gone there, and it would wait for them for ever.
    store = FsspecStore(filesystem(moto_endpoint), moto_endpoint.make_bucket())
    await put(store, "a")
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    child = fork.Process(target=_read_in_child, args=(store, results))
    child.start()
    assert "spawn" in results.get(timeout=30)
    child.join()
