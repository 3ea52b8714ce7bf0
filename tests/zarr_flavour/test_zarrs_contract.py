"""The store has all methods of the installed zarr's `Store`, with the results of its defaults."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zarr.abc.store
from hypothesis import given
from hypothesis import strategies as st
from zarr.abc.store import (
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import cpu, default_buffer_prototype
from zarr.storage import LoggingStore, MemoryStore, StorePath, WrapperStore

from fsspec_store.errors import ByteRangeError
from fsspec_store.zarr import ZarrStore

MEMBERS = sorted(
    {name for name in dir(Store) if not name.startswith("__")} - {"_abc_impl"}
    | {"__enter__", "__exit__"}
)

#: Parameters whose default is not zarr's: measured limits, and the store's own concurrency. zarr's
#: pipelines pass their values.
OWN_DEFAULTS = {"max_concurrency", "max_gap_bytes", "max_coalesced_bytes"}


def differences(theirs: Any, ours: Any) -> list[str]:
    """Parameters of zarr's method that the other method lacks, or that differ."""
    found = []
    of_theirs = inspect.signature(theirs).parameters
    of_ours = inspect.signature(ours).parameters
    for place, (name, expected) in enumerate(of_theirs.items()):
        taken = of_ours.get(name)
        if taken is None:
            found.append(f"{name} is missing")
            continue
        if taken.kind != expected.kind:
            found.append(f"{name} is {taken.kind.description}")
        if expected.kind is not expected.KEYWORD_ONLY and list(of_ours)[place] != name:
            found.append(f"{name} has another place")
        if expected.default not in (expected.empty, taken.default) and (
            name not in OWN_DEFAULTS or taken.default is taken.empty
        ):
            found.append(f"{name} is {taken.default} by default")
    for name, taken in of_ours.items():
        if (
            name not in of_theirs
            and taken.default is taken.empty
            and taken.kind
            not in (
                taken.VAR_KEYWORD,
                taken.VAR_POSITIONAL,
            )
        ):
            found.append(f"{name} is required")
    return found


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_of_zarrs_store_is_here_and_called_the_same(name: str) -> None:
    theirs = inspect.getattr_static(Store, name)
    ours = inspect.getattr_static(ZarrStore, name)
    assert isinstance(ours, property) == isinstance(theirs, property)
    assert isinstance(ours, classmethod) == isinstance(theirs, classmethod)
    if isinstance(theirs, property):
        return
    theirs, ours = getattr(Store, name), getattr(ZarrStore, name)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)
    if inspect.isasyncgenfunction(theirs):
        assert inspect.isasyncgenfunction(ours)
    assert differences(theirs, ours) == []


def test_what_zarr_looks_for_on_an_instance(tmp_path: Path) -> None:
    store = ZarrStore.from_url(str(tmp_path))
    for name in Store.__annotations__:
        assert hasattr(store, name)
    assert store._is_open is False
    assert store._read_only is False


