"""Globs over keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store.transfer.selection import Selection

KEYS = (
    "zarr.json",
    "air/zarr.json",
    "air/c/0/0",
    "air/c/1/0",
    "temp/deep/zarr.json",
    "a[b",
    "a\nb",
)


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("zarr.json", {"zarr.json", "air/zarr.json", "temp/deep/zarr.json"}),
        ("/zarr.json", {"zarr.json"}),
        ("**/zarr.json", {"zarr.json", "air/zarr.json", "temp/deep/zarr.json"}),
        ("*/zarr.json", {"air/zarr.json"}),
        ("air/**", {"air/zarr.json", "air/c/0/0", "air/c/1/0"}),
        ("air/c/[01]/?", {"air/c/0/0", "air/c/1/0"}),
        ("air/c/[!0]/0", {"air/c/1/0"}),
        ("**", set(KEYS)),
        ("*.json", {"zarr.json", "air/zarr.json", "temp/deep/zarr.json"}),
        ("a[[]b", {"a[b"}),
        ("a[b", {"a[b"}),
        ("a?b", {"a[b", "a\nb"}),
        ("ir/**", set()),
    ],
)
def test_patterns(pattern: str, selected: set[str]) -> None:
    assert {key for key in KEYS if key in Selection(include=[pattern])} == selected
    assert {key for key in KEYS if key not in Selection(exclude=[pattern])} == selected


def test_excluded_keys_are_left_out_of_the_included_ones() -> None:
    selection = Selection(include="air/**", exclude=["zarr.json"])
    assert {key for key in KEYS if key in selection} == {"air/c/0/0", "air/c/1/0"}


@given(st.text(min_size=1), st.text())
def test_every_pattern_without_ranges_is_accepted(pattern: str, key: str) -> None:
    pattern = pattern.replace("-", "+")
    assert isinstance(key in Selection(include=[pattern]), bool)


def test_invalid_patterns() -> None:
    with pytest.raises(ValueError, match="include must not have an empty pattern"):
        Selection(include=[""])
    with pytest.raises(ValueError, match=r"invalid pattern 'a/\[z-a\]': bad character range z-a"):
        Selection(exclude=["a/[z-a]"])
    with pytest.raises(TypeError, match="exclude must have patterns, got 5"):
        Selection(exclude=[5])  # type: ignore[list-item]
