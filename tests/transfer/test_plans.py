"""Plans in files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store.errors import PlanError
from fsspec_store.transfer import Operation, Plan, State

STATES = st.none() | st.builds(
    State,
    st.integers(0, 2**63),
    st.none() | st.text(),
    st.none() | st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(fold=0)),
)
OPERATIONS = st.builds(
    Operation, st.sampled_from(["copy", "delete"]), st.text(), st.just("size"), STATES, STATES
)


def planned(*operations: Operation) -> Plan:
    plan = Plan("source", "target", keys=7)
    for operation in operations:
        plan.add(operation)
    return plan


@given(st.lists(OPERATIONS))
def test_a_plan_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, operations: list[Operation]
) -> None:
    file = tmp_path_factory.mktemp("plan") / "plan.jsonl"
    with planned(*operations) as plan:
        plan.write(file)
        with Plan.read(file) as found:
            assert list(found) == list(plan)
            assert sorted(map(repr, found)) == sorted(map(repr, operations))
            for name in ("source", "target", "keys", "copies", "copy_bytes", "deletes"):
                assert getattr(found, name) == getattr(plan, name)


def test_the_operations_are_in_the_order_in_which_they_are_applied() -> None:
    keys = ["zarr.json", "a/zarr.json", "a/c/0"]
    state = State(1, "v", datetime(2026, 1, 2, tzinfo=UTC))
    operations = [Operation("delete", key, "extra", None, state) for key in keys]
    operations += [Operation("copy", f"new/{key}", "missing", state, None) for key in keys]
    with planned(*operations) as plan:
        assert [one.key for one in plan] == [
            "new/a/c/0",
            "new/a/zarr.json",
            "new/zarr.json",
            "zarr.json",
            "a/zarr.json",
            "a/c/0",
        ]


@pytest.mark.parametrize("damage", ["truncated", "cut", "foreign", "empty", "newer"])
def test_a_damaged_file_is_rejected(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "plan.jsonl"
    state = State(5)
    with planned(*(Operation("copy", key, "missing", state, None) for key in "abc")) as plan:
        plan.write(file)
    text = file.read_text()
    lines = text.splitlines(keepends=True)
    file.write_text(
        {
            "truncated": "".join(lines[:-1]),
            "cut": text[:-20],
            "foreign": '{"a": 1}\n',
            "empty": "",
            "newer": text.replace("plan 1", "plan 2"),
        }[damage]
    )
    with pytest.raises(PlanError, match=str(file)):
        Plan.read(file)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"action": "delete"', '"action": "keep"', 3),
        ('"key": "b"', '"key": 5', 3),
        ("[5, null, null]", "[5, null]", 2),
        ("[5, null, null]", '["5", null, null]', 2),
        ("[5, null, null]", "[5, 1, null]", 2),
        ("[5, null, null]", "5", 2),
        ('"keys": 7', '"keys": NaN', 1),
    ],
)
def test_an_invalid_line_is_rejected_by_its_number(
    tmp_path: Path, old: str, new: str, line: int
) -> None:
    file = tmp_path / "plan.jsonl"
    state = State(5)
    with planned(
        Operation("copy", "a", "missing", state, None),
        Operation("delete", "b", "extra", None, None),
    ) as plan:
        plan.write(file)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(PlanError, match=f"plan.jsonl is not a plan of this package: line {line}: "):
        Plan.read(file)
