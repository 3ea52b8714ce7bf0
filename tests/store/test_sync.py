"""The blocking methods have the same results as the asynchronous ones, on any thread."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fsspec.asyn import get_loop
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import S3Endpoint

from fsspec_store import (
    Buffer,
    FsspecStore,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from fsspec_store._runtime.blocking import iterate, run
from fsspec_store._store.sync import SyncStore
from fsspec_store.contract import Versioned
from fsspec_store.errors import KeyNotFoundError


class OtherFileSystem(MemoryFileSystem):
    """No backend knows it: each of its calls is awaited in a thread."""


def new_store() -> FsspecStore:
    return FsspecStore(OtherFileSystem(), uuid4().hex, allow_racy_create=True)


def new_memory() -> FsspecStore:
    return FsspecStore.from_url(f"memory://{uuid4().hex}")


def plain(value: Any) -> Any:
    """What a test compares: bytes for buffers, lists for iterators."""
    if isinstance(value, Buffer):
        return value.to_bytes()
    if isinstance(value, Versioned):
        # Versions differ between stores.
        return value.value.to_bytes(), type(value.version)
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def sorted_plain(value: Any) -> Any:
    return sorted(plain(value), key=repr)


KEYS = st.sampled_from(["a", "b", "c/0", "c/1", "c/d/0", "", "/bad"])
DATA = st.binary(max_size=20)
RANGES = st.one_of(
    st.none(),
    st.tuples(st.integers(0, 25), st.integers(0, 25)).map(
        lambda pair: RangeByteRequest(min(pair), max(pair))
    ),
    st.integers(0, 25).map(OffsetByteRequest),
    st.integers(0, 25).map(SuffixByteRequest),
)
#: Arguments, by the name of the method that takes them.
CALLS = st.one_of(
    st.tuples(st.just("get"), st.tuples(KEYS, st.none(), RANGES)),
    st.tuples(st.just("get_version"), st.tuples(KEYS)),
    st.tuples(
        st.just("get_partial_values"),
        st.tuples(st.none(), st.lists(st.tuples(KEYS, RANGES), max_size=4)),
    ),
    st.tuples(st.just("get_ranges"), st.tuples(KEYS, st.lists(RANGES, max_size=4))),
    st.tuples(st.sampled_from(["exists", "getsize"]), st.tuples(KEYS)),
    st.tuples(
        st.sampled_from(["set", "set_if_not_exists"]),
        st.tuples(KEYS, DATA.map(Buffer.from_bytes)),
    ),
    st.tuples(
        st.just("set_partial_values"),
        st.tuples(st.lists(st.tuples(KEYS, st.integers(0, 9), DATA), max_size=3)),
    ),
    st.tuples(st.sampled_from(["delete", "delete_dir"]), st.tuples(KEYS)),
    st.tuples(st.sampled_from(["clear", "list", "list_sizes"]), st.tuples()),
    st.tuples(
        st.sampled_from(["list_prefix", "list_dir", "list_sizes", "is_empty", "getsize_prefix"]),
        st.tuples(KEYS),
    ),
)


async def asynchronous(store: FsspecStore, name: str, args: tuple[Any, ...]) -> Any:
    try:
        result = getattr(store, name)(*args)
        if isinstance(result, AsyncGenerator):
            return sorted_plain([item async for item in result])
        return plain(await result)
    except (Exception, BaseExceptionGroup) as error:
        return type(error), str(error)


def blocking(store: FsspecStore, name: str, args: tuple[Any, ...]) -> Any:
    try:
        result = getattr(store.sync, name)(*args)
        return sorted_plain(list(result)) if inspect.isgenerator(result) else plain(result)
    except (Exception, BaseExceptionGroup) as error:
        return type(error), str(error)


@pytest.fixture(params=["other", "memory", "files", "read-only"])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], FsspecStore]:
    def new_folder() -> FsspecStore:
        return FsspecStore.from_url(tmp_path / uuid4().hex)

    def new_read_only() -> FsspecStore:
        store = new_memory()
        store.sync.set("a", Buffer.from_bytes(b"written before"))
        return store.with_read_only(True)

    kinds = {"other": new_store, "memory": new_memory, "files": new_folder}
    return kinds.get(request.param, new_read_only)


@given(calls=st.lists(CALLS, max_size=12))
def test_blocking_and_async_methods_have_the_same_results_and_effects(
    new: Callable[[], FsspecStore], calls: list[tuple[str, Any]]
) -> None:
    compare(new(), new(), calls)


@settings(max_examples=25)
@given(calls=st.lists(CALLS, max_size=8))
def test_blocking_and_async_methods_have_the_same_results_on_a_service(
    minio_endpoint: S3Endpoint, calls: list[tuple[str, Any]]
) -> None:
    # Two loops use them, and each loop's connections end with it.
    url, options = f"s3://{minio_endpoint.make_bucket()}", minio_endpoint.storage_options()
    with (
        FsspecStore.from_url(f"{url}/one", options) as one,
        FsspecStore.from_url(f"{url}/two", options) as other,
    ):
        compare(one, other, calls)


def compare(one: FsspecStore, other: FsspecStore, calls: list[tuple[str, Any]]) -> None:
    async def use() -> list[Any]:
        return [await asynchronous(one, name, args) for name, args in calls]

    expected = asyncio.run(use())
    found = [blocking(other, name, args) for name, args in calls]
    # Errors name the store.
    assert comparable(found, other) == comparable(expected, one)
    for store in (one, other):
        store.with_read_only(False).sync.clear()


def comparable(results: list[Any], store: FsspecStore) -> str:
    return repr(results).replace(store.url, "store")


def public_methods(of: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in inspect.getmembers(of, inspect.isfunction)
        if not name.startswith("_")
    }


@pytest.mark.parametrize("store", [Store, FsspecStore])
def test_every_method_exists_with_its_parameters(store: type) -> None:
    of_store, of_sync = public_methods(store), public_methods(SyncStore)
    awaited = {
        name: signature
        for name, signature in of_store.items()
        if inspect.iscoroutinefunction(getattr(store, name))
        or "AsyncGenerator" in str(signature.return_annotation)
        # Asynchronous context managers.
        or name in ("open_reader", "open_writer")
    }
    assert len(awaited) >= 20
    left_out = {"aclose"}
    assert set(of_sync) == set(awaited) - left_out | {"close"}
    for name in set(awaited) - left_out:
        # As they are, of all their fields: neither the kind nor the names of types differ.
        ours, theirs = of_sync[name].parameters, awaited[name].parameters
        assert list(ours.values()) == list(theirs.values())


async def test_they_work_where_a_loop_runs_and_next_to_async_methods() -> None:
    store = new_store()
    store.sync.set("a", Buffer.from_bytes(b"x"))
    assert (await store.get("a")).to_bytes() == b"x"
    await store.set("b", Buffer.from_bytes(b"y"))
    assert list(store.sync.list()) == ["a", "b"]


async def test_on_fsspecs_own_loop_they_raise() -> None:
    store = new_store()

    async def call() -> None:
        store.sync.exists("a")

    future = asyncio.run_coroutine_threadsafe(call(), get_loop())
    with pytest.raises(RuntimeError, match="await the method"):
        await asyncio.wrap_future(future)


def test_many_threads_at_once() -> None:
    store = new_store()

    def use(number: int) -> bytes:
        store.sync.set(f"c/{number}", Buffer.from_bytes(b"%d" % number))
        return store.sync.get(f"c/{number}").to_bytes()

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(use, range(200))) == [b"%d" % number for number in range(200)]
    assert sum(1 for _ in store.sync.list()) == 200


def test_an_interruption_cancels_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def interrupted(future: Any) -> None:
        begun.wait(20)
        raise KeyboardInterrupt

    monkeypatch.setattr("concurrent.futures.Future.result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(work())
    assert cancelled.wait(20)


@pytest.mark.parametrize("is_begun", [True, False])
def test_an_interruption_before_the_wait_leaves_nothing_running(
    monkeypatch: pytest.MonkeyPatch, is_begun: bool
) -> None:
    loop = get_loop()
    begun, cancelled = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    def interrupted(callback: Callable[..., Any], *args: Any, **more: Any) -> None:
        monkeypatch.undo()
        if is_begun:
            loop.call_soon_threadsafe(callback, *args, **more)
            assert begun.wait(20)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "call_soon_threadsafe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(work())
    assert not is_begun or cancelled.wait(20)
    assert begun.is_set() == is_begun


class Counted:
    """A generator that records how many items were taken, and that it was closed."""

    def __init__(self, size: int) -> None:
        self.taken = 0
        self.closed = False
        self._size = size

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(self._size):
                self.taken = number + 1
                yield number
        finally:
            self.closed = True


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 100, 5000])
def test_a_listing_has_all_items_in_order(size: int) -> None:
    counted = Counted(size)
    assert list(iterate(counted.items())) == list(range(size))
    assert counted.closed


def test_a_listing_is_not_fetched_far_ahead_and_closed_when_left() -> None:
    counted = Counted(10**9)
    found = iterate(counted.items())
    assert counted.taken == 0
    assert next(found) == 0
    assert counted.taken == 1
    assert list(islice(found, 5000)) == list(range(1, 5001))
    assert counted.taken <= 5001 + 2000
    found.close()
    assert counted.closed


def test_an_error_of_a_listing_is_raised_after_the_items_before_it() -> None:
    async def items() -> AsyncGenerator[int, None]:
        yield 1
        raise KeyNotFoundError("gone", key="a")

    found = iterate(items())
    assert next(found) == 1
    with pytest.raises(KeyNotFoundError):
        next(found)


def test_leaving_the_block_closes_the_store() -> None:
    store = new_store()
    with store.sync as sync:
        sync.set("a", Buffer.from_bytes(b"x"))
        assert store._is_open
    assert not store._is_open
