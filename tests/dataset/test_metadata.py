"""Metadata of zarr v2 and v3, read without zarr."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
import zarr

from dataset.places import document, new_store, value, write_array
from fsspec_store.dataset import (
    ArrayMetadata,
    DatasetError,
    GroupMetadata,
    InvalidMetadataError,
    UnsupportedMetadataError,
    parse_metadata,
)

V2 = {
    "zarr_format": 2,
    "shape": [7, 5],
    "chunks": [4, 2],
    "dtype": "<f8",
    "compressor": None,
    "fill_value": None,
    "filters": None,
    "order": "C",
}
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
V3 = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [8, 4],
    "data_type": "float64",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 2]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0,
    "codecs": [BYTES],
}


def sharded(inner: tuple[int, ...] = (2, 1), codecs: Any = None, **options: Any) -> dict[str, Any]:
    configuration = {
        "chunk_shape": list(inner),
        "codecs": codecs or [BYTES],
        "index_codecs": [BYTES, {"name": "crc32c"}],
        **options,
    }
    return {"name": "sharding_indexed", "configuration": configuration}


def parse(name: str, fields: dict[str, Any]) -> Any:
    return parse_metadata(name, json.dumps(fields).encode())


def v2(**fields: Any) -> ArrayMetadata:
    metadata = parse("a/.zarray", {**V2, **fields})
    assert isinstance(metadata, ArrayMetadata)
    return metadata


def v3(**fields: Any) -> ArrayMetadata:
    metadata = parse("a/zarr.json", {**V3, **fields})
    assert isinstance(metadata, ArrayMetadata)
    return metadata


class TestArrays:
    def test_of_v2(self) -> None:
        metadata = v2()
        assert (metadata.shape, metadata.grid.chunk_shape) == ((7, 5), (4, 2))
        assert (metadata.grid.encoding, metadata.grid.separator) == ("v2", ".")
        assert (metadata.data_type, metadata.item_size) == ("<f8", 8)
        assert (metadata.codecs.size, metadata.codecs.compressed) == (64, False)

    def test_of_v3(self) -> None:
        metadata = v3(attributes={"units": "K"})
        assert (metadata.shape, metadata.grid.chunk_shape) == ((8, 4), (4, 2))
        assert (metadata.grid.encoding, metadata.grid.separator) == ("default", "/")
        assert (metadata.data_type, metadata.item_size) == ("float64", 8)
        assert metadata.attributes == {"units": "K"}

    def test_extensions_may_be_names_alone(self) -> None:
        assert v3(chunk_key_encoding="default").grid.separator == "/"
        assert v3(chunk_key_encoding="v2").grid.separator == "."
        assert v3(codecs=["bytes"]).codecs.size == 64

    @pytest.mark.parametrize(
        "dtype",
        [
            *["bool", "int8", ">u2", "<i8", "<f2", "<c16", "M8[ns]", "m8[s]", "S5", "U3", "V7"],
            [("a", "<i4"), ("b", ">f8")],
        ],
        ids=str,
    )
    @pytest.mark.parametrize("zarr_format", [2, 3])
    @pytest.mark.filterwarnings("ignore:.* does not have a Zarr V3 specification")
    def test_item_sizes_are_those_of_zarr(self, dtype: Any, zarr_format: int) -> None:
        store = new_store()
        zarr.create_array(store, shape=(3,), dtype=dtype, zarr_format=zarr_format)  # type: ignore[arg-type]
        name = "zarr.json" if zarr_format == 3 else ".zarray"
        metadata = parse_metadata(name, value(store, name))
        assert isinstance(metadata, ArrayMetadata)
        assert metadata.item_size == np.dtype(dtype).itemsize

    @pytest.mark.parametrize("data_type", ["string", "variable_length_bytes", "new", {"name": "x"}])
    def test_item_sizes_that_are_not_known(self, data_type: Any) -> None:
        metadata = v3(data_type=data_type, codecs=["vlen-utf8"])
        assert (metadata.item_size, metadata.codecs.size) == (None, None)
        assert metadata.codecs.min_size == 1

    def test_item_sizes_of_extensions(self) -> None:
        sizes = {"bfloat16": 2, "float8_e4m3": 1, "int4": 1, "r24": None, "r16": 2}
        assert {name: v3(data_type=name).item_size for name in sizes} == sizes
        fields = [
            ["a", "int32"],
            ["b", {"name": "raw_bytes", "configuration": {"length_bytes": 3}}],
        ]
        older = {"name": "structured", "configuration": {"fields": fields}}
        assert v3(data_type=older).item_size == 7

    def test_an_array_without_items_may_have_chunks_without_items(self) -> None:
        assert v2(shape=[0], chunks=[0]).grid.count == 0

    def test_can_be_pickled(self) -> None:
        metadata = v3()
        assert metadata.grid.count == 4
        assert pickle.loads(pickle.dumps(metadata)) == metadata


class TestCodecs:
    @pytest.mark.parametrize(
        ("codecs", "size", "compressed"),
        [
            ([BYTES], 64, False),
            ([BYTES, {"name": "crc32c"}], 68, False),
            ([{"name": "transpose", "configuration": {"order": [1, 0]}}, BYTES], 64, False),
            ([BYTES, {"name": "numcodecs.shuffle"}, {"name": "numcodecs.adler32"}], 68, False),
            ([BYTES, {"name": "gzip", "configuration": {"level": 1}}], None, True),
            ([BYTES, {"name": "numcodecs.lzma"}], None, True),
            ([BYTES, {"name": "zstd"}, {"name": "crc32c"}], None, True),
            ([{"name": "another"}], None, False),
            ([sharded()], None, False),
            ([sharded(codecs=[BYTES, {"name": "blosc"}])], None, True),
        ],
        ids=str,
    )
    def test_sizes_of_v3(self, codecs: Any, size: int | None, compressed: bool) -> None:
        found = v3(codecs=codecs).codecs
        assert (found.size, found.compressed) == (size, compressed)

    @pytest.mark.parametrize(
        ("filters", "compressor", "names", "size"),
        [
            (None, None, (), 64),
            ([], None, (), 64),
            (None, {"id": "blosc", "cname": "lz4"}, ("blosc",), None),
            ([{"id": "shuffle"}, {"id": "crc32"}], None, ("shuffle", "crc32"), 68),
            ([{"id": "delta", "dtype": "<f8"}], {"id": "zlib"}, ("delta", "zlib"), None),
        ],
        ids=str,
    )
    def test_sizes_of_v2(self, filters: Any, compressor: Any, names: Any, size: Any) -> None:
        codecs = v2(filters=filters, compressor=compressor).codecs
        assert (codecs.names, codecs.size) == (names, size)

    def test_of_a_shard(self) -> None:
        codecs = v3(codecs=[sharded(index_location="start")]).codecs
        assert codecs.sharding is not None
        assert (codecs.sharding.chunk_shape, codecs.sharding.counts) == ((2, 1), (2, 2))
        assert codecs.sharding.index_codecs == ("bytes", "crc32c")
        assert (codecs.sharding.index_location, codecs.sharding.index_size) == ("start", 68)
        assert codecs.sharding.codecs.size == 16
        assert codecs.min_size == 68

    def test_of_a_transposed_shard(self) -> None:
        transpose = {"name": "transpose", "configuration": {"order": [1, 0]}}
        sharding = v3(codecs=[transpose, sharded((1, 4))]).codecs.sharding
        assert sharding is not None
        assert sharding.counts == (2, 1)

    def test_of_nested_shards(self) -> None:
        sharding = v3(codecs=[sharded((2, 2), [sharded((1, 1))])]).codecs.sharding
        assert sharding is not None
        assert sharding.codecs.sharding is not None
        assert sharding.codecs.sharding.counts == (2, 2)
        assert sharding.codecs.min_size == 68

    def test_of_a_compressed_shard(self) -> None:
        codecs = v3(codecs=[sharded(), {"name": "gzip"}]).codecs
        assert (codecs.size, codecs.min_size) == (None, 1)


class TestGroups:
    def test_of_v2(self) -> None:
        assert parse(".zgroup", {"zarr_format": 2}) == GroupMetadata(2, {})

    def test_of_v3(self) -> None:
        group = {"zarr_format": 3, "node_type": "group", "attributes": {"a": 1}}
        assert parse("zarr.json", group) == GroupMetadata(3, {"a": 1})

    @pytest.mark.filterwarnings("ignore:Consolidated metadata is currently")
    def test_with_consolidated_metadata(self) -> None:
        store = new_store()
        zarr.create_group(store)
        write_array(store, "b/a")
        zarr.consolidate_metadata(store)
        group = parse_metadata("zarr.json", value(store, "zarr.json"))
        assert isinstance(group, GroupMetadata)
        assert group.consolidated is not None
        assert group.consolidated.keys() == {"b", "b/a"}
        assert group.consolidated["b/a"] == document(store, "b/a/zarr.json")


class TestErrors:
    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"zarr_format": 2}, "zarr_format must be 3, got 2"),
            ({"node_type": "tree"}, "node_type must be 'array' or 'group', got 'tree'"),
            ({"shape": [3, -1]}, "'shape' must be a list of integers >= 0, got [3, -1]"),
            ({"shape": [3]}, "chunks of shape (4, 2) for an array of shape (3,)"),
            ({"codecs": []}, "'codecs' must not be empty"),
            ({"codecs": None}, "'codecs' must be a list, got None"),
            ({"codecs": [3]}, "a codec must have a name, got 3"),
            ({"attributes": 3}, "'attributes' must be an object, got 3"),
            ({"codecs": [sharded((3, 1))]}, "do not divide a shard of shape (4, 2)"),
            ({"codecs": [sharded(index_location="middle")]}, "index_location 'middle'"),
            (
                {"codecs": [{"name": "transpose", "configuration": {"order": [0, 0]}}, BYTES]},
                "transpose by (0, 0) of 2 axes",
            ),
            (
                {"chunk_key_encoding": {"name": "v2", "configuration": {"separator": "-"}}},
                "separator must be '/' or '.', got '-'",
            ),
            (
                {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 2]}}},
                "chunks of shape (0, 2) contain nothing",
            ),
        ],
    )
    def test_of_invalid_v3(self, fields: dict[str, Any], reason: str) -> None:
        with pytest.raises(InvalidMetadataError) as error:
            v3(**fields)
        assert reason in error.value.reason
        assert error.value.key == "a/zarr.json"
        assert str(error.value) == f"cannot read 'a/zarr.json': {error.value.reason}"

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            (
                {"chunk_grid": {"name": "rectilinear", "configuration": {}}},
                "chunk grid 'rectilinear' is not supported",
            ),
            ({"chunk_key_encoding": "hashed"}, "chunk key encoding 'hashed' is not supported"),
            ({"storage_transformers": [{"name": "x"}]}, "storage transformers are not supported"),
            ({"codecs": [sharded(index_codecs=[BYTES, "gzip"])]}, "index codecs bytes, gzip"),
        ],
    )
    def test_of_unsupported_v3(self, fields: dict[str, Any], reason: str) -> None:
        with pytest.raises(UnsupportedMetadataError) as error:
            v3(**fields)
        assert (error.value.reason, error.value.key) == (reason, "a/zarr.json")

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"dtype": "nope"}, "not a dtype of NumPy: 'nope'"),
            ({"dtype": 3}, "not a dtype of NumPy: 3"),
            ({"dtype": [["a"]]}, "not a dtype of NumPy: [['a']]"),
            ({"compressor": {"level": 1}}, "a codec must have an id"),
            ({"compressor": "zlib"}, "a codec must have an id"),
            ({"dimension_separator": "-"}, "separator must be '/' or '.', got '-'"),
        ],
    )
    def test_of_invalid_v2(self, fields: dict[str, Any], reason: str) -> None:
        with pytest.raises(InvalidMetadataError) as error:
            v2(**fields)
        assert reason in error.value.reason

    @pytest.mark.parametrize("name", [name for name in V3 if name != "attributes"])
    def test_of_a_missing_field(self, name: str) -> None:
        fields = {other: value for other, value in V3.items() if other != name}
        with pytest.raises(InvalidMetadataError, match=f"no field '{name}'"):
            parse("zarr.json", fields)

    @pytest.mark.parametrize("content", [b"", b"<html>", b"\xff", b"[1]", b"null", b"[" * 10**5])
    def test_of_what_is_no_document(self, content: bytes) -> None:
        for name in ("zarr.json", ".zarray", ".zgroup"):
            with pytest.raises(InvalidMetadataError):
                parse_metadata(name, content)

    def test_of_shards_that_are_nested_too_deeply(self) -> None:
        codecs = (
            b'[{"name": "sharding_indexed", "configuration": {"chunk_shape": [4, 2], "codecs": '
        )
        depth = 5000
        index = b', "index_codecs": ["bytes"]}}]'
        nested = codecs * depth + b'["bytes"]' + index * depth
        document = json.dumps({**V3, "codecs": None}).encode().replace(b"null", nested)
        with pytest.raises(InvalidMetadataError):
            parse_metadata("zarr.json", document)

    def test_of_another_key(self) -> None:
        with pytest.raises(UnsupportedMetadataError, match=r"'\.zattrs'"):
            parse_metadata("a/.zattrs", b"{}")

    def test_can_be_pickled(self) -> None:
        with pytest.raises(DatasetError) as error:
            parse_metadata("zarr.json", b"")
        again = pickle.loads(pickle.dumps(error.value))
        assert (type(again), str(again)) == (type(error.value), str(error.value))
        assert (again.key, again.reason) == (error.value.key, error.value.reason)
