"""Options of transports and parts: what they may be on each service, and their defaults."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from fsspec_store import FsspecStore
from fsspec_store._http.settings import PartLimits, Parts, Settings
from fsspec_store.errors import StorageOptionError
from fsspec_store.zarr import ZarrStore, open_store

MIB = 2**20
AZURE = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;BlobEndpoint=http://h/a;"
SERVICES: dict[str, tuple[str, dict[str, Any]]] = {
    "S3": ("s3://bucket/x", {"anon": True}),
    "Google Cloud Storage": ("gs://bucket/x", {"token": "anon", "endpoint_url": "http://h"}),
    "Azure": ("az://container/x", {"connection_string": AZURE}),
    "web": ("http://host/x", {}),
    "memory": ("memory://x", {}),
}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("transport", ["auto", "library"])
def test_every_service_takes_both_transports(service: str, transport: str) -> None:
    url, options = SERVICES[service]
    with FsspecStore.from_url(url, options, transport=transport) as store:
        assert store.stats.native == 0


@pytest.mark.parametrize("value", ["native", "", None, True, False, 1])
@pytest.mark.parametrize("url", ["s3://bucket/x", "memory://x"])
def test_no_other_transport(url: str, value: Any) -> None:
    for opened in (FsspecStore.from_url, open_store):
        with pytest.raises(ValueError, match=r"transport must be 'auto' or 'library', got"):
            opened(url, transport=value)


def test_the_former_option_warns_of_its_replacement() -> None:
    for opened in (FsspecStore.from_url, open_store):
        with pytest.warns(DeprecationWarning, match=r"write transport='library' for fast=False"):
            store = opened("s3://bucket/x", fast=False)
        assert store._options["transport"] == "library"
    with pytest.raises(StorageOptionError, match=r"did you mean the store parameter transport="):
        FsspecStore.from_url("s3://bucket/x", {"fast": False})


def test_sizes_that_are_not_given_are_the_defaults() -> None:
    assert Settings().reads == Parts(above=32 * MIB, size=8 * MIB)
    assert Settings().writes == Parts(above=64 * MIB, size=16 * MIB)
    given = Settings(large_value_bytes=5, part_bytes=3)
    assert given.reads == given.writes == Parts(above=5, size=3)


@pytest.mark.parametrize(
    ("service", "option", "value", "message"),
    [
        ("S3", "part_bytes", 5 * MIB - 1, "at least 5242880 on S3"),
        ("S3", "part_bytes", 5 * 1024 * MIB + 1, "at most 5368709120 on S3"),
        ("S3", "large_value_bytes", 5 * 1024 * MIB + 1, "at most 5368709120 on S3"),
        ("Google Cloud Storage", "part_bytes", 1000, "at least 262144 on Google Cloud Storage"),
        ("Google Cloud Storage", "part_bytes", 2**18 + 1, "a multiple of 262144 on Google"),
        ("Google Cloud Storage", "large_value_bytes", 2**43, "at most 5497558138880 on Google"),
        ("Azure", "part_bytes", 4000 * MIB + 1, "at most 4194304000 on Azure"),
        ("Azure", "large_value_bytes", 5000 * MIB + 1, "at most 5242880000 on Azure"),
        ("web", "part_bytes", 0, "part_bytes must be at least 1 byte"),
        ("memory", "large_value_bytes", -1, "large_value_bytes must be at least 1 byte"),
        ("web", "read_memory_bytes", 0, "read_memory_bytes must be at least 1 byte"),
        ("S3", "io_threads", 0, "io_threads must be at least 1, got 0"),
    ],
)
def test_a_size_that_the_service_refuses(
    service: str, option: str, value: int, message: str
) -> None:
    url, options = SERVICES[service]
    with pytest.raises(ValueError, match=message) as caught:
        FsspecStore.from_url(url, options, **{option: value})
    assert str(caught.value).startswith(option)


@pytest.mark.parametrize("option", ["large_value_bytes", "part_bytes", "read_memory_bytes"])
@pytest.mark.parametrize("value", [True, 1e6, "5 MiB"])
def test_a_size_is_a_number_of_bytes(option: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{option} must be an integer number of bytes"):
        open_store("memory://x", **{option: value})
    with pytest.raises(TypeError, match="io_threads must be an integer number, got"):
        open_store("memory://x", io_threads=value)


@pytest.mark.parametrize(
    ("service", "sizes"),
    [
        ("S3", (5 * MIB, 5 * 1024 * MIB)),
        ("Google Cloud Storage", (2**18, 3 * 2**18)),
        ("Azure", (1, 4000 * MIB)),
        ("web", (1, 2**40)),
        ("memory", (1, 2**40)),
    ],
)
def test_sizes_that_the_service_takes(service: str, sizes: tuple[int, ...]) -> None:
    url, options = SERVICES[service]
    for size in sizes:
        FsspecStore.from_url(url, options, part_bytes=size, large_value_bytes=1).close()


def test_a_value_of_too_many_parts_has_larger_ones() -> None:
    limits = PartLimits(most=10)
    assert limits.part_size(100, 20) == 20
    assert limits.part_size(201, 20) == 21
    assert PartLimits().part_size(10**15, 1) == 1


def test_later_parts_of_a_value_of_unknown_size_are_larger() -> None:
    mib, s3 = 2**20, PartLimits(largest=5 * 2**30, most=10_000)
    sizes = [s3.part_size_at(index, 16 * mib) for index in range(10_000)]
    assert sizes == sorted(sizes)
    assert sizes[:100] == [16 * mib] * 100
    # The maximum size of an object of S3.
    assert sum(sizes) > 5 * 2**40
    assert max(s3.part_size_at(9_999, 2**30), *sizes) <= 5 * 2**30
    assert PartLimits().part_size_at(10**9, 1) == 1


def test_a_copy_of_a_store_has_its_options(tmp_path: Path) -> None:
    options = {"transport": "library", "large_value_bytes": 7, "part_bytes": 3}
    core = FsspecStore.from_url(tmp_path, **options)
    assert core != FsspecStore.from_url(tmp_path)
    assert core.with_read_only(True).with_read_only(False) == core
    assert open_store(core) == open_store(tmp_path, **options)
    assert isinstance(open_store(core), ZarrStore)


# -- Hedges ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hedge", "share"), [(False, 0.0), (True, 0.05), (0.02, 0.02), (1, 1.0)])
def test_hedge_is_a_share_of_the_requests(hedge: float, share: float) -> None:
    assert Settings(hedge=hedge).hedge_share == share
    for url in ("s3://bucket/x", "memory://x"):
        store = open_store(url, hedge=hedge)
        assert pickle.loads(pickle.dumps(store)) == store
        assert store != open_store(url, hedge=0.5)


@pytest.mark.parametrize("hedge", [-0.1, 1.1, 5, float("nan")])
def test_no_other_share(hedge: float) -> None:
    with pytest.raises(ValueError, match=r"hedge must be a share of requests from 0 to 1, got"):
        open_store("memory://x", hedge=hedge)


@pytest.mark.parametrize("hedge", ["5%", None, [0.05]])
def test_a_share_is_a_number(hedge: Any) -> None:
    with pytest.raises(TypeError, match=r"hedge must be a boolean or a number, got"):
        open_store("memory://x", hedge=hedge)
