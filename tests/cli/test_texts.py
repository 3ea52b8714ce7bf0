"""Texts of sizes and keys, and totals of prefixes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store.cli.text import human_size, printable
from fsspec_store.cli.totals import Totals


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1.0KiB"),
        (1536, "1.5KiB"),
        (1024 * 1024 - 1, "1.0MiB"),
        (5 * 2**30, "5.0GiB"),
        (2**60, "1024.0PiB"),
    ],
)
def test_human_sizes(size: int, text: str) -> None:
    assert human_size(size) == text


@given(st.text())
def test_printable_texts_are_one_line_without_control_characters(text: str) -> None:
    assert printable(text).isprintable()
    assert text.isprintable() is (printable(text) == text)


_KEYS = st.lists(
    st.tuples(st.from_regex(r"[ab](/[ab]){0,3}", fullmatch=True), st.integers(0, 2**40)),
    unique_by=lambda entry: entry[0],
)


@given(_KEYS, st.integers(0, 5))
def test_totals_are_the_sums_of_what_starts_so(entries: list[tuple[str, int]], depth: int) -> None:
    totals = Totals.of(entries, depth)
    assert (totals.keys, totals.bytes) == (len(entries), sum(size for _, size in entries))
    for name, child in totals.walk():
        sizes = [size for key, size in entries if f"{key}/".startswith(f"{name}/")]
        assert (child.keys, child.bytes) == (len(sizes), sum(sizes))
        assert child.is_prefix == any(key.startswith(f"{name}/") for key, _ in entries)
    names = {name for name, _ in totals.walk()}
    assert len(names) == len(list(totals.walk()))
    assert names == {
        "/".join(key.split("/")[:level])
        for key, _ in entries
        for level in range(1, 1 + min(depth, len(key.split("/"))))
    }
