"""Listings of a bucket in memory: when requests are sent, and the order of the pages."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any

import pytest
from conformance.support import collect, listed
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store import FsspecStore
from fsspec_store._backends.base import Backend
from fsspec_store._backends.pages import Page
from fsspec_store._core.failures import Failure
from fsspec_store._http.settings import Settings
from fsspec_store._runtime.concurrency import prefetched
from fsspec_store._store.fan_out import fan_out_pages
from fsspec_store._store.keys import is_listable
from fsspec_store.errors import BackendError

ROOT = "/bucket/"


class Bucket(Backend):
    """Objects in the order of their keys' bytes, so many a page; each page is one request.

    Parameters
    ----------
    keys : iterable of str
        Below the root; the size of each is its length.
    page_size : int
        Objects and common prefixes on a page, at most.
    """

    def __init__(self, keys: Iterable[str], page_size: int = 2) -> None:
        super().__init__(MemoryFileSystem(), Settings())
        self.paths = sorted((ROOT + key for key in keys), key=str.encode)
        self.page_size = page_size
        #: The requests: a prefix of keys, and the number of the page.
        self.requested: list[tuple[str, int]] = []
        self.levels: list[str] = []
        self.removed: list[str] = []
        self.under_way = self.most = self.cancelled = 0
        #: Requests that wait for an event before their response, and those that fail.
        self.held: dict[tuple[str, int], asyncio.Event] = {}
        self.broken: set[tuple[str, int]] = set()
        self.random = random.Random(0)

    async def pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        prefix = directory + name_prefix
        if not recursive:
            self.levels.append(prefix.removeprefix(ROOT))
        entries: dict[str, None] = {}
        for path in self.paths:
            if path.startswith(prefix):
                name, slash, _ = path[len(directory) :].partition("/")
                entries.setdefault(path if recursive or not slash else directory + name + slash)
        size = page_size or self.page_size
        for number, start in enumerate(range(0, max(len(entries), 1), size)):
            await self.respond((prefix.removeprefix(ROOT), number))
            # What ends in a slash may be an object as well, which is listed with what is below.
            found = list(entries)[start : start + size]
            is_prefix = [not recursive and name.endswith("/") for name in found]
            yield Page(
                [
                    (name, len(name) - len(ROOT))
                    for name, no in zip(found, is_prefix, strict=True)
                    if not no
                ],
                [name[:-1] for name, yes in zip(found, is_prefix, strict=True) if yes],
            )

    async def respond(self, request: tuple[str, int]) -> None:
        self.requested.append(request)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if request in self.held:
                await self.held[request].wait()
            for _ in range(self.random.randrange(4)):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        if request in self.broken:
            raise ConnectionError(f"page {request[1]} of {request[0]!r}")

    def hold(self, *requests: tuple[str, int]) -> asyncio.Event:
        event = asyncio.Event()
        self.held |= dict.fromkeys(requests, event)
        return event

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        await self.respond(("removing", len(paths)))
        self.removed += paths

    def failure(self, error: Exception) -> Failure:
        return Failure.BACKEND if isinstance(error, OSError) else Failure.PROGRAM_ERROR

    read = size = write = remove = None  # type: ignore[assignment]


def store_on(bucket: Bucket) -> FsspecStore:
    store = FsspecStore(MemoryFileSystem(), ROOT)
    store._backend = bucket
    return store


def numbered(count: int, prefix: str = "") -> list[str]:
    return [f"{prefix}{number:03}" for number in range(count)]


async def until(condition: Any) -> None:
    """Let other tasks run until the condition is true, for at most 1000 turns."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition never was true")


async def settled() -> None:
    """Let other tasks run for long enough to do what they should not."""
    for _ in range(100):
        await asyncio.sleep(0)


async def up_to_error(listing: AsyncGenerator[str, None]) -> tuple[list[str], BackendError]:
    """The keys, and the error after them."""
    found = []
    try:
        async for key in listing:
            await settled()
            found.append(key)
    except BackendError as error:
        return found, error
    raise AssertionError("no error")