PROTOCOLS = ["SupportsGetSync", "SupportsSetSync", "SupportsDeleteSync", "SupportsSyncStore"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_blocking_protocols(name: str, tmp_path: Path) -> None:
    protocol = getattr(zarr.abc.store, name, None)
    if protocol is None:
        pytest.skip("cannot: this release of zarr has no blocking methods")
    store = ZarrStore.from_url(str(tmp_path))
    assert isinstance(store, protocol)
    methods = [method for method in dir(protocol) if method.endswith("_sync")]
    assert methods
    for method in methods:
        assert differences(getattr(protocol, method), getattr(ZarrStore, method)) == []


@pytest.mark.parametrize("wrapper", [WrapperStore, LoggingStore])
def test_a_wrapper_blocks_where_the_store_does(wrapper: type[Any], tmp_path: Path) -> None:
    supports = getattr(zarr.abc.store, "_store_supports_sync_io", None)
    if supports is None:
        pytest.skip("cannot: this release of zarr has no fused pipeline")
    blocking = ZarrStore.from_url(str(tmp_path))
    awaiting = ZarrStore.from_url("s3://bucket", {"anon": True})
    for store, expected in ((blocking, True), (awaiting, False)):
        assert supports(store) is expected
        assert supports(wrapper(store)) is expected


def test_a_path_in_the_store_is_zarrs_getter_and_setter(tmp_path: Path) -> None:
    path = StorePath(ZarrStore.from_url(str(tmp_path)), "a")
    assert isinstance(path, zarr.abc.store.ByteGetter)
    assert isinstance(path, zarr.abc.store.ByteSetter)


# -- Ranges: the results of zarr's own default -----------------------------------------------------

SIZE = 60
VALUE = bytes(range(SIZE))
PLACES = st.integers(0, SIZE + 20)
REQUESTS = st.one_of(
    st.tuples(PLACES, PLACES).map(lambda ends: RangeByteRequest(min(ends), max(ends))),
    PLACES.map(OffsetByteRequest),
    PLACES.map(SuffixByteRequest),
    st.none(),
)
BOUNDS = st.fixed_dictionaries(
    {}, optional={"max_gap_bytes": st.integers(0, 30), "max_coalesced_bytes": st.integers(0, 90)}
)

Outcome = tuple[dict[int, bytes], int, set[type[BaseException]]]


async def outcome(batches: Any) -> Outcome:
    """The values by index, the number of fetches, and the types of the errors."""
    found: dict[int, bytes] = {}
    count = 0
    raised: set[type[BaseException]] = set()
    try:
        async for batch in batches:
            count += 1
            for place, value in batch:
                assert place not in found
                assert isinstance(value, cpu.Buffer)
                found[place] = value.to_bytes()
    except* Exception as group:
        for error in group.exceptions:
            raised.add(FileNotFoundError if isinstance(error, FileNotFoundError) else type(error))
    return found, count, raised


def blocking_outcome(read: Any) -> tuple[dict[int, bytes], set[type[BaseException]]]:
    found: dict[int, bytes] = {}
    raised: set[type[BaseException]] = set()
    try:
        found = {place: value.to_bytes() for place, value in read()}
    except* FileNotFoundError:
        raised.add(FileNotFoundError)
    return found, raised


@pytest.fixture(scope="module", params=["memory", "local", "seaweedfs"])
def stores(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ZarrStore, MemoryStore]]:
    if not hasattr(Store, "get_ranges"):
        pytest.skip("cannot: this release of zarr has no get_ranges")
    options: dict[str, Any] = {}
    if request.param == "seaweedfs":
        endpoint = request.getfixturevalue("seaweedfs_endpoint")
        url, options = f"s3://{endpoint.make_bucket()}/root", endpoint.storage_options()
    elif request.param == "local":
        url = str(tmp_path_factory.mktemp("ranges"))
    else:
        url = "memory://zarrs-contract"
    with ZarrStore.from_url(url, options) as ours:
        theirs = MemoryStore()
        ours.set_sync("a", cpu.Buffer.from_bytes(VALUE))
        asyncio.run(theirs.set("a", cpu.Buffer.from_bytes(VALUE)))
        yield ours, theirs


@given(key=st.sampled_from(["a", "a", "a", "missing"]), requests=st.lists(REQUESTS), bounds=BOUNDS)
def test_get_ranges_has_the_results_of_zarrs_default_with_no_more_fetches(
    stores: tuple[ZarrStore, MemoryStore], key: str, requests: list[Any], bounds: dict[str, int]
) -> None:
    ours, theirs = stores
    prototype = default_buffer_prototype()

    async def both() -> tuple[Outcome, Outcome, Outcome]:
        # zarr's defaults where no bounds are given, or fetches could not be compared.
        given = {"max_gap_bytes": 2**20, "max_coalesced_bytes": 2**24} | bounds
        return (
            await outcome(ours.get_ranges(key, requests, prototype=prototype, **given)),
            await outcome(theirs.get_ranges(key, requests, prototype=prototype, **given)),
            # zarr's default on this store's own `get`.
            await outcome(Store.get_ranges(ours, key, requests, prototype=prototype, **given)),
        )

    mine, models, defaults = asyncio.run(both())
    assert mine[0] == models[0] == defaults[0]
    assert mine[1] <= models[1]
    assert mine[2] == models[2] == defaults[2]


