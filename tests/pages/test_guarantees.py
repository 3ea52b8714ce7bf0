"""The table of promises names tests that are there."""

from __future__ import annotations

import re

from pages.reader import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text()
SHOWN_BY = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)
ROWS = [row for row in PAGE.splitlines() if row.startswith("| ") and "**" not in row][2:]


def test_every_promise_names_a_test_that_is_there() -> None:
    assert len(ROWS) > 20
    for row in ROWS:
        assert re.search(r"\.py::", row), row
    for file, test in SHOWN_BY:
        text = (ROOT / "tests" / file).read_text()
        assert re.search(rf"(def|class) {test}\b", text), f"{file}::{test}"


def test_every_promise_says_where_it_holds() -> None:
    for row in ROWS:
        _, _promise, *places, _shown_by, _ = (cell.strip() for cell in row.split("|"))
        assert len(places) == 7, row
        assert all(re.fullmatch("[✓\N{EN DASH}·]( [¹²³⁴⁵⁶])?", place) for place in places), row