# -- The next page is requested while this one is used ---------------------------------------------


@pytest.mark.parametrize("name", ["list", "list_prefix", "list_sizes", "list_dir"])
async def test_one_page_is_prefetched_and_none_before_the_first(name: str) -> None:
    bucket = Bucket(numbered(8))
    store = store_on(bucket)
    listing = getattr(store, name)(*([] if name == "list" else [""]))
    await settled()
    assert bucket.requested == []
    for page in range(4):
        for _ in range(2):
            await anext(listing)
            # A program that does not wait for anything has the next page requested all the same.
            assert len(bucket.requested) == min(page + 2, 4)
        await settled()
        assert len(bucket.requested) == min(page + 2, 4)
    assert await collect(listing) == []
    assert len(bucket.requested) == 4


async def test_a_test_for_one_key_requests_one_page() -> None:
    bucket = Bucket(numbered(8))
    assert not await store_on(bucket).is_empty("")
    await settled()
    assert bucket.requested == [("", 0)]


@pytest.mark.parametrize("fan_out", [1, 3])
async def test_leaving_early_cancels_and_awaits_requests_in_flight(fan_out: int) -> None:
    bucket = Bucket([f"{folder}/{key}" for folder in "abcd" for key in numbered(9)])
    bucket.hold(("", 1), *((f"{folder}/", 1) for folder in "abcd"))
    before = asyncio.all_tasks()
    listing = store_on(bucket).list_prefix("", fan_out=fan_out)
    if fan_out > 1:
        del bucket.held["", 1]
    assert await anext(listing) == "a/000"
    await until(lambda: bucket.under_way == fan_out)
    await listing.aclose()
    assert (bucket.under_way, bucket.cancelled) == (0, fan_out)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("fan_out", [1, 3])
async def test_a_listing_that_is_garbage_is_cancelled(fan_out: int) -> None:
    bucket = Bucket([f"{folder}/{key}" for folder in "abcd" for key in numbered(9)])
    bucket.hold(*((f"{folder}/", 1) for folder in "abcd"), *([("", 1)] if fan_out == 1 else []))
    before = asyncio.all_tasks()
    listing = store_on(bucket).list_prefix("", fan_out=fan_out)
    await anext(listing)
    await until(lambda: bucket.under_way == fan_out)
    del listing
    gc.collect()
    await until(lambda: asyncio.all_tasks() == before)
    assert bucket.cancelled == fan_out


