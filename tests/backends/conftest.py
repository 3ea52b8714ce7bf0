"""Options, services and an environment that several modules of the backends' tests use."""

from __future__ import annotations

from pathlib import Path

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


# These modules test the client. The rules of the contract run on both services in the fast suite.
@pytest.fixture(
    params=[
        pytest.param("minio_endpoint", id="minio"),
        pytest.param("seaweedfs_endpoint", id="seaweedfs", marks=pytest.mark.slow),
    ]
)
def endpoint(request: pytest.FixtureRequest) -> S3Endpoint:
    endpoint: S3Endpoint = request.getfixturevalue(request.param)
    return endpoint


@pytest.fixture
def no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials but those that a test puts there."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
