"""Names of a source that are no valid keys: they are counted and listed, and not copied."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cli.running import run
from servers import S3Endpoint
from servers.roots import new_root

from fsspec_store import FsspecStore
from fsspec_store.transfer import LeftOut, Result, copy, plan, sync, verify
from fsspec_store.transfer.cluster_tasks import list_keys

from .stores import contents, store_with

KEYS = {"a/b": b"1", "zarr.json": b"2"}
NOT_UTF8 = LeftOut("a/caf\\xe9", "key must be encodable as UTF-8")
EMPTY_SEGMENT = "key must not contain an empty segment"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a file and a folder whose names are not UTF-8."""
    root = tmp_path / "source"
    (root / "a").mkdir(parents=True)
    (root / "a/b").write_bytes(b"1")
    (root / "zarr.json").write_bytes(b"2")
    try:
        (root / os.fsdecode(b"a/caf\xe9")).write_bytes(b"3")
        (root / os.fsdecode(b"\xff")).mkdir()
    except OSError:
        pytest.skip("cannot: the file system has no such names")
    (root / os.fsdecode(b"\xff/c")).write_bytes(b"4")
    return root


@pytest.fixture
def bucket(moto_endpoint: S3Endpoint) -> FsspecStore:
    """With keys that have empty segments, and with a marker of a folder."""
    url = new_root(moto_endpoint)
    name, _, root = url.partition("/")
    client = moto_endpoint.client()
    for key, value in {**KEYS, "a//c": b"3", "a/": b"", "/d": b"4", "a/e/": b"5"}.items():
        client.put_object(Bucket=name, Key=f"{root}/{key}", Body=value)
    return FsspecStore.from_url(f"s3://{url}", moto_endpoint.storage_options())


async def test_files_whose_names_are_not_utf8(folder: Path) -> None:
    source, target = FsspecStore.from_url(str(folder)), await store_with({"extra": b""})
    result = await sync(source, target, max_delete=1)
    assert (result.copied, result.deleted, result.failed, result.ok) == (2, 1, 0, False)
    assert result.left_out == 2
    assert sorted(result.names_left_out, key=lambda one: one.name) == [
        LeftOut("\\xff", NOT_UTF8.reason),
        NOT_UTF8,
    ]
    assert json.loads(json.dumps(result.to_dict()))["left_out"] == 2
    assert await contents(target) == KEYS
    # Excluded, or in the target, they are nothing to copy.
    assert (await sync(source, target, exclude=["caf?", "\udcff"])).ok
    assert (await verify(target, source, exclude=["c"])).ok
    with await plan(source, target) as planned:
        assert (len(planned), planned.left_out) == (0, 2)


async def test_keys_with_empty_segments(bucket: FsspecStore, tmp_path: Path) -> None:
    target = FsspecStore.from_url(str(tmp_path))
    async with bucket:
        result = await copy(bucket, target)
        assert [(one.name, one.reason) for one in result.names_left_out] == [
            ("/d", "key must be relative"),
            ("a//c", EMPTY_SEGMENT),
            ("a/e/", EMPTY_SEGMENT),
        ]
        assert await contents(target) == KEYS
        assert not (await verify(bucket, target)).ok
        # They do not keep an atomic copy from its end.
        fresh = await store_with({})
        assert (await copy(bucket, fresh, atomic=True)).copied == 2
        assert await contents(fresh) == KEYS
        assert (await copy(bucket, target, exclude=["**//**", "**/"])).ok
        found: list[str] = []
        assert [each.key async for each in bucket.list_entries("a")] == ["a/b"]
        assert len([each async for each in bucket.list_entries("a", on_left_out=found.append)]) == 1
        assert found == ["a//c", "a/e/"]
        found.clear()
        after = bucket.list_entries(start_after="a/b", on_left_out=found.append)
        assert [each.key async for each in after] == ["zarr.json"]
        assert found == ["a/e/"]
    with FsspecStore.from_url(bucket.url, bucket.fs.storage_options).sync as store:
        found.clear()
        assert len(list(store.list_entries(on_left_out=found.append))) == 2
        assert len(found) == 3


async def test_on_a_cluster(bucket: FsspecStore, cluster: Any) -> None:
    """Each range of a listing has its names once."""
    async with bucket:
        result = await verify(bucket, bucket, client=cluster)
        assert (result.equal, result.left_out) == (2, 3)
        for after, stop, limit, expected in (
            ("", None, 10, (["a/b", "zarr.json"], ["/d", "a//c", "a/e/"])),
            ("", None, 1, (["a/b"], ["/d", "a//c"])),
            ("a/b", None, 1, (["zarr.json"], ["a/e/"])),
            ("", "a/c", 10, (["a/b"], ["/d", "a//c"])),
            ("a/c", None, 10, (["zarr.json"], ["a/e/"])),
        ):
            entries, names = await list_keys(bucket, bucket, True, after, stop, limit)
            assert ([each.key for each in entries], names) == expected


def test_names_are_listed_up_to_a_bound() -> None:
    result = Result()
    for number in range(10_010):
        result.add_left_out(f"a//{number}")
    assert (result.left_out, len(result.names_left_out)) == (10_010, 10_000)


def test_the_command(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    line = "fsspec-store: 2 names in the source are left out, because they are no keys: "
    for command in (
        ("sync", folder, target),
        ("cp", folder, target),
        ("verify", folder, target),
        ("sync", "-n", folder, target),
        ("plan", folder, target, tmp_path / "plan.jsonl"),
    ):
        ended = run(*command)
        assert ended.code == 5, ended
        assert line in ended.err
        assert ended.err.count("left out") == 1
    page = tmp_path / "page.html"
    [document] = run("sync", "--json", "--html", page, folder, target).documents
    assert (document["left_out"], document["ok"]) == (2, False)
    assert NOT_UTF8.name in {one["name"] for one in document["names_left_out"]}
    assert "Names left out" in page.read_text()
    assert run("sync", "--exclude", "caf?", "--exclude", "/?", folder, target).code == 0