@pytest.mark.parametrize("end", ["run", "close"])
@pytest.mark.parametrize("fan_out", [1, 3])
def test_a_loop_may_end_in_the_middle_of_a_listing(
    fan_out: int, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = Bucket([f"{folder}/{key}" for folder in "abcd" for key in numbered(9)])

    async def begin() -> Any:
        bucket.hold(*((f"{folder}/", 1) for folder in "abcd"), *([("", 1)] if fan_out == 1 else []))
        listing = store_on(bucket).list_prefix("", fan_out=fan_out)
        await anext(listing)
        await until(lambda: bucket.under_way == fan_out)
        return listing

    if end == "run":
        listing = asyncio.run(begin())
        assert bucket.cancelled == fan_out
    else:
        loop = asyncio.new_event_loop()
        listing = loop.run_until_complete(begin())
        loop.close()
        del loop
    bucket.held.clear()
    del listing
    gc.collect()
    # asyncio logs destroyed tasks, errors that were not retrieved, generators it cannot close.
    assert caplog.messages == []


async def test_an_error_is_raised_after_all_keys_before_it() -> None:
    bucket = Bucket(numbered(8))
    bucket.broken.add(("", 2))
    found, error = await up_to_error(store_on(bucket).list())
    assert found == numbered(4)
    assert "page 2" in str(error)
    assert isinstance(error.__cause__, ConnectionError)
    assert len(bucket.requested) == 3


async def test_an_error_that_is_not_awaited_is_dropped_silently(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bucket = Bucket(numbered(8))
    bucket.broken.add(("", 1))
    listing = store_on(bucket).list()
    await anext(listing)
    await settled()
    await listing.aclose()
    gc.collect()
    assert caplog.messages == []


async def test_being_cancelled_cancels_the_page_that_is_awaited() -> None:
    bucket = Bucket(numbered(8))
    bucket.hold(("", 1))
    consuming = asyncio.create_task(listed(store_on(bucket).list()))
    await until(lambda: bucket.under_way == 1 and len(bucket.requested) == 2)
    await settled()
    consuming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consuming
    assert (bucket.under_way, bucket.cancelled) == (0, 1)


async def test_any_generator_is_prefetched_to_its_end() -> None:
    async def numbers(count: int) -> AsyncGenerator[int, None]:
        for number in range(count):
            yield number

    for count in range(4):
        assert await collect(prefetched(numbers(count))) == list(range(count))


async def test_the_next_page_is_requested_while_one_is_deleted() -> None:
    bucket = Bucket(numbered(6))
    gate = bucket.hold(("removing", 2))
    deleting = asyncio.create_task(store_on(bucket).delete_dir(""))
    await until(lambda: ("", 1) in bucket.requested)
    assert bucket.removed == []
    gate.set()
    await deleting
    assert sorted(bucket.removed) == bucket.paths


# -- Only keys, and each once -----------------------------------------------------------------

SEGMENTS = st.sampled_from(["a", "b", "a-", "a.b", "é", "\U0001f40d", ".", "..", ""])
PATHS = st.lists(st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join).filter(bool))


@given(PATHS, st.integers(1, 5))
async def test_paths_that_are_not_keys_are_not_listed(paths: list[str], page_size: int) -> None:
    store = store_on(Bucket(set(paths), page_size))
    keys = sorted({path for path in paths if is_listable(path)}, key=str.encode)
    assert await collect(store.list()) == keys
    assert await collect(store.list_prefix("")) == keys
    assert await collect(store.list_sizes()) == [(key, len(key)) for key in keys]
    assert await store.getsize_prefix("") == sum(map(len, keys))
    assert await store.is_empty("") == (not keys)
    children = await collect(store.list_dir(""))
    assert len(children) == len(set(children))
    # A service lists prefixes, and not the keys below them.
    assert (
        {key.partition("/")[0] for key in keys} <= set(children) <= set("/".join(paths).split("/"))
    )


async def test_sizes_that_are_not_listed_are_requested() -> None:
    class Sizeless(Bucket):
        async def pages(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Page, None]:
            async for page in super().pages(*args, **kwargs):
                objects = [(path, size if "b/" in path else None) for path, size in page.objects]
                yield Page(objects, page.prefixes)

        async def size(self, path: str) -> int | None:
            self.requested.append((path.removeprefix(ROOT), -1))
            return 1000

    for fan_out in (1, 3):
        bucket = Sizeless(["a/1", "b/1", "b/2", "c/1"], page_size=3)
        assert await store_on(bucket).getsize_prefix("", fan_out=fan_out) == 2006
        assert sorted(key for key, page in bucket.requested if page < 0) == ["a/1", "c/1"]
        sizes = await collect(store_on(bucket).list_sizes(fan_out=fan_out))
        assert sizes == [("a/1", None), ("b/1", 3), ("b/2", 3), ("c/1", None)]


# -- Common prefixes side by side -------------------------------------------------------------


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[str], str]:
    """Objects of a bucket, some of them no keys, and the beginning of some or of none."""
    paths = sorted(set(draw(PATHS)))
    whole = draw(st.sampled_from([path for path in paths if is_listable(path)] or ["a/b"]))
    return paths, whole[: draw(st.integers(0, len(whole)))]


