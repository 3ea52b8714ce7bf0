"""The seed by which faults strike: another one for each run, printed, and given to repeat one."""

from __future__ import annotations

import random

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fault-seed",
        type=int,
        default=random.SystemRandom().randrange(10**6),
        help="decides which faults strike which requests (default: random)",
    )


def pytest_report_header(config: pytest.Config) -> str:
    return f"faults: --fault-seed {config.getoption('fault_seed')}"


@pytest.fixture
def fault_seed(pytestconfig: pytest.Config) -> int:
    seed: int = pytestconfig.getoption("fault_seed")
    return seed
