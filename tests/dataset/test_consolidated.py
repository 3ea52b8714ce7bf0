"""Consolidated metadata that contradicts the nodes is found."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zarr
from numcodecs import Zstd

from dataset.places import change, check, document, found, new_store, only, put, write_array
from fsspec_store.zarr import ZarrStore

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently")

NAMES = {2: ".zarray", 3: "zarr.json"}


@pytest.fixture(params=[2, 3])
def zarr_format(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def store(zarr_format: Any) -> ZarrStore:
    store = new_store()
    zarr.create_group(store, zarr_format=zarr_format)
    write_array(store, "g/a", zarr_format=zarr_format, attributes={"x": float("nan"), "y": []})
    write_array(store, "b", zarr_format=zarr_format, fill_value=0)
    zarr.consolidate_metadata(store, zarr_format=zarr_format)
    return store


class TestConsolidated:
    def test_is_the_same(self, store: ZarrStore) -> None:
        assert check(store).findings == ()

    def test_differs_from_an_array(self, store: ZarrStore, zarr_format: int) -> None:
        key = f"b/{NAMES[zarr_format]}"
        change(store, key, shape=[8, 6])
        report = check(store)
        assert not report.ok
        assert only(report).examples == ((key, "differs from the consolidated metadata"),)

    def test_differs_in_attributes(self, store: ZarrStore, zarr_format: int) -> None:
        if zarr_format == 2:
            key = "g/a/.zattrs"
            put(store, key, b'{"units": "K"}')
        else:
            key = "g/a/zarr.json"
            change(store, key, attributes={"units": "K"})
        assert only(check(store)).examples == ((key, "differs from the consolidated metadata"),)

    def test_lacks_an_array(self, store: ZarrStore, zarr_format: Any) -> None:
        write_array(store, "new", zarr_format=zarr_format)
        finding = only(check(store))
        assert finding.examples == (
            (f"new/{NAMES[zarr_format]}", "is not in the consolidated metadata"),
        )

    def test_has_an_array_that_was_deleted(self, store: ZarrStore, zarr_format: int) -> None:
        store.sync.delete_dir("b")
        finding = only(check(store))
        assert (finding.kind, finding.path) == ("consolidated_metadata", "")
        assert (
            f"b/{NAMES[zarr_format]}",
            "is only in the consolidated metadata",
        ) in finding.examples

    def test_differs_from_what_cannot_be_read(self, store: ZarrStore, zarr_format: int) -> None:
        key = f"b/{NAMES[zarr_format]}"
        put(store, key, b"[")
        assert found(check(store)) == {
            ("consolidated_metadata", ""): 1,
            ("invalid_metadata", "b"): 1,
        }

    def test_of_a_group_below_the_root(self) -> None:
        store = new_store()
        zarr.create_group(store)
        write_array(store, "g/a")
        zarr.consolidate_metadata(store, path="g")
        assert check(store).findings == ()
        change(store, "g/a/zarr.json", shape=[8, 6])
        assert found(check(store)) == {("consolidated_metadata", "g"): 1}

    def test_of_another_kind_is_not_supported(self) -> None:
        store = new_store()
        zarr.create_group(store)
        zarr.create_group(store, path="g")
        change(store, "g/zarr.json", consolidated_metadata={"kind": "elsewhere"})
        assert found(check(store)) == {("unsupported_metadata", "g"): 1}

    def test_of_v2_that_cannot_be_read(self) -> None:
        store = new_store()
        zarr.create_group(store, zarr_format=2)
        for content in (b"[", b"{}", b'{"zarr_consolidated_format": 2, "metadata": {}}'):
            put(store, ".zmetadata", content)
            finding = only(check(store))
            assert (finding.kind, finding.examples[0].key) == ("invalid_metadata", ".zmetadata")


class TestTheSameMeaning:
    """Writers may leave out defaults. zarr's copy has them."""

    def test_of_v3(self) -> None:
        store = new_store()
        zarr.create_group(store)
        write_array(store, "a", dtype="uint8", fill_value=0)
        short = document(store, "a/zarr.json")
        for name in ("attributes", "storage_transformers"):
            del short[name]
        short |= {
            "chunk_key_encoding": {"name": "default"},
            "codecs": [{"name": "bytes"}],
        }
        put(store, "a/zarr.json", json.dumps(short).encode())
        zarr.consolidate_metadata(store)
        assert document(store, "zarr.json")["consolidated_metadata"]["metadata"]["a"] != short
        assert check(store).findings == ()

    def test_of_v2(self) -> None:
        store = new_store()
        zarr.create_group(store, zarr_format=2)
        write_array(store, "a", zarr_format=2, dtype="f8", fill_value=0.0)
        store.sync.delete("a/.zattrs")
        short = document(store, "a/.zarray")
        del short["dimension_separator"]
        short["fill_value"] = 0
        put(store, "a/.zarray", json.dumps(short).encode())
        zarr.consolidate_metadata(store, zarr_format=2)
        assert document(store, ".zmetadata")["metadata"]["a/.zarray"] != short
        assert check(store).findings == ()

    def test_of_codecs_without_the_fields_that_zarr_adds(self) -> None:
        store = new_store()
        zarr.create_group(store, zarr_format=2)
        write_array(store, "a", zarr_format=2, compressors=Zstd(level=1))
        zarr.consolidate_metadata(store, zarr_format=2)
        change(store, "a/.zarray", compressor={"id": "zstd", "level": 1})
        assert check(store).findings == ()
        for compressor in ({"id": "zstd", "level": 2}, {"id": "zlib", "level": 1}, None):
            change(store, "a/.zarray", compressor=compressor)
            assert found(check(store))["consolidated_metadata", ""] == 1

    @pytest.mark.parametrize(
        ("changed", "same"), [("little", True), (None, True), ("big", False)], ids=str
    )
    def test_of_the_byte_order(self, changed: str | None, same: bool) -> None:
        store = new_store()
        zarr.create_group(store)
        write_array(store, "a", shards=(8, 4))
        zarr.consolidate_metadata(store)
        codecs = document(store, "a/zarr.json")["codecs"]
        codecs[0]["configuration"]["codecs"][0] = (
            {"name": "bytes", "configuration": {"endian": changed}} if changed else "bytes"
        )
        change(store, "a/zarr.json", codecs=codecs)
        assert (check(store).findings == ()) == same
