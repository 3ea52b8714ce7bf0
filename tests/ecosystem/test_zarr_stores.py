"""zarr's other stores: beside this one on the same data, and around it."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr
import zarr.storage
from obstore.store import S3Store
from servers import S3Endpoint
from servers.s3_endpoint import REGION
from zarr.abc.store import Store

from fsspec_store.zarr import ZarrStore

from .places import Place

DATA = np.arange(600, dtype="i4").reshape(20, 30)


# -- Beside this one -------------------------------------------------------------------------------


@pytest.fixture(params=["FsspecStore", "ObjectStore"])
def make_other(
    request: pytest.FixtureRequest, place: Place, seaweedfs_endpoint: S3Endpoint
) -> Callable[[str], Store]:
    """Makes a store of zarr's own where `place.open` makes one of ours."""

    def make(below: str) -> Store:
        if request.param == "FsspecStore":
            fs = fsspec.filesystem("s3", asynchronous=True, **place.options)
            return zarr.storage.FsspecStore(fs, path=f"{place.path}/{below}")
        bucket, _, prefix = place.path.partition("/")
        return zarr.storage.ObjectStore(
            S3Store(
                bucket,
                prefix=f"{prefix}/{below}",
                endpoint=seaweedfs_endpoint.url,
                access_key_id=seaweedfs_endpoint.key,
                secret_access_key=seaweedfs_endpoint.secret,
                region=REGION,
                client_options={"allow_http": True},
            )
        )

    return make


def write(store: Store, zarr_format: Any) -> None:
    root = zarr.create_group(store=store, attributes={"title": "field"}, zarr_format=zarr_format)
    root.create_array("plain", data=DATA, chunks=(10, 10))
    root.create_array("below/empty", shape=(4,), dtype="f8", fill_value=2.5)
    if zarr_format == 3:
        root.create_array("sharded", data=DATA, chunks=(5, 5), shards=(10, 15))


def check(store: Store, zarr_format: Any) -> None:
    root = zarr.open_group(store=store, mode="r", zarr_format=zarr_format)
    assert dict(root.attrs) == {"title": "field"}
    sharded = ["sharded"] if zarr_format == 3 else []
    found = dict(root.members(max_depth=None))
    assert sorted(found) == ["below", "below/empty", "plain", *sharded]
    for name in ("plain", *sharded):
        np.testing.assert_array_equal(found[name][:], DATA)  # type: ignore[index]
        np.testing.assert_array_equal(found[name][3:8, 12:], DATA[3:8, 12:])  # type: ignore[index]
    assert found["below/empty"][:].tolist() == [2.5] * 4  # type: ignore[index,union-attr]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_each_reads_what_the_other_wrote(
    place: Place, make_other: Callable[[str], Store], zarr_format: Any
) -> None:
    write(place.open("ours.zarr"), zarr_format)
    check(make_other("ours.zarr"), zarr_format)
    write(make_other("theirs.zarr"), zarr_format)
    check(place.open("theirs.zarr", read_only=True), zarr_format)
    # One goes on with what the other began.
    zarr.open_array(store=place.open("theirs.zarr"), path="plain", mode="r+")[5:] = 7
    zarr.open_array(store=make_other("theirs.zarr"), path="plain", mode="r+")[:, 20:] = 8
    expected = DATA.copy()
    expected[5:] = 7
    expected[:, 20:] = 8
    for store in (place.open("theirs.zarr"), make_other("theirs.zarr")):
        np.testing.assert_array_equal(zarr.open_array(store=store, path="plain")[:], expected)


# -- Around it -------------------------------------------------------------------------------------


def logging_store(store: ZarrStore) -> Store:
    handler = logging.NullHandler()
    return zarr.storage.LoggingStore(store, log_handler=handler)


def cache_store(store: ZarrStore) -> Store:
    cache = pytest.importorskip("zarr.experimental.cache_store")
    made: Store = cache.CacheStore(store, cache_store=zarr.storage.MemoryStore())
    return made


WRAPPERS = pytest.mark.parametrize(
    "wrap", [zarr.storage.WrapperStore, logging_store, cache_store], ids=lambda made: made.__name__
)


@WRAPPERS
def test_a_wrapped_store_reads_and_writes(place: Place, wrap: Callable[..., Store]) -> None:
    write(wrap(place.open()), 3)
    check(wrap(place.open(read_only=True)), 3)
    check(place.open(), 3)
    wrapped = wrap(place.open())
    check(wrapped, 3)
    # What a wrapper may keep is what was written by it.
    array = zarr.open_array(store=wrapped, path="sharded", mode="r+")
    array[2:9, 3:20] = -1
    expected = DATA.copy()
    expected[2:9, 3:20] = -1
    np.testing.assert_array_equal(array[:], expected)
    np.testing.assert_array_equal(zarr.open_array(store=place.open(), path="sharded")[:], expected)
    del zarr.open_group(store=wrapped)["plain"]
    assert "plain" not in zarr.open_group(store=place.open(read_only=True), mode="r")


@WRAPPERS
def test_a_wrapper_of_a_read_only_store_refuses(place: Place, wrap: Callable[..., Store]) -> None:
    write(place.open(), 3)
    wrapped = wrap(place.open(read_only=True))
    assert wrapped.read_only
    with pytest.raises(ValueError, match="read-only"):
        zarr.open_array(store=wrapped, path="plain", mode="r+")
    check(wrapped, 3)


@pytest.mark.parametrize("wrap", [zarr.storage.WrapperStore, logging_store])
def test_a_wrapped_store_is_pickled(place: Place, wrap: Callable[..., Store]) -> None:
    wrapped = wrap(place.open())
    write(wrapped, 3)
    again = pickle.loads(pickle.dumps(wrapped))
    assert again == wrapped
    check(again, 3)
    array = zarr.open_array(store=again, path="plain", mode="r+")
    pickle.loads(pickle.dumps(array))[0] = 5
    assert (zarr.open_array(store=place.open(), path="plain")[0] == 5).all()


@pytest.mark.parametrize("wrap", [zarr.storage.WrapperStore, logging_store])
def test_a_wrapper_shows_no_secret(place: Place, wrap: Callable[..., Store]) -> None:
    wrapped = wrap(place.open())
    for text in (repr(wrapped), str(wrapped)):
        assert place.url in text
        assert place.options["secret"] not in text
