"""Data sets that zarr writes are complete; what is removed, cut or added is found."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import Crc32cCodec, GzipCodec

from dataset.places import (
    change,
    check,
    found,
    new_store,
    one_array,
    only,
    put,
    value,
    write_array,
)
from fsspec_store.dataset import (
    InvalidMetadataError,
    UnsupportedMetadataError,
)
from fsspec_store.dataset import (
    check as check_async,
)
from fsspec_store.zarr import ZarrStore

pytestmark = pytest.mark.filterwarnings(
    "ignore:.* does not have a Zarr V3 specification", "ignore:Consolidated metadata is currently"
)


def write_all(store: ZarrStore, zarr_format: Any) -> None:
    """Nested groups with arrays of many kinds."""
    zarr.create_group(store, zarr_format=zarr_format, attributes={"title": "all"})
    structured = np.ones(3, [("a", "i4"), ("b", "f8")])
    values: dict[str, Any] = {
        "plain": np.ones((7, 5), ">i4"),
        "group/float": np.ones(9),
        "group/run/structured": structured,
        "group/run/time": np.ones(3, "M8[ns]"),
        "group/run/text": np.array(["a", "b"]),
        "scalar": np.array(3),
    }
    for name, data in values.items():
        zarr.create_array(store, name=name, data=data, zarr_format=zarr_format)
    zarr.create_array(store, name="empty", shape=(0, 3), dtype="i4", zarr_format=zarr_format)
    strings: Any = zarr.create_array(
        store, name="strings", shape=(3,), dtype=str, zarr_format=zarr_format
    )
    strings[...] = "text"
    if zarr_format == 3:
        write_array(store, "sharded", shards=(8, 4))
    zarr.consolidate_metadata(store, zarr_format=zarr_format)


class TestComplete:
    @pytest.mark.parametrize("zarr_format", [2, 3])
    @pytest.mark.parametrize("deep", [False, True])
    def test_of_everything(self, zarr_format: int, deep: bool) -> None:
        store = new_store()
        write_all(store, zarr_format)
        report = check(store, deep=deep)
        assert report.findings == ()
        assert report.ok
        assert (report.zarr_format, report.groups, len(report.arrays)) == (
            zarr_format,
            3,
            8 + (zarr_format == 3),
        )
        assert report.keys == len(list(store.sync.list()))
        assert report.bytes == store.sync.getsize_prefix("")
        assert all(len(array.present) == array.metadata.grid.count for array in report.arrays)

    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_of_an_array_at_the_root(self, zarr_format: int) -> None:
        store = new_store()
        write_array(store, None, zarr_format=zarr_format)
        [array] = check(store).arrays
        assert (array.path, len(array.present), array.bytes) == ("", 6, 6 * 32)

    def test_of_a_data_set_below_a_prefix(self) -> None:
        store = new_store()
        write_array(store, "x/run/a")
        put(store, "x/run-2/key", b"")
        for prefix in ("x/run", "x/run/"):
            report = check(store, prefix=prefix, deep=True)
            assert (report.ok, report.findings) == (True, ())
            assert (report.prefix, [array.path for array in report.arrays]) == ("x/run", ["a"])

    def test_of_arrays_that_are_named_like_chunks(self) -> None:
        store = new_store()
        zarr.create_group(store, zarr_format=2)
        for name in ("0", "c", "1.0"):
            write_array(
                store, name, zarr_format=2, chunk_key_encoding={"name": "v2", "separator": "/"}
            )
        report = check(store)
        assert report.findings == ()
        assert [len(array.present) for array in report.arrays] == [6, 6, 6]

    def test_of_fill_values_alone(self) -> None:
        store = new_store()
        array: Any = zarr.create_array(store, shape=(9,), chunks=(2,), dtype="i4", fill_value=3)
        array[...] = 3
        assert found(check(store)) == {("missing_chunk", ""): 5}
        assert check(store, allow_missing=True).ok

    def test_reads_the_metadata_once_and_no_chunk(self) -> None:
        store = CountingStore.from_url(new_store().url)
        write_all(store, 3)
        store.read.clear()
        check(store)
        assert sorted(store.read) == sorted(
            key for key in store.sync.list() if key.endswith("zarr.json")
        )


class CountingStore(ZarrStore):
    """Records the keys that are read."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.read: list[str] = []

    async def get(self, key: str, *args: Any, **options: Any) -> Any:
        self.read.append(key)
        return await super().get(key, *args, **options)

    async def get_partial_values(self, prototype: Any, key_ranges: Any, **options: Any) -> Any:
        key_ranges = list(key_ranges)
        self.read += [key for key, _ in key_ranges]
        return await super().get_partial_values(prototype, key_ranges, **options)


