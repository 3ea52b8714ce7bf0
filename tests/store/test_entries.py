"""The order of `list_entries`: on services that list in another one, and on those that change."""

from __future__ import annotations

import asyncio
import os
import tempfile
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from conformance.support import buf, collect, put
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from fsspec_store import FsspecStore, Store
from fsspec_store._backends.base import Backend
from fsspec_store._backends.pages import Details, Page
from fsspec_store._core.failures import Failure
from fsspec_store._http.settings import Settings
from fsspec_store._store.external_sort import EntrySort
from fsspec_store.contract import Entry
from fsspec_store.errors import BackendError, KeyNotFoundError

ROOT = "/bucket/"


def by_bytes(path: str) -> Any:
    return path.encode()


def by_folder(path: str) -> Any:
    """The order of SeaweedFS and of namespaces with directories."""
    return path.split("/")


def by_utf16(path: str) -> Any:
    return path.encode("utf-16-be")


class Bucket(Backend):
    """Objects in some order, ten a page; a listing begins after a path in that order."""

    def __init__(
        self,
        keys: Iterable[str],
        order: Callable[[str], Any],
        *,
        known: bool | None = None,
        sized: bool = True,
    ) -> None:
        super().__init__(MemoryFileSystem(), Settings())
        self.paths = sorted((ROOT + key for key in keys), key=order)
        self.order = order
        self.lists_in_order = known
        self.sized = sized
        self.removed: set[str] = set()
        #: Where each listing began, and the number of its pages.
        self.requests: list[tuple[str, int]] = []

    def pages(self, directory: str, name_prefix: str, **_: Any) -> AsyncGenerator[Page, None]:
        raise NotImplementedError

    async def detailed_pages(
        self,
        directory: str,
        name_prefix: str,
        *,
        recursive: bool = True,
        start_after: str = "",
        page_size: int | None = None,
    ) -> AsyncGenerator[Page, None]:
        found = [
            path
            for path in self.paths
            if path.startswith(directory + name_prefix)
            and (not start_after or self.order(path) > self.order(start_after))
        ]
        self.requests.append((start_after.removeprefix(ROOT), 0))
        position = len(self.requests) - 1
        size = page_size or 10
        for start in range(0, max(1, len(found)), size):
            await asyncio.sleep(0)
            self.requests[position] = (self.requests[position][0], start // size + 1)
            yield Page(
                [(path, len(path) if self.sized else None) for path in found[start : start + size]],
                details={path: Details(version=path) for path in found[start : start + size]},
            )

    async def size(self, path: str) -> int | None:
        return None if path in self.removed else len(path)

    def failure(self, error: Exception) -> Failure:
        return Failure.BACKEND if isinstance(error, OSError) else Failure.PROGRAM_ERROR

    read = write = remove = None  # type: ignore[assignment]


def store_on(bucket: Bucket) -> FsspecStore:
    store = FsspecStore(MemoryFileSystem(), ROOT)
    store._backend = bucket
    return store


async def keys_of(store: Store, prefix: str = "", start_after: str | None = None) -> list[str]:
    return [entry.key async for entry in store.list_entries(prefix, start_after=start_after)]


#: Folders with siblings whose next character is before "/".
CONFLICTS = [
    f"a{end}{number:02}" for end in ("/", "-", "/b/", "/b-", ".", "/b") for number in range(9)
]
FLAT = [f"c/{number:02}" for number in range(45)]

segment = st.text(st.sampled_from(" !-.ab0é\uff5e\U0001f600"), min_size=1, max_size=3).filter(
    lambda text: text not in (".", "..")
)
keys = st.sets(st.lists(segment, min_size=1, max_size=3).map("/".join), max_size=40)


@given(keys, st.sampled_from([by_bytes, by_folder, by_utf16]), st.data())
async def test_the_order_is_the_same_for_each_order_of_the_service(
    keys: set[str], order: Callable[[str], Any], data: st.DataObject
) -> None:
    store = store_on(Bucket(keys, order))
    prefix = data.draw(st.sampled_from(["", "a", "a/", "-", "é"]))
    after = data.draw(
        st.one_of(st.just(""), st.sampled_from(sorted(keys)) if keys else st.just("a"))
    )
    try:
        found = await keys_of(store, prefix, after)
    except BackendError:
        # The probe shows where "/" is. Other characters may be in another order.
        assert order is by_utf16
        found = await keys_of(store, prefix, after)
    assert found == sorted(key for key in keys if key > after and key.startswith(prefix))


async def test_a_service_that_lists_in_order_is_streamed_after_one_probe() -> None:
    bucket = Bucket(FLAT, by_bytes)
    store = store_on(bucket)
    assert not store.lists_in_order
    listing = store.list_entries()
    first = [(await anext(listing)).key for _ in range(11)]
    await listing.aclose()
    assert first == FLAT[:11]
    # Two pages, the probe, and the page that is fetched ahead.
    assert bucket.requests == [("", 3), ("c.", 1)]
    assert store.lists_in_order
    bucket.requests.clear()
    assert await keys_of(store, start_after=FLAT[29]) == FLAT[30:]
    assert bucket.requests == [(FLAT[29], 2)]


async def test_a_listing_may_begin_after_a_key_on_a_store_that_was_not_used() -> None:
    bucket = Bucket(FLAT, by_bytes)
    assert await keys_of(store_on(bucket), start_after=FLAT[39]) == FLAT[40:]
    assert bucket.requests == [("c.", 1), (FLAT[39], 1)]


async def test_a_service_that_lists_by_folder_never_begins_after_a_key() -> None:
    bucket = Bucket(CONFLICTS, by_folder)
    store = store_on(bucket)
    expected = sorted(CONFLICTS)
    for after in expected[::7]:
        assert await keys_of(store, start_after=after) == expected[expected.index(after) + 1 :]
        assert not store.lists_in_order
    assert {begin for begin, pages in bucket.requests if pages > 1} == {""}


async def test_one_page_is_not_probed() -> None:
    bucket = Bucket(CONFLICTS[5:14], by_folder)
    assert await keys_of(store_on(bucket)) == sorted(CONFLICTS[5:14])
    assert bucket.requests == [("", 1)]


async def test_a_service_that_turns_out_not_to_list_in_order() -> None:
    bucket = Bucket(["b/c", *CONFLICTS[:15]], by_folder, known=True)
    bucket.paths.reverse()
    store = store_on(bucket)
    # Nothing was yielded before the first page showed it.
    assert await keys_of(store) == sorted(["b/c", *CONFLICTS[:15]])
    assert not store.lists_in_order


async def test_an_order_that_changes_after_entries_were_yielded_is_an_error() -> None:
    keys = [f"b{number:02}" for number in range(20)]
    bucket = Bucket([*keys, "a"], by_bytes, known=True)
    bucket.paths.append(bucket.paths.pop(0))
    store = store_on(bucket)
    listing = store.list_entries()
    assert [(await anext(listing)).key for _ in keys] == keys
    with pytest.raises(BackendError, match="listed 'a' after 'b19'"):
        await anext(listing)
    assert await keys_of(store) == ["a", *keys]


class Namespace(Bucket):
    """Lists by folder, and states the folders, as Azure does."""

    async def detailed_pages(self, *args: Any, **options: Any) -> AsyncGenerator[Page, None]:
        async for page in super().detailed_pages(*args, **options):
            if any("/" in path.removeprefix(ROOT) for path, _ in page.objects):
                self.lists_in_order = False
            yield page


async def test_entries_after_the_first_folder_are_sorted() -> None:
    keys = [f"A{number:02}" for number in range(15)] + CONFLICTS
    store = store_on(Namespace(keys, by_folder, known=True))
    listing = store.list_entries()
    assert (await anext(listing)).key == "A00"
    assert [entry.key async for entry in listing] == sorted(keys)[1:]
    assert not store.lists_in_order


async def test_sizes_that_are_not_listed_are_looked_up() -> None:
    bucket = Bucket(FLAT, by_bytes, sized=False)
    bucket.removed = {ROOT + FLAT[3]}
    found = await collect(store_on(bucket).list_entries())
    assert [entry.key for entry in found] == [key for key in FLAT if key != FLAT[3]]
    assert {entry.size for entry in found} == {len(ROOT) + 4}


class Plain(Store):
    """A store of the contract without a backend, with the defaults of the base class."""

    supports_writes = supports_deletes = False
    supports_listing = True

    def __init__(self, sizes: dict[str, int]) -> None:
        super().__init__()
        self.sizes = sizes

    def __eq__(self, other: object) -> bool:
        return self is other

    async def getsize(self, key: str) -> int:
        if self.sizes[key] < 0:
            raise KeyNotFoundError(f"no key {key!r}", key=key)
        return self.sizes[key]

    async def list_prefix(self, prefix: str, **_: Any) -> AsyncGenerator[str, None]:
        for key in self.sizes:
            if key.startswith(prefix):
                yield key

    get = exists = set = delete = list_dir = None  # type: ignore[assignment]


async def test_the_default_sorts_sizes() -> None:
    store = Plain({"b": 1, "a/b": 2, "a-": 3, "gone": -1, "a": 4})
    entries = [Entry("a", 4), Entry("a-", 3), Entry("a/b", 2), Entry("b", 1)]
    assert await collect(store.list_entries()) == entries
    assert await collect(store.list_entries("a", start_after="a")) == entries[1:3]
    assert [*store.sync.list_entries(start_after="a-")] == entries[2:]
    assert not store.lists_in_order


@given(keys, st.data())
@settings(max_examples=50)
async def test_entries_of_memory_and_files(keys: set[str], data: st.DataObject) -> None:
    memory = FsspecStore.from_url(f"memory://{os.urandom(8).hex()}")
    await put(memory, *keys)
    below = {"/".join(key.split("/")[:end]) for key in keys for end in range(1, key.count("/") + 1)}
    files = keys - below
    prefix = data.draw(st.sampled_from(["", "a", "a/", "a/-", "é"]))
    after = data.draw(st.one_of(st.none(), segment, *map(st.just, keys)))
    with tempfile.TemporaryDirectory() as folder:
        local = FsspecStore.from_url(folder)
        await put(local, *files)
        for store, expected in ((memory, keys), (local, files)):
            assert store.lists_in_order
            wanted = [key for key in expected if key.startswith(prefix) and key > (after or "")]
            assert await keys_of(store, prefix, after) == sorted(wanted)
            assert [each.key for each in store.sync.list_entries(prefix)] == sorted(
                key for key in expected if key.startswith(prefix)
            )


async def test_linked_folders_are_listed_in_order(tmp_path: Path) -> None:
    store = FsspecStore.from_url(str(tmp_path / "store"))
    await put(store, "a/x", "a-b", "b/y")
    outside = FsspecStore.from_url(str(tmp_path / "outside"))
    await put(outside, "1/v", "2-3")
    (tmp_path / "store" / "a.c").symlink_to(tmp_path / "outside")
    (tmp_path / "store" / "b" / "up").symlink_to(tmp_path / "store")
    expected = sorted([key async for key in store.list()])
    assert expected == ["a-b", "a.c/1/v", "a.c/2-3", "a/x", "b/y"]
    assert await keys_of(store) == expected
    for after in expected:
        assert await keys_of(store, start_after=after) == expected[expected.index(after) + 1 :]


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="needs a tmpfs, which keeps any time")
async def test_a_file_may_have_a_time_that_python_has_not() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder, "a")
        path.write_bytes(b"x")
        os.utime(path, (2**40, 2**40))
        store = FsspecStore.from_url(folder)
        assert await collect(store.list_entries()) == [Entry("a", 1)]


