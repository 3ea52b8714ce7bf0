"""Two listings side by side."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store._store.entries import Entry
from fsspec_store.errors import BackendError
from fsspec_store.transfer.merging import merged

KEYS = st.sets(st.text(st.sampled_from("a-/.0\ue000\U00010000"), min_size=1, max_size=4))


async def listing(keys: Iterable[str]) -> AsyncGenerator[Entry, None]:
    for key in keys:
        yield Entry(key, len(key))


@given(KEYS, KEYS)
async def test_each_key_is_paired_once(ours: set[str], theirs: set[str]) -> None:
    pairs = merged(listing(sorted(ours)), listing(sorted(theirs)))
    found = [tuple(entry and entry.key for entry in pair) for pair in [one async for one in pairs]]
    expected = [
        (key if key in ours else None, key if key in theirs else None)
        for key in sorted(ours | theirs, key=str.encode)
    ]
    assert found == expected


@pytest.mark.parametrize("which", ["source", "target"])
@pytest.mark.parametrize("keys", [["a/b", "a-b"], ["a", "a"]])
async def test_another_order_is_an_error(which: str, keys: list[str]) -> None:
    listings = [listing(keys), listing(["z"])]
    if which == "target":
        listings.reverse()
    with pytest.raises(BackendError, match=f"the listing of the {which} has '{keys[1]}' after"):
        async for _ in merged(*listings):
            pass