@given(trees(), st.integers(1, 4), st.integers(2, 5), st.integers(1, 6), st.integers(0, 999))
async def test_fan_out_lists_the_same_keys(
    tree: tuple[list[str], str],
    page_size: int,
    fan_out: int,
    max_buffered_keys: int,
    seed: int,
) -> None:
    paths, prefix = tree
    bucket = Bucket(paths, page_size)
    bucket.random = random.Random(seed)
    store = store_on(bucket)
    plain = await collect(store.list_prefix(prefix))
    assert plain == [
        path.removeprefix(ROOT)
        for path in bucket.paths
        if path.startswith(ROOT + prefix) and is_listable(path.removeprefix(ROOT))
    ]
    assert await collect(store.list_prefix(prefix, fan_out=fan_out)) == plain
    assert await collect(store.list_sizes(prefix, fan_out=fan_out)) == [
        (key, len(key)) for key in plain
    ]
    folder, slash, name_prefix = prefix.rpartition("/")
    below = await collect(store.list_prefix(folder + slash))
    assert await store.getsize_prefix(folder, fan_out=fan_out) == sum(map(len, below))
    # However few keys may wait for their turn.
    for in_order in (True, False):
        pages = fan_out_pages(
            bucket,
            ROOT + folder + slash,
            name_prefix,
            fan_out=fan_out,
            in_order=in_order,
            max_buffered_keys=max_buffered_keys,
        )
        found = [path[len(ROOT) :] async for page in pages for path, _ in page.objects]
        keys = [path for path in found if is_listable(path)]
        assert keys == plain if in_order else sorted(keys, key=str.encode) == plain


@pytest.mark.parametrize("method", ["list_prefix", "list_sizes", "getsize_prefix"])
async def test_the_fan_out_is_the_number_of_concurrent_listings(method: str) -> None:
    bucket = Bucket([f"{folder}/{key}" for folder in "abcdef" for key in "12"], page_size=10)
    gate = bucket.hold(*((f"{folder}/", 0) for folder in "abcdef"))
    listing = getattr(store_on(bucket), method)("", fan_out=3)
    using = asyncio.ensure_future(listing if method == "getsize_prefix" else collect(listing))
    await until(lambda: bucket.under_way == 3)
    await settled()
    assert bucket.requested == [("", 0), ("a/", 0), ("b/", 0), ("c/", 0)]
    gate.set()
    await using
    assert bucket.most == 3
    # One request for the level, and one for each prefix.
    assert len(bucket.requested) == 7


@pytest.mark.parametrize("fan_out", [0, -1])
async def test_a_fan_out_below_one_is_an_error(fan_out: int) -> None:
    bucket = Bucket(["a/1"])
    store = store_on(bucket)
    for use in (
        collect(store.list_prefix("", fan_out=fan_out)),
        collect(store.list_sizes(fan_out=fan_out)),
        store.getsize_prefix("", fan_out=fan_out),
    ):
        with pytest.raises(ValueError, match=rf"fan_out must be at least 1, got {fan_out}"):
            await use
    assert bucket.requested == []


async def test_a_single_prefix_is_split_at_the_level_below() -> None:
    keys = ["group/array/zarr.json", "group/zarr.json"]
    keys += [f"group/array/c/{row}/{column}" for row in "012" for column in "01"]
    bucket = Bucket(keys, page_size=10)
    assert await collect(store_on(bucket).list_prefix("", fan_out=2)) == sorted(keys)
    assert bucket.levels == ["", "group/", "group/array/", "group/array/c/"]
    assert bucket.requested[4:] == [(f"group/array/c/{row}/", 0) for row in "012"]


async def test_without_prefixes_no_further_request_is_sent() -> None:
    bucket = Bucket(numbered(6))
    assert await collect(store_on(bucket).list_prefix("", fan_out=4)) == numbered(6)
    assert bucket.requested == [("", 0), ("", 1), ("", 2)]


async def test_nothing_is_requested_below_a_prefix_that_is_not_listable() -> None:
    bucket = Bucket(["a/1", "/1", "/2", "../1", "./1", "b/1"], page_size=10)
    assert await collect(store_on(bucket).list_prefix("", fan_out=4)) == ["a/1", "b/1"]
    assert bucket.requested == [("", 0), ("a/", 0), ("b/", 0)]