class TestMissing:
    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_chunks(self, zarr_format: int) -> None:
        store = one_array(zarr_format=zarr_format)
        key = "a/c/1/0" if zarr_format == 3 else "a/1.0"
        store.sync.delete(key)
        report = check(store)
        assert not report.ok
        assert [example.key for example in only(report).examples] == [key]
        [array] = report.arrays
        assert list(array.missing) == [3]
        assert 3 not in array.present

    def test_shards(self) -> None:
        store = one_array(shards=(4, 4))
        store.sync.delete("a/c/0/1")
        assert found(check(store)) == {("missing_chunk", "a"): 1}

    def test_names_the_first_of_many(self) -> None:
        store = new_store()
        zarr.create_array(store, shape=(1234,), chunks=(1,), dtype="f8")
        finding = only(check(store))
        assert (finding.kind, finding.count) == ("missing_chunk", 1234)
        assert [example.key for example in finding.examples] == [f"c/{n}" for n in range(10)]

    def test_is_allowed_by_pattern(self) -> None:
        store = new_store()
        zarr.create_group(store)
        for name in ("model/a", "model/b", "mask"):
            write_array(store, name)
            store.sync.delete(f"{name}/c/0/0")
        report = check(store, allow_missing=["model/*"])
        assert found(report) == {("missing_chunk", "mask"): 1}
        assert [
            (array.path, len(array.missing), array.missing_allowed) for array in report.arrays
        ] == [
            ("mask", 1, False),
            ("model/a", 1, True),
            ("model/b", 1, True),
        ]
        assert check(store, allow_missing=True).ok

    def test_patterns_are_a_list(self) -> None:
        with pytest.raises(TypeError, match="allow_missing must be True or a list"):
            check(new_store(), allow_missing="model/*")


class TestSizes:
    @pytest.mark.parametrize(
        ("options", "size", "reason"),
        [
            ({}, 31, "31 bytes, 32 expected"),
            ({}, 33, "33 bytes, 32 expected"),
            ({}, 0, "0 bytes, 32 expected"),
            ({"zarr_format": 2}, 31, "31 bytes, 32 expected"),
            ({"compressors": Crc32cCodec()}, 32, "32 bytes, 36 expected"),
            ({"compressors": GzipCodec()}, 0, "0 bytes, at least 1 expected"),
            ({"compressors": "auto", "zarr_format": 2}, 0, "0 bytes, at least 1 expected"),
            ({"shards": (4, 2)}, 19, "19 bytes, at least 20 expected"),
        ],
        ids=str,
    )
    def test_of_a_chunk_that_is_impossible(
        self, options: dict[str, Any], size: int, reason: str
    ) -> None:
        store = one_array(**options)
        assert check(store).ok
        key = "a/1.0" if options.get("zarr_format") == 2 else "a/c/1/0"
        put(store, key, (value(store, key) + b"more")[:size])
        report = check(store)
        finding = only(report)
        assert (finding.kind, finding.path, finding.count) == ("chunk_size", "a", 1)
        assert finding.examples == ((key, reason),)
        assert list(report.arrays[0].broken) == [3]
        assert not report.ok

    def test_are_not_known_of_compressed_chunks(self) -> None:
        store = one_array(compressors=GzipCodec())
        put(store, "a/c/0/0", b"x")
        assert check(store).ok

    def test_of_a_data_type_that_is_not_known(self) -> None:
        store = one_array()
        change(store, "a/zarr.json", data_type="string")
        put(store, "a/c/0/0", b"1")
        assert check(store).ok
        put(store, "a/c/0/0", b"")
        assert found(check(store)) == {("chunk_size", "a"): 1}