@given(st.lists(st.lists(st.integers(0, 2000), max_size=400), max_size=6))
@settings(max_examples=20, deadline=None)
async def test_the_sort_returns_each_key_once(parts: list[list[int]]) -> None:
    with EntrySort(run_entries=300) as entries:
        for _ in range(2):
            assert not entries
            for part in parts:
                await entries.add([_entry(number) for number in part])
            found = [each async for batch in entries.batches() for each in batch]
            assert found == [
                _entry(number) for number in sorted({n for part in parts for n in part})
            ]


def _entry(number: int) -> Entry:
    details = Details(version=f'"{number}"', checksums={"md5": number.to_bytes(16)})
    return Entry(f"c/{number:09}", number, *details)


@pytest.mark.slow
async def test_the_memory_of_a_sort_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    count = 200_000
    tracemalloc.start()
    try:
        with EntrySort() as entries:
            for start in range(0, count, 1000):
                # No two neighbours are in order.
                some = (n * 77_777 % count for n in range(start, start + 1000))
                await entries.add([Entry(f"c/{n:09}", n) for n in some])
            seen, last = 0, ""
            async for batch in entries.batches():
                seen += len(batch)
                assert last < batch[0].key
                last = batch[-1].key
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen == count
    assert most < 60 * 2**20
    assert [*tmp_path.iterdir()] == []


async def test_a_value_is_not_read(tmp_path: Path) -> None:
    store = FsspecStore.from_url(str(tmp_path))
    await store.set("a", buf(b"x"))
    before = os.stat(tmp_path / "a").st_atime_ns
    await collect(store.list_entries())
    assert os.stat(tmp_path / "a").st_atime_ns == before
