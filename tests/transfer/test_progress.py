"""The bytes of large values are reported while they are copied."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from servers import S3Endpoint
from servers.fault_proxy import Answer, FaultProxy

from fsspec_store import Buffer, FsspecStore
from fsspec_store.transfer import Result, sync

MIB = 2**20
SIZE = 40 * MIB


@pytest.fixture
def target(url: str, endpoint: S3Endpoint, proxy: FaultProxy) -> FsspecStore:
    return FsspecStore.from_url(url, {**endpoint.storage_options(), "endpoint_url": proxy.url})


@pytest.fixture
def source(tmp_path: Path) -> FsspecStore:
    (tmp_path / "large").write_bytes(random.Random(1).randbytes(SIZE))
    (tmp_path / "small").write_bytes(b"small")
    return FsspecStore.from_url(str(tmp_path))


class Seen:
    """Notes bytes of the keys that were copied, and of the value that is copied."""

    def __init__(self) -> None:
        self.copied: list[int] = []
        self.moving: list[int] = []

    def __call__(self, result: Result) -> None:
        self.copied.append(result.copied_bytes)
        self.moving.append(result.moving_bytes)


async def test_parts_are_reported(source: FsspecStore, target: FsspecStore) -> None:
    seen = Seen()
    async with target:
        result = await sync(source, target, on_progress=seen)
        assert (result.copied, result.copied_bytes, result.moving_bytes) == (2, SIZE + 5, 0)
        parts = [count for count in seen.moving if count]
        assert parts == sorted(parts)
        assert len(set(parts)) >= 3
        assert max(parts) == SIZE
        # A value is counted when it ends.
        assert set(seen.copied) <= {0, 5, SIZE, SIZE + 5}
        assert seen.moving[-1] == 0


async def test_parts_of_a_value_that_fails_are_taken_back(
    source: FsspecStore, target: FsspecStore, proxy: FaultProxy
) -> None:
    denied = Answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>")

    def plan(method: str, url: str, headers: Mapping[str, str]) -> Answer | None:
        return denied if method == "POST" and "uploadId=" in url else None

    seen = Seen()
    proxy.plan = plan
    async with target:
        result = await sync(source, target, on_progress=seen)
    assert [one.key for one in result.failures] == ["large"]
    assert max(seen.moving) == SIZE
    assert (result.copied_bytes, result.moving_bytes, seen.moving[-1]) == (5, 0, 0)


async def test_a_copy_that_begins_again_is_counted_once(
    source: FsspecStore, target: FsspecStore, endpoint: S3Endpoint, proxy: FaultProxy
) -> None:
    """Another writer ends the upload when all its parts are written."""
    ended: list[str] = []
    gone = Answer(404, {}, b"<Error><Code>NoSuchUpload</Code></Error>")

    def plan(method: str, url: str, headers: Mapping[str, str]) -> Answer | None:
        if method == "POST" and "uploadId=" in url and not ended:
            ended.append(url)
            return gone
        return None

    seen = Seen()
    proxy.plan = plan
    async with target:
        result = await sync(source, target, include=["large"], on_progress=seen)
        assert result.ok
        assert await target.getsize("large") == SIZE
    assert max(seen.moving) == SIZE
    # The parts of the first upload, and then those of the second one.
    assert seen.moving.count(SIZE) == 2


async def test_small_values_are_reported_when_they_end(target: FsspecStore) -> None:
    source, seen = FsspecStore.from_url("memory://progress/small"), Seen()
    for number in range(5):
        await source.set(f"c/{number}", Buffer.from_bytes(bytes(2 * MIB)))
    async with target:
        await sync(source, target, on_progress=seen)
    assert set(seen.moving) == {0}
    assert sorted(seen.copied) == [2 * MIB * count for count in range(6)]