class TestSuperfluous:
    @pytest.mark.parametrize("key", ["a/c/2/0", "a/c/0/3", "a/c/99999999999/0"])
    def test_chunks_outside_of_the_grid(self, key: str) -> None:
        store = one_array()
        put(store, key, b"x")
        report = check(store)
        finding = only(report)
        assert (finding.kind, finding.path, finding.severity) == ("outside_grid", "a", "error")
        assert [example.key for example in finding.examples] == [key]
        assert len(report.arrays[0].present) == 6

    @pytest.mark.parametrize(
        "key",
        [
            "README",
            "a/notes",
            "a/c/0",
            "a/c/00/1",
            "a/c/0/0/0",
            "a/c/0.0",
            "a/c/0/0.tmp",
            "a/x/y/z",
            "a/c/0/0\n",
            f"a/c/{10**30}/0",
        ],
    )
    def test_keys_of_no_known_name_are_warnings(self, key: str) -> None:
        store = one_array()
        put(store, key, b"x")
        report = check(store)
        finding = only(report)
        assert (finding.kind, finding.severity) == ("unknown_key", "warning")
        assert finding.path == ("a" if key.startswith("a/") else "")
        assert [example.key for example in finding.examples] == [key]
        assert report.ok
        assert report.warnings == (finding,)
        assert len(report.arrays[0].present) == 6

    def test_an_array_whose_metadata_is_lost(self) -> None:
        store = one_array()
        write_array(store, "g/b")
        store.sync.delete("g/b/zarr.json")
        finding = only(check(store))
        assert (finding.kind, finding.path, finding.count) == ("no_metadata", "g", 1)
        assert [example.key for example in finding.examples] == ["g/b"]

    @pytest.mark.parametrize("name", ["b", "0"])
    def test_a_group_whose_metadata_is_lost_hides_no_array(self, name: str) -> None:
        store = one_array()
        write_array(store, f"g/{name}")
        store.sync.delete("g/zarr.json")
        store.sync.delete(f"g/{name}/c/0/0")
        report = check(store)
        assert found(report) == {("no_metadata", ""): 1, ("missing_chunk", f"g/{name}"): 1}

    def test_many_chunks_without_metadata_are_not_looked_up(self) -> None:
        store = CountingStore.from_url(new_store().url)
        zarr.create_group(store)
        for number in range(500):
            put(store, f"lost/c/{number}/0", b"x")
        store.read.clear()
        assert found(check(store)) == {("no_metadata", ""): 1}
        assert sorted(store.read) == ["lost/zarr.json", "zarr.json"]

    @pytest.mark.parametrize("key", ["lost/{n}/{n}/0", "lost/x{n}/0", "lost/{n}/c/0"])
    def test_a_bounded_number_of_prefixes_without_metadata_is_looked_up(self, key: str) -> None:
        store = CountingStore.from_url(new_store().url)
        zarr.create_group(store)
        for n in range(500):
            put(store, key.format(n=n), b"x")
        store.read.clear()
        assert found(check(store)) == {("no_metadata", ""): 1}
        # The root, the prefix, and prefixes below.
        assert len(set(store.read)) == len(store.read) == 2 + 200

    def test_metadata_of_both_formats(self) -> None:
        store = one_array()
        put(store, "a/.zarray", b"{}")
        put(store, ".zgroup", b"{}")
        assert check(store).findings == ()


class TestMetadata:
    @pytest.mark.parametrize(
        ("content", "reason"), [(b"", "not JSON"), (b"{}", "no field 'zarr_format'")]
    )
    def test_that_cannot_be_read(self, content: bytes, reason: str) -> None:
        store = one_array()
        put(store, "a/zarr.json", content)
        report = check(store)
        finding = only(report)
        assert (finding.kind, finding.path) == ("invalid_metadata", "a")
        assert finding.examples[0].key == "a/zarr.json"
        assert reason in finding.examples[0].reason
        assert report.arrays == ()

    def test_that_is_not_supported(self) -> None:
        store = one_array()
        change(store, "a/zarr.json", chunk_grid={"name": "rectilinear"})
        reason = "chunk grid 'rectilinear' is not supported"
        finding = only(check(store))
        assert (finding.kind, finding.examples) == (
            "unsupported_metadata",
            (("a/zarr.json", reason),),
        )

    def test_of_a_grid_that_is_too_large(self) -> None:
        store = one_array()
        change(store, "a/zarr.json", shape=[10**9, 10**9])
        finding = only(check(store))
        assert finding.kind == "unsupported_metadata"
        assert "chunks is not supported" in finding.examples[0].reason

    def test_of_attributes_of_v2_that_cannot_be_read(self) -> None:
        store = one_array(zarr_format=2)
        put(store, "a/.zattrs", b"[")
        finding = only(check(store))
        assert (finding.kind, finding.path) == ("invalid_metadata", "a")
        assert finding.examples[0].key == "a/.zattrs"

    @pytest.mark.parametrize(
        ("key", "content", "cls", "message"),
        [
            (None, b"", InvalidMetadataError, "is not a zarr data set: it is empty"),
            ("README", b"", InvalidMetadataError, "it has no zarr.json, .zarray or .zgroup"),
            ("zarr.json", b"<html>", InvalidMetadataError, "cannot read 'zarr.json': not JSON"),
            (
                "zarr.json",
                b'{"zarr_format": 3, "node_type": "array", "storage_transformers": [1]}',
                UnsupportedMetadataError,
                "storage transformers are not supported",
            ),
        ],
    )
    def test_of_the_root_is_required(
        self, key: str | None, content: bytes, cls: type, message: str
    ) -> None:
        store = new_store()
        if key is not None:
            put(store, key, content)
        with pytest.raises(cls, match=message):
            check(store)


