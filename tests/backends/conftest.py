"""How long the tests of races go on, and on which services S3's lanes are told apart."""

from __future__ import annotations

import pytest
from servers import S3Endpoint


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


@pytest.fixture(params=["minio_endpoint", "seaweedfs_endpoint"], ids=["minio", "seaweedfs"])
def endpoint(request: pytest.FixtureRequest) -> S3Endpoint:
    endpoint: S3Endpoint = request.getfixturevalue(request.param)
    return endpoint