@given(key=st.sampled_from(["a", "a", "a", "missing"]), requests=st.lists(REQUESTS), bounds=BOUNDS)
def test_get_ranges_sync_has_the_results_of_zarrs_default(
    stores: tuple[ZarrStore, MemoryStore], key: str, requests: list[Any], bounds: dict[str, int]
) -> None:
    ours, theirs = stores
    prototype = default_buffer_prototype()
    mine, models, defaults = (
        blocking_outcome(partial(method, key, requests, prototype=prototype, **bounds))
        for method in (
            ours.get_ranges_sync,
            theirs.get_ranges_sync,
            partial(Store.get_ranges_sync, ours),
        )
    )
    assert mine == models == defaults


@pytest.mark.parametrize("bad", [(0, 2), slice(2), 5, "a", b"0-2"])
async def test_an_invalid_request_is_caught_as_zarrs_is(
    stores: tuple[ZarrStore, MemoryStore], bad: Any
) -> None:
    """zarr's default raises in a group, when a fetch fails; this store raises before any fetch."""
    ours, theirs = stores
    for store in (ours, theirs):
        caught = None
        try:
            async for _ in store.get_ranges("a", [bad], prototype=default_buffer_prototype()):
                raise AssertionError("no error")
        except* (ValueError, TypeError) as group:
            caught = group
        assert caught is not None
        (error,) = caught.exceptions
        assert "Unexpected byte_range, got" in str(error)


async def test_no_ranges_have_no_results(stores: tuple[ZarrStore, MemoryStore]) -> None:
    for store in stores:
        for key in ("a", "missing"):
            ranges = store.get_ranges(key, [], prototype=default_buffer_prototype())
            assert [batch async for batch in ranges] == []


async def test_an_early_end_leaves_nothing_running(
    stores: tuple[ZarrStore, MemoryStore],
) -> None:
    requests = [RangeByteRequest(start, start + 1) for start in range(SIZE)]
    for store in stores:
        before = asyncio.all_tasks()
        ranges = store.get_ranges(
            "a", requests, prototype=default_buffer_prototype(), max_gap_bytes=0, max_concurrency=2
        )
        # Nothing touches, but everything is next to something.
        assert len(await anext(ranges)) == SIZE
        await ranges.aclose()
        apart = store.get_ranges(
            "a",
            requests[::2],
            prototype=default_buffer_prototype(),
            max_gap_bytes=0,
            max_concurrency=2,
        )
        assert len(await anext(apart)) == 1
        await apart.aclose()
        assert asyncio.all_tasks() == before


@pytest.mark.parametrize("most", [1, 10])
async def test_one_fetch_that_fails_is_a_group_of_its_error(
    stores: tuple[ZarrStore, MemoryStore], most: int
) -> None:
    """Earlier values are correct, and the group has only this error."""
    ours, _ = stores
    strict = ZarrStore(ours.fs, ours.path, out_of_range="raise")
    requests = [RangeByteRequest(0, 5), RangeByteRequest(20, 30), RangeByteRequest(SIZE, SIZE + 9)]
    bounds = {"max_gap_bytes": 0, "max_concurrency": most}
    prototype = default_buffer_prototype()
    for ranges in (
        strict.get_ranges("a", requests, prototype=prototype, **bounds),
        Store.get_ranges(strict, "a", requests, prototype=prototype, **bounds),
    ):
        found, count, raised = await outcome(ranges)
        assert raised == {ByteRangeError}
        assert count == len(found) < len(requests)
        for place, value in found.items():
            assert value == VALUE[requests[place].start : requests[place].end]
    await strict.aclose()