class TestDeep:
    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_chunks_that_cannot_be_decoded(self, zarr_format: int) -> None:
        store = one_array(compressors="auto", zarr_format=zarr_format)
        key = "a/1.0" if zarr_format == 2 else "a/c/1/0"
        put(store, key, b"not compressed")
        assert check(store).ok
        report = check(store, deep=True)
        finding = only(report)
        assert (finding.kind, finding.path) == ("undecodable_chunk", "a")
        assert finding.examples[0].key == key
        assert list(report.arrays[0].broken) == [3]

    def test_inner_chunks_that_cannot_be_decoded(self) -> None:
        store = one_array(compressors=GzipCodec(), shards=(8, 4))
        content = bytearray(value(store, "a/c/0/0"))
        content[0] ^= 0xFF
        put(store, "a/c/0/0", bytes(content))
        assert check(store, shards=True).ok
        assert found(check(store, deep=True)) == {("undecodable_chunk", "a"): 1}

    def test_counts_a_broken_chunk_once(self) -> None:
        store = one_array()
        put(store, "a/c/0/0", b"")
        assert found(check(store, deep=True)) == {("chunk_size", "a"): 1}

    def test_arrays_that_zarr_does_not_open(self) -> None:
        store = one_array()
        change(store, "a/zarr.json", data_type="new")
        finding = only(check(store, deep=True))
        assert (finding.kind, finding.path) == ("unsupported_metadata", "a")
        assert finding.examples[0].reason.startswith("zarr: ")

    def test_reports_progress(self) -> None:
        store = one_array()
        progress: list[Any] = []
        check(store, deep=True, on_progress=progress.append)
        first, last = progress
        assert (first.stage, first.keys, first.chunks) == ("list", 8, 6)
        assert (last.stage, last.chunks, last.decoded) == ("decode", 6, 6)


class TestReport:
    def test_is_json(self) -> None:
        store = one_array(shards=(8, 4))
        store.sync.delete("a/c/0/1")
        put(store, "README", b"about")
        assert check(store).to_dict() == {
            "ok": False,
            "prefix": "",
            "zarr_format": 3,
            "keys": 4,
            "bytes": store.sync.getsize_prefix(""),
            "groups": 1,
            "totals": {"chunks": 2, "present": 1, "missing": 1, "broken": 0},
            "arrays": [
                {
                    "path": "a",
                    "shape": [7, 5],
                    "chunk_shape": [8, 4],
                    "grid": [1, 2],
                    "data_type": "int32",
                    "codecs": ["sharding_indexed"],
                    "sharded": True,
                    "chunks": 2,
                    "present": 1,
                    "missing": 1,
                    "missing_allowed": False,
                    "broken": 0,
                    "bytes": store.sync.getsize("a/c/0/0"),
                }
            ],
            "findings": [
                {
                    "kind": "unknown_key",
                    "severity": "warning",
                    "path": "",
                    "count": 1,
                    "examples": [{"key": "README", "reason": ""}],
                },
                {
                    "kind": "missing_chunk",
                    "severity": "error",
                    "path": "a",
                    "count": 1,
                    "examples": [{"key": "a/c/0/1", "reason": ""}],
                },
            ],
        }

    def test_is_the_same_in_a_running_loop(self) -> None:
        store = one_array()
        assert asyncio.run(check_async(store)).to_dict() == check(store).to_dict()
