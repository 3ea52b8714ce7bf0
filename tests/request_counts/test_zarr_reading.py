"""Requests of zarr, as it opens and reads arrays and groups: nothing is asked for twice.

The numbers are zarr's: a store answers each of its questions with one request.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import zarr
from proxied import closing_all
from servers import S3Endpoint
from servers.fault_proxy import FaultProxy

from fsspec_store.zarr import ZarrStore

from .counting import counting, query

DATA = np.arange(400, dtype="i4").reshape(20, 20)

MakeStore = Callable[..., ZarrStore]


@pytest.fixture(scope="module")
def bucket(seaweedfs_endpoint: S3Endpoint) -> str:
    return seaweedfs_endpoint.make_bucket()


@pytest.fixture
def endpoint(seaweedfs_endpoint: S3Endpoint) -> S3Endpoint:
    return seaweedfs_endpoint


@pytest.fixture
def make_store(endpoint: S3Endpoint, bucket: str, proxy: FaultProxy) -> Iterator[MakeStore]:
    """Makes stores on a group of two arrays: ``plain`` of 4 chunks, ``sharded`` of 4 shards."""
    options = dataclasses.replace(endpoint, url=proxy.url).storage_options()
    url = f"s3://{bucket}/data.zarr"
    defaults = {"read_only": True}
    with closing_all(lambda **more: ZarrStore.from_url(url, options, **defaults | more)) as make:
        group = zarr.open_group(store=make(read_only=False), mode="w")
        for name, layout in (
            ("plain", {"chunks": (10, 10)}),
            ("sharded", {"chunks": (5, 5), "shards": (10, 10)}),
        ):
            array = group.create_array(name, shape=DATA.shape, dtype=DATA.dtype, **layout)
            array[:] = DATA
        yield make


def asked_for(seen: Any) -> Counter[str]:
    """What was asked for: names below the group, and listings as ``*``."""
    names = (request.target.partition("?")[0].partition("/data.zarr/")[2] for request in seen)
    return Counter(
        "*" if "list-type" in query(request) else name
        for request, name in zip(seen, names, strict=True)
    )


def test_an_array_is_opened_by_its_metadata_and_read_a_request_a_chunk(
    make_store: MakeStore, proxy: FaultProxy
) -> None:
    chunks = {f"plain/c/{row}/{column}": 1 for row in range(2) for column in range(2)}
    store = make_store()
    with counting(proxy, store) as seen:
        array = zarr.open_array(store=store, path="plain", mode="r", zarr_format=3)
    assert asked_for(seen) == {"plain/zarr.json": 1}
    with counting(proxy, store) as seen:
        np.testing.assert_array_equal(array[:], DATA)
    assert asked_for(seen) == chunks
    with counting(proxy, store) as seen:
        np.testing.assert_array_equal(array[12:15, 3:5], DATA[12:15, 3:5])
    assert asked_for(seen) == {"plain/c/1/0": 1}


def test_opening_without_a_format_requests_both(make_store: MakeStore, proxy: FaultProxy) -> None:
    store = make_store()
    with counting(proxy, store) as seen:
        zarr.open_array(store=store, path="plain", mode="r")
    assert asked_for(seen) == {f"plain/{name}": 1 for name in ("zarr.json", ".zarray", ".zattrs")}
    store = make_store()
    with counting(proxy, store) as seen:
        zarr.open_group(store=store, mode="r")
    assert asked_for(seen) == dict.fromkeys(("zarr.json", ".zgroup", ".zattrs", ".zmetadata"), 1)


def test_a_part_of_a_shard_is_its_index_and_one_range(
    make_store: MakeStore, proxy: FaultProxy
) -> None:
    store = make_store()
    array = zarr.open_array(store=store, path="sharded", mode="r", zarr_format=3)
    with counting(proxy, store) as seen:
        np.testing.assert_array_equal(array[:], DATA)
    assert set(asked_for(seen).values()) == {1}
    assert len(seen) == 4
    with counting(proxy, store) as seen:
        np.testing.assert_array_equal(array[:5, :5], DATA[:5, :5])
    assert asked_for(seen) == {"sharded/c/0/0": 2}
    assert all("range" in request.headers for request in seen)


def test_the_arrays_of_a_group_are_one_listing_and_a_request_for_each(
    make_store: MakeStore, proxy: FaultProxy
) -> None:
    store = make_store()
    with counting(proxy, store) as seen:
        group = zarr.open_group(store=store, mode="r", zarr_format=3)
        assert {name for name, _ in group.arrays()} == {"plain", "sharded"}
    each = {"plain/zarr.json": 1, "sharded/zarr.json": 1}
    assert asked_for(seen) == {"zarr.json": 1, "*": 1, **each}


@pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")
def test_a_consolidated_group_is_one_request(make_store: MakeStore, proxy: FaultProxy) -> None:
    zarr.consolidate_metadata(make_store(read_only=False))
    store = make_store()
    with counting(proxy, store) as seen:
        group = zarr.open_group(store=store, mode="r", zarr_format=3)
        assert {name for name, _ in group.arrays()} == {"plain", "sharded"}
    assert asked_for(seen) == {"zarr.json": 1}
