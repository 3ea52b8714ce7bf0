"""What every test may use: the servers, and the rules' own assertions spelled out."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("conformance")
pytest_plugins = ["conformance.matrix"]

from servers.fixtures import (  # noqa: E402
    azurite_endpoint,
    fake_gcs_endpoint,
    minio_endpoint,
    moto_endpoint,
    nginx_endpoint,
    rclone_endpoint,
    seaweedfs_endpoint,
)

__all__ = [
    "azurite_endpoint",
    "fake_gcs_endpoint",
    "minio_endpoint",
    "moto_endpoint",
    "nginx_endpoint",
    "rclone_endpoint",
    "seaweedfs_endpoint",
]

# A server's answer takes the time it takes, and a store made for a test serves all its examples.
settings.register_profile(
    "default", deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
