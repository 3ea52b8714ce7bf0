"""Skipped tests of zarr are failures, except those that docs/zarr.md lists.

The option ``--sequences`` sets the number of random sequences.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from pages.reader import ROOT
from servers import fixtures
from zarr.testing.store import StoreTests

#: Reasons of this project, each a row of the page's table.
LISTED = frozenset(
    re.findall(r"^\| `(cannot: [^`]+)` \|", (ROOT / "docs" / "zarr.md").read_text(), re.MULTILINE)
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sequences",
        type=int,
        help="random sequences of actions in each of zarr's state machines (default: 3 on a "
        "service, 5 in memory and on files)",
    )


@pytest.fixture
def sequences(pytestconfig: pytest.Config) -> int | None:
    number: int | None = pytestconfig.getoption("sequences")
    return number


def why_failed(of_zarr: bool, reason: str, raised_in: list[Path]) -> str | None:
    """Why a skip is a failure; `None` if it is allowed."""
    if Path(fixtures.__file__) in raised_in:
        return None  # A server that is not installed, which on CI is a failure anyway.
    if of_zarr:
        return f"a test of zarr's own was skipped: {reason}"
    if reason not in LISTED:
        return f"docs/zarr.md does not list this skip: {reason}"
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and call.excinfo is not None:
        cls: Any = getattr(item, "cls", None)
        of_zarr = isinstance(cls, type) and issubclass(cls, StoreTests)
        raised_in = [Path(str(entry.path)) for entry in call.excinfo.traceback]
        failure = why_failed(of_zarr, str(call.excinfo.value), raised_in)
        if failure is not None:
            report.outcome = "failed"
            report.longrepr = failure
    return report
