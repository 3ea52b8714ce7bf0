"""A pytest plugin: the seed of all random examples and faults.

The profile of hypothesis in ``HYPOTHESIS_PROFILE`` selects it:

- ``fixed``, the default: the same examples and faults in every run.
- ``random``: a new seed for each run. The first lines of the output name it.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "fixed")

# A server takes any time for its response, and a store made for a test serves all its examples.
settings.register_profile(
    "random", deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
settings.register_profile("fixed", settings.get_profile("random"), derandomize=True)
settings.load_profile(PROFILE)


# Before hypothesis reads its option.
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        config.option.hypothesis_seed = config.workerinput["seed"]
    elif config.option.hypothesis_seed is None:
        seed = random.SystemRandom().randrange(10**6) if PROFILE == "random" else 0
        config.option.hypothesis_seed = str(seed)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give the seed to a worker of xdist, which has options of its own."""
    node.workerinput["seed"] = node.config.option.hypothesis_seed


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: HYPOTHESIS_PROFILE={PROFILE} --hypothesis-seed {config.option.hypothesis_seed}"


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """The seed of this run, for faults and other random choices of a test."""
    return int(pytestconfig.option.hypothesis_seed)
