"""Chunks precede the metadata that makes them visible, at each level of a hierarchy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fsspec_store.transfer.key_order import parents, rank

NAMES = st.sampled_from(
    [
        "zarr.json",
        ".zarray",
        ".zattrs",
        ".zgroup",
        ".zmetadata",
        "c",
        "0",
        "1.0",
        "air",
        "zarr.jsonx",
    ]
)
KEYS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


def test_metadata_is_copied_after_the_chunks_from_the_leaves_to_the_root() -> None:
    keys = ["zarr.json", "a/zarr.json", "a/b/c/0", "a/b/zarr.json", "c/0"]
    assert sorted(keys, key=rank) == ["a/b/c/0", "c/0", "a/b/zarr.json", "a/zarr.json", "zarr.json"]


def test_the_key_that_makes_a_node_visible_is_the_last_of_its_metadata() -> None:
    keys = [".zmetadata", ".zgroup", ".zattrs", "a/.zarray", "a/.zattrs", "a/0.0"]
    in_order = ["a/0.0", "a/.zattrs", "a/.zarray", ".zattrs", ".zgroup", ".zmetadata"]
    assert sorted(keys, key=rank) == in_order


@given(KEYS, KEYS)
def test_no_metadata_precedes_a_key_below_its_node(one: str, other: str) -> None:
    node = one.rpartition("/")[0]
    is_below = other.startswith(f"{node}/" if node else "") and other.count("/") > one.count("/")
    if rank(one).is_metadata and is_below:
        assert rank(other) < rank(one)


def test_the_nodes_above_a_key() -> None:
    assert parents("zarr.json") == [""]
    assert parents("a/b/c/0") == ["", "a/", "a/b/", "a/b/c/"]
