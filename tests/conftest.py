"""What every test may use: the servers, and the rules' own assertions spelled out."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("conformance")

from servers.fixtures import minio_endpoint, moto_endpoint, seaweedfs_endpoint  # noqa: E402

__all__ = ["minio_endpoint", "moto_endpoint", "seaweedfs_endpoint"]

# A server's answer takes the time it takes, and a store made for a test serves all its examples.
settings.register_profile(
    "default", deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
