"""A check against the chunks that were present before."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zarr

from dataset.places import change, check, found, new_store, one_array, put, value, write_array
from fsspec_store.dataset import ExpectationError
from fsspec_store.zarr import ZarrStore


def expectation(store: ZarrStore) -> Any:
    return json.loads(json.dumps(check(store).expectation()))


@pytest.fixture
def sparse() -> ZarrStore:
    store = one_array()
    for key in ("a/c/0/0", "a/c/1/2"):
        store.sync.delete(key)
    return store


class TestExpectation:
    def test_of_the_same_chunks(self, sparse: ZarrStore) -> None:
        expected = expectation(sparse)
        assert not check(sparse).ok
        report = check(sparse, expectation=expected)
        assert report.ok
        assert len(report.arrays[0].missing) == 0

    def test_of_chunks_that_are_missing_now(self, sparse: ZarrStore) -> None:
        expected = expectation(sparse)
        sparse.sync.delete("a/c/0/1")
        report = check(sparse, expectation=expected)
        assert found(report) == {("missing_chunk", "a"): 1}
        assert [example.key for example in report.findings[0].examples] == ["a/c/0/1"]
        assert check(sparse, expectation=expected, allow_missing=["a"]).ok

    def test_of_chunks_that_are_new(self, sparse: ZarrStore) -> None:
        expected = expectation(sparse)
        put(sparse, "a/c/0/0", value(sparse, "a/c/0/1"))
        assert found(check(sparse, expectation=expected)) == {("unexpected_chunk", "a"): 1}

    def test_of_another_shape(self, sparse: ZarrStore) -> None:
        expected = expectation(sparse)
        change(sparse, "a/zarr.json", shape=[9, 5])
        report = check(sparse, expectation=expected, allow_missing=True)
        assert found(report) == {("expectation", "a"): 1}
        assert report.findings[0].examples[0].reason == (
            "shape [9, 5] in chunks of [4, 2], [7, 5] in chunks of [4, 2] expected"
        )

    def test_of_an_array_that_is_missing_now(self) -> None:
        store = one_array()
        write_array(store, "b")
        expected = expectation(store)
        store.sync.delete_dir("b")
        assert found(check(store, expectation=expected)) == {("missing_array", "b"): 1}

    def test_of_an_array_whose_metadata_cannot_be_read(self, sparse: ZarrStore) -> None:
        expected = expectation(sparse)
        put(sparse, "a/zarr.json", b"{")
        assert found(check(sparse, expectation=expected)) == {("invalid_metadata", "a"): 1}

    def test_holds_for_a_copy_elsewhere(self, sparse: ZarrStore) -> None:
        copy = new_store()
        zarr.create_group(copy)
        for key in sparse.sync.list():
            put(copy, f"copy/{key}", value(sparse, key))
        assert check(copy, prefix="copy", expectation=expectation(sparse)).ok

    @pytest.mark.parametrize(
        "expected",
        [{}, [], {"format": "another"}, {"format": "fsspec-store expectation 1", "arrays": [1]}],
        ids=str,
    )
    def test_of_something_else_is_an_error(self, expected: Any) -> None:
        with pytest.raises(ExpectationError, match="not an expectation"):
            check(one_array(), expectation=expected)

    def test_of_a_damaged_bitmap_is_an_error(self, sparse: ZarrStore) -> None:
        expected = expectation(sparse)
        expected["arrays"]["a"]["present"] = "AAAA"
        with pytest.raises(ExpectationError, match="invalid expectation of array 'a'"):
            check(sparse, expectation=expected)