async def test_a_listing_whose_keys_are_buffered_waits() -> None:
    bucket = Bucket([f"{folder}/{key}" for folder in "abc" for key in numbered(40)])
    gate = bucket.hold(("a/", 1))
    pages = fan_out_pages(bucket, ROOT, "", fan_out=3, max_buffered_keys=10)
    first = await anext(pages)
    await settled()
    waiting = 2 * sum(prefix in ("b/", "c/") for prefix, _ in bucket.requested)
    # The maximum, and one page of each request in flight.
    assert 10 <= waiting <= 10 + 2 * 2
    requested = len(bucket.requested)
    gate.set()
    for _ in range(10):
        # Only the listing whose pages are next continues.
        await anext(pages)
    assert all(prefix == "a/" for prefix, _ in bucket.requested[requested:])
    rest = [path async for page in pages for path, _ in page.objects]
    assert len(first.objects) + 20 + len(rest) == 120


async def test_unordered_listings_do_not_wait_for_each_other() -> None:
    bucket = Bucket([f"{folder}/{key}" for folder in "abc" for key in numbered(40)])
    gate = bucket.hold(("a/", 0))
    pages = fan_out_pages(bucket, ROOT, "", fan_out=2, in_order=False, max_buffered_keys=4)
    found = [path for _ in range(40) for path, _ in (await anext(pages)).objects]
    assert found == [path for path in bucket.paths if not path.startswith(f"{ROOT}a/")]
    gate.set()
    found += [path async for page in pages for path, _ in page.objects]
    assert sorted(found) == bucket.paths


async def test_an_error_of_one_listing_is_raised_in_order_and_cancels_the_others() -> None:
    bucket = Bucket([f"{folder}/{key}" for folder in "abcd" for key in numbered(9)])
    bucket.broken.add(("b/", 1))
    bucket.hold(("c/", 2), ("d/", 2))
    found, error = await up_to_error(store_on(bucket).list_prefix("", fan_out=4))
    assert found == [*numbered(9, "a/"), *numbered(2, "b/")]
    assert "page 1 of 'b/'" in str(error)
    assert (bucket.under_way, bucket.cancelled) == (0, 2)


async def test_an_error_of_the_first_level_is_raised_after_the_pages_before_it() -> None:
    bucket = Bucket([f"{folder}/{key}" for folder in "abcd" for key in numbered(3)], page_size=1)
    bucket.broken.add(("", 3))
    found, error = await up_to_error(store_on(bucket).list_prefix("", fan_out=4))
    assert found == [key for folder in "abc" for key in numbered(3, f"{folder}/")]
    assert "page 3 of ''" in str(error)


async def test_a_listing_that_is_cancelled_by_other_code_does_not_hang() -> None:
    class Cancelling(Bucket):
        async def respond(self, request: tuple[str, int]) -> None:
            await super().respond(request)
            if request == ("b/", 0):
                raise asyncio.CancelledError

    store = store_on(Cancelling(["a/1", "b/1", "c/1"]))
    for prefix, fan_out in (("b/", 1), ("", 3)):
        with pytest.raises(asyncio.CancelledError):
            await collect(store.list_prefix(prefix, fan_out=fan_out))


async def test_a_repeated_prefix_is_listed_once() -> None:
    class Forgetful(Bucket):
        async def pages(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Page, None]:
            prefixes: Sequence[str] = ()
            async for page in super().pages(*args, **kwargs):
                yield Page(page.objects, [*prefixes, *page.prefixes])
                prefixes = page.prefixes

    keys = [f"{folder}/{key}" for folder in "abcde" for key in "12"]
    bucket = Forgetful(keys, page_size=2)
    assert await collect(store_on(bucket).list_prefix("", fan_out=2)) == keys
    assert await collect(store_on(bucket).list_dir("")) == list("abcde")


async def test_memory_and_local_files_list_the_same_with_fan_out(tmp_path: Any) -> None:
    memory = FsspecStore(MemoryFileSystem(), "/test_fan_out")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1").touch()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2").touch()
    # Listed from its own place on, it would lead back to where it is.
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    local = FsspecStore.from_url(tmp_path)
    assert sorted(await collect(local.list_prefix("", fan_out=3))) == await listed(local.list())
    assert await collect(memory.list_prefix("", fan_out=3)) == []
    assert not memory._backend.fans_out
