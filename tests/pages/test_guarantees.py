"""The table of promises names tests that are there, and that run where it says."""

from __future__ import annotations

import re

from pages.reader import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text()
SHOWN_BY = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)
ROWS = [row for row in PAGE.splitlines() if row.startswith("| ") and "**" not in row][2:]

#: For each column, whose rules in the conformance table are its.
SERVICES = {
    "memory": {"Memory"},
    "files": {"Local"},
    "S3": {"MinIO", "SeaweedFS"},
    "Google": {"fake-gcs-server"},
    "Azure": {"Azurite"},
    "web": {"nginx"},
    "WebDAV": {"Apache", "rclone", "wsgidav"},
    "others": {"Generic", "SFTP", "FTP"},
}


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def kept() -> dict[str, set[str]]:
    """The services that keep each rule, all or nearly all of it."""
    found: dict[str, set[str]] = {}
    services: list[str] = []
    for row in (ROOT / "docs" / "conformance.md").read_text().splitlines():
        if row.startswith("| rule"):
            services = cells(row)[1:]
        elif row.startswith("| ") and not row.startswith("| -"):
            rule, *marks = cells(row)
            found[rule] = {
                name for name, mark in zip(services, marks, strict=True) if mark.startswith("✓")
            }
    return found


def test_every_guarantee_names_an_existing_test() -> None:
    assert len(ROWS) > 20
    for row in ROWS:
        assert re.search(r"\.py::", row), row
    for file, test in SHOWN_BY:
        text = (ROOT / "tests" / file).read_text()
        assert re.search(rf"(def|class) {test}\b", text), f"{file}::{test}"


def test_every_guarantee_states_where_it_holds() -> None:
    for row in ROWS:
        _promise, *places = cells(row)
        assert len(places) == len(SERVICES), row
        assert all(re.fullmatch("[✓\N{EN DASH}·]( [¹²³⁴⁵⁶⁷⁸⁹])?", place) for place in places), row


def test_a_rule_is_kept_by_every_service_it_is_promised_on() -> None:
    kept_by = kept()
    looked_at = 0
    for row in ROWS:
        promise, *places = cells(row)
        tests = re.findall(r"`([\w/]+)\.py::test_(\w+)`", promise)
        if not all(file.startswith("conformance/") for file, _ in tests):
            continue
        looked_at += 1
        for place, services in zip(places, SERVICES.values(), strict=True):
            if place.startswith("✓"):
                for _, test in tests:
                    assert services & kept_by[test.replace("_", " ")], (promise, services)
    assert looked_at > 5
