"""Transfers while requests fail, and while values are removed, replaced and read.

Each test is in the table "What goes wrong elsewhere" in ``docs/failures-elsewhere.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from cli.running import run
from servers import S3Endpoint
from servers.fault_proxy import Answer, FaultProxy

from fsspec_store import FsspecStore
from fsspec_store.transfer import Result, copy, sync
from fsspec_store.zarr import open_store

from .stores import ARRAY, contents, filled, recording, store_with

DENIED = Answer(403, {}, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
CHUNK = "air/c/0/1"


@pytest.fixture
def storage_options(endpoint: S3Endpoint, proxy: FaultProxy) -> dict[str, Any]:
    return {**endpoint.storage_options(), "endpoint_url": proxy.url}


@pytest.fixture
def store(url: str, storage_options: dict[str, Any]) -> Iterator[FsspecStore]:
    with closing(FsspecStore.from_url(url, storage_options)) as opened:
        yield opened


def on_chunk(method: str, fault: Callable[[], Any]) -> Callable[..., Any]:
    """A plan of the proxy: a fault for each request of one method for one chunk."""

    def plan(asked: str, target: str, headers: Mapping[str, str]) -> Any:
        return fault() if asked == method and target.endswith(CHUNK) else None

    return plan


def options_of(which: str, endpoint: S3Endpoint) -> list[str]:
    given = {"key": endpoint.key, "secret": endpoint.secret}
    pairs = [word for name in given for word in (f"--{which}-option", f"{name}={given[name]}")]
    return [*pairs, f"--{which}-endpoint-url", endpoint.url]


def requests(proxy: FaultProxy, method: str) -> int:
    return sum(seen.method == method and seen.target.endswith(CHUNK) for seen in proxy.seen)


# -- A permanent error -----------------------------------------------------------------------------


async def test_a_denied_write_is_sent_once_and_the_other_keys_are_copied(
    store: FsspecStore, proxy: FaultProxy
) -> None:
    source = await store_with(ARRAY)
    proxy.plan = on_chunk("PUT", lambda: DENIED)
    result = await sync(source, store)
    assert requests(proxy, "PUT") == 1
    assert [(one.key, one.action) for one in result.failures] == [(CHUNK, "copy")]
    assert "AccessDeniedError" in result.failures[0].error
    assert set(await contents(store)) == {"air/c/0/0", "air-raw/zarr.json"}
    proxy.plan = on_chunk("PUT", lambda: None)
    assert (await sync(source, store)).copied == 3
    assert await contents(store) == ARRAY


async def test_a_denied_read_is_sent_once_and_the_other_keys_are_copied(
    store: FsspecStore, proxy: FaultProxy
) -> None:
    await filled(store, ARRAY)
    target = await store_with({})
    proxy.plan = on_chunk("GET", lambda: DENIED)
    result = await sync(store, target)
    assert requests(proxy, "GET") == 1
    assert [one.key for one in result.failures] == [CHUNK]
    assert "AccessDenied" in result.failures[0].error
    assert set(await contents(target)) == {"air/c/0/0", "air-raw/zarr.json"}


def test_exit_codes_of_denied_requests(
    url: str, endpoint: S3Endpoint, proxy: FaultProxy, tmp_path: Path
) -> None:
    for key, value in ARRAY.items():
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)
    options = options_of("dst", replace(endpoint, url=proxy.url))
    proxy.plan = on_chunk("PUT", lambda: DENIED)
    ended = run("sync", "--json", *options, tmp_path, url)
    assert ended.code == 5
    [document] = ended.documents
    assert [one["key"] for one in document["failures"]] == [CHUNK]
    assert (document["ok"], document["copied"], document["held_back"]) == (False, 2, 2)
    # Neither of the stores can be listed.
    proxy.plan = lambda *request: DENIED
    before = proxy.count
    assert run("sync", *options, tmp_path, url).code == 4
    assert proxy.count - before <= 2


# -- Values that are removed or replaced during the transfer ---------------------------------------


async def test_a_key_that_vanishes_after_the_listing_is_one_failure(
    url: str, endpoint: S3Endpoint, store: FsspecStore, proxy: FaultProxy
) -> None:
    await filled(store, ARRAY)
    bucket, _, root = url.removeprefix("s3://").partition("/")

    def remove() -> None:
        endpoint.shared_client().delete_object(Bucket=bucket, Key=f"{root}/{CHUNK}")

    proxy.plan = on_chunk("GET", remove)
    target = await store_with({})
    result = await copy(store, target)
    assert [one.key for one in result.failures] == [CHUNK]
    assert "removed after it was listed" in result.failures[0].error
    assert set(await contents(target)) == {"air/c/0/0", "air-raw/zarr.json"}
    again = await copy(store, target)
    assert again.ok
    assert await contents(target) == {key: ARRAY[key] for key in ARRAY if key != CHUNK}


async def test_a_value_that_changes_after_the_listing_is_not_copied(
    url: str, endpoint: S3Endpoint, store: FsspecStore, proxy: FaultProxy
) -> None:
    await filled(store, ARRAY)
    bucket, _, root = url.removeprefix("s3://").partition("/")

    def write() -> None:
        endpoint.shared_client().put_object(Bucket=bucket, Key=f"{root}/{CHUNK}", Body=b"chunk X")

    proxy.plan = on_chunk("GET", write)
    target = await store_with({CHUNK: b"before"})
    result = await copy(store, target)
    assert [one.key for one in result.failures] == [CHUNK]
    assert "VersionMismatchError" in result.failures[0].error
    assert (await contents(target))[CHUNK] == b"before"
    proxy.plan = on_chunk("GET", lambda: None)
    assert (await copy(store, target)).ok
    assert await contents(target) == {**ARRAY, CHUNK: b"chunk X"}


# -- Readers ---------------------------------------------------------------------------------------

DATA = np.arange(1, 65, dtype="i4").reshape(8, 8)
FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])
CONSOLIDATED = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")


def hierarchy(folder: Path, zarr_format: Any, *, is_consolidated: bool) -> FsspecStore:
    # Names on both sides of those of the metadata.
    store = open_store(str(folder))
    root = zarr.create_group(store, zarr_format=zarr_format, attributes={"title": "x"})
    for name in ("+", "zz", "group/a"):
        array = root.create_array(name, shape=DATA.shape, chunks=(4, 4), dtype=DATA.dtype)
        array[:] = DATA
    if is_consolidated:
        zarr.consolidate_metadata(store)
    return FsspecStore.from_url(str(folder))


def read_all(group: zarr.Group) -> int:
    """Read each array that a reader finds, and return their number."""
    arrays = [
        member for _, member in group.members(max_depth=None) if isinstance(member, zarr.Array)
    ]
    for array in arrays:
        np.testing.assert_array_equal(array[:], DATA)
    return len(arrays)


@CONSOLIDATED
@FORMATS
@pytest.mark.parametrize("is_consolidated", [True, False])
async def test_no_reader_opens_an_array_that_is_half_copied(
    zarr_format: Any,
    is_consolidated: bool,
    url: str,
    storage_options: dict[str, Any],
    store: FsspecStore,
    proxy: FaultProxy,
    tmp_path: Path,
) -> None:
    source = hierarchy(tmp_path, zarr_format, is_consolidated=is_consolidated)
    seen: list[int | None] = []

    def read(result: Result) -> None:
        """After each key. zarr runs on another event loop."""
        try:
            group = zarr.open_group(open_store(url, storage_options), mode="r")
        except (FileNotFoundError, KeyError):
            seen.append(None)
            return
        seen.append(read_all(group))

    chunk = "zz/1.1" if zarr_format == 2 else "zz/c/1/1"
    proxy.plan = lambda method, target, headers: (
        DENIED if method == "PUT" and target.endswith(chunk) else None
    )
    result = await sync(source, store, on_progress=read, concurrency=1)
    assert [one.key for one in result.failures] == [chunk]
    # The group is not there while a chunk of one of its arrays is missing.
    assert set(seen) == {None}
    proxy.plan = lambda *request: None
    assert (await sync(source, store, on_progress=read, concurrency=1)).ok
    assert seen[-1] == 3
    assert set(seen) == {None, 3}


@CONSOLIDATED
@FORMATS
async def test_consolidated_metadata_is_copied_and_is_the_last(
    zarr_format: Any, tmp_path: Path
) -> None:
    source = hierarchy(tmp_path, zarr_format, is_consolidated=True)
    target = recording()
    assert (await sync(source, target)).ok
    last = ".zmetadata" if zarr_format == 2 else "zarr.json"
    assert target.events[-1] == f"copy {last}"
    group = zarr.open_consolidated(open_store(target.url))
    assert group.metadata.consolidated_metadata is not None
    assert read_all(group) == 3


# -- No key at all ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "code"), [("cp", 3), ("sync", 7)])
def test_a_mistyped_source_is_an_error_with_its_url(
    command: str, code: int, url: str, endpoint: S3Endpoint, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/key").write_bytes(b"value")
    options = options_of("src", endpoint)
    for source, given in ((f"{url}/mistyped", options), (tmp_path / "mistyped", [])):
        ended = run(command, *given, source, tmp_path / "target")
        assert (ended.code, ended.out) == (code, "")
        assert str(source) in ended.err
    ended = run(command, "--include", "mistyped", tmp_path / "source", tmp_path / "target")
    assert (ended.code, ended.out) == (7, "")
    assert "no selected key" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
