from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store._store.partial_writes import group_writes, patched

parts = st.lists(st.tuples(st.integers(0, 60), st.binary(max_size=12)), max_size=6)


@given(st.none() | st.binary(max_size=40), parts)
def test_patching_is_writing_into_a_bytearray(old: bytes | None, written: list[tuple[int, bytes]]):
    try:
        writes = group_writes([("k", start, data) for start, data in written])
    except ValueError:
        covered = [set(range(start, start + len(data))) for start, data in written]
        assert sum(map(len, covered)) > len(set().union(*covered))
        return
    model = bytearray(old or b"")
    for start, data in written:
        if data:
            model.extend(bytes(max(0, start - len(model))))
            model[start : start + len(data)] = data
    view = None if old is None else memoryview(old)
    assert patched(view, writes.get("k", [])) == model


def test_writes_are_grouped_by_key_in_order_of_their_starts() -> None:
    writes = group_writes(iter([("a", 5, b"y"), ("b", 0, b"z"), ("a", 0, b"x")]))
    assert {
        key: [(start, bytes(data)) for start, data in parts] for key, parts in writes.items()
    } == {
        "a": [(0, b"x"), (5, b"y")],
        "b": [(0, b"z")],
    }


@pytest.mark.parametrize("start", [-1, 2**62 + 1, 2**64, 10**30])
def test_a_start_above_the_maximum_size_is_an_error(start: int) -> None:
    with pytest.raises(ValueError, match="a part of 'a' starts at"):
        group_writes([("a", start, b"x")])
