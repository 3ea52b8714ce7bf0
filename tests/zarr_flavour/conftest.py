"""How long zarr's random sequences go on, and that none of zarr's tests excuses itself."""

from __future__ import annotations

from collections.abc import Generator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sequences",
        type=int,
        help="random sequences of actions in each of zarr's state machines (default: 5 on a "
        "service, 20 in memory and on files)",
    )


@pytest.fixture
def sequences(pytestconfig: pytest.Config) -> int | None:
    number: int | None = pytestconfig.getoption("sequences")
    return number


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let no test of zarr's pass by finding that the store cannot do what it is about.

    A server that is missing is found out before a test is called.
    """
    report = yield
    if report.skipped and call.when == "call" and item.path.stem == "test_zarrs_own_rules":
        report.outcome = "failed"
        report.longrepr = f"zarr's own test was skipped: {call.excinfo and call.excinfo.value}"
    return report
