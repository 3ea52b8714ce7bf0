"""How long the tests of races go on."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--race-rounds",
        type=int,
        default=5,
        help="rounds of each race between 64 writers (default: 5; a hundred take some minutes)",
    )


@pytest.fixture
def race_rounds(pytestconfig: pytest.Config) -> int:
    rounds: int = pytestconfig.getoption("race_rounds")
    return rounds
