"""The zarr flavour can be called wherever zarr's own abstract store can, and answers alike.

Held against the release of zarr that is installed: its signatures, and its own way of reading
ranges, which needs nothing of a store but `get`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from itertools import chain
from typing import Any
from uuid import uuid4

import pytest
import zarr.abc.store
from hypothesis import given
from hypothesis import strategies as st
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import cpu, default_buffer_prototype

from fsspec_store.zarr import FsspecStore

#: Everything that zarr may call on a store, its private methods among it.
MEMBERS = sorted(name for name in vars(Store) if not (name.startswith("__") or name == "_abc_impl"))
METHODS = [name for name in MEMBERS if callable(getattr(Store, name))]


def parameters(owner: Any, name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(getattr(owner, name)).parameters)


def kind(method: Callable[..., Any]) -> tuple[bool, bool]:
    return inspect.iscoroutinefunction(method), inspect.isasyncgenfunction(method)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_what_zarrs_takes(name: str) -> None:
    asked, ours = parameters(Store, name), parameters(FsspecStore, name)
    for parameter in asked.values():
        assert parameter.name in ours
        own = ours[parameter.name]
        assert own.kind == parameter.kind
        if parameter.default is not inspect.Parameter.empty:
            assert own.default is not inspect.Parameter.empty
    beyond = [parameter for name, parameter in ours.items() if name not in asked]
    assert all(parameter.kind == inspect.Parameter.KEYWORD_ONLY for parameter in beyond)
    assert all(parameter.default is not inspect.Parameter.empty for parameter in beyond)
    # The abstract listings are plain methods, of which zarr says that they should not be.
    if name not in ("list", "list_dir", "list_prefix"):
        assert kind(getattr(FsspecStore, name)) == kind(getattr(Store, name))


@pytest.mark.parametrize("name", [name for name in MEMBERS if name not in METHODS])
def test_what_zarr_asks_without_calling_is_there(name: str) -> None:
    assert isinstance(inspect.getattr_static(FsspecStore, name), property)


PROTOCOLS = ["SupportsGetSync", "SupportsSetSync", "SupportsDeleteSync"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_blocking_methods_are_those_of_zarrs_protocols(name: str) -> None:
    protocol = getattr(zarr.abc.store, name, None)
    if protocol is None:
        pytest.skip("cannot: this release of zarr has no blocking methods")
    assert issubclass(FsspecStore, protocol)
    (method,) = (each for each in vars(protocol) if each.endswith("_sync"))
    asked, ours = parameters(protocol, method), parameters(FsspecStore, method)
    assert [(each.name, each.kind, each.default) for each in asked.values()] == [
        (each.name, each.kind, each.default) for each in ours.values()
    ]


# -- Ranges ---------------------------------------------------------------------------------------

positions = st.integers(0, 40)
requests = st.one_of(
    st.none(),
    st.builds(OffsetByteRequest, positions),
    st.builds(SuffixByteRequest, positions),
    st.tuples(positions, positions).map(lambda pair: RangeByteRequest(min(pair), max(pair))),
)
asked_ranges = st.lists(requests, max_size=8)
bounds = st.fixed_dictionaries(
    {"max_gap_bytes": st.integers(0, 12), "max_coalesced_bytes": st.integers(0, 40)}
)

needs_ranges = pytest.mark.skipif(
    not hasattr(Store, "get_ranges"), reason="cannot: this release of zarr reads no ranges"
)


async def read(method: Any, store: FsspecStore, ranges: Any, limits: dict[str, int]) -> Any:
    """What a way of reading ranges gives: places and bytes, or the types of what it raises."""
    found = method(store, "key", ranges, prototype=default_buffer_prototype(), **limits)
    try:
        return [[(place, value.to_bytes()) for place, value in batch] async for batch in found]
    except BaseExceptionGroup as group:
        assert group.subgroup(FileNotFoundError)
        assert group.split(FileNotFoundError)[1] is None
        return FileNotFoundError


def both(value: bytes | None, ranges: Any, limits: dict[str, int]) -> tuple[Any, Any]:
    async def run() -> tuple[Any, Any]:
        store = FsspecStore.from_url(f"memory://{uuid4().hex}")
        if value is not None:
            await store.set("key", cpu.Buffer.from_bytes(value))
        zarrs: Any = Store.get_ranges
        return (
            await read(zarrs, store, ranges, limits),
            await read(FsspecStore.get_ranges, store, ranges, limits),
        )

    return asyncio.run(run())


@needs_ranges
@given(value=st.binary(max_size=40), ranges=asked_ranges, limits=bounds)
def test_ranges_are_what_zarr_would_read(
    value: bytes, ranges: list[Any], limits: dict[str, int]
) -> None:
    zarrs, ours = both(value, ranges, limits)
    assert sorted(chain(*ours)) == sorted(chain(*zarrs))


@needs_ranges
@given(
    ends=st.lists(st.tuples(positions, st.integers(1, 10)), unique=True, max_size=8),
    limits=bounds,
)
def test_ranges_are_fetched_in_no_more_reads_than_by_zarr(
    ends: list[tuple[int, int]], limits: dict[str, int]
) -> None:
    ranges = [RangeByteRequest(start, start + length) for start, length in ends]
    zarrs, ours = both(bytes(60), ranges, limits)
    assert len(ours) <= len(zarrs)
    longest = max([limits["max_coalesced_bytes"], *(length for _, length in ends)])
    for batch in ours:
        starts = [ranges[place].start for place, _ in batch]
        span = max(ranges[place].end for place, _ in batch) - min(starts)
        assert span <= longest
        # As in zarr's batches, what comes first in the value comes first.
        assert starts == sorted(starts)


@needs_ranges
@given(ranges=asked_ranges, limits=bounds)
def test_ranges_of_a_missing_key_fail_as_they_do_in_zarr(
    ranges: list[Any], limits: dict[str, int]
) -> None:
    zarrs, ours = both(None, ranges, limits)
    assert ours == zarrs == (FileNotFoundError if ranges else [])
