from __future__ import annotations

import pytest
from conformance import Limits
from servers import S3Endpoint

from .s3_conformance import S3Conformance


class TestSeaweedFS(S3Conformance):
    limits = Limits(
        long_names="SeaweedFS takes segments of at most 255 bytes",
        backslash="SeaweedFS takes a backslash for a slash",
        prefix_gone_at_once="SeaweedFS lists an emptied prefix for minutes",
        examples=40,
    )

    @pytest.fixture
    def endpoint(self, seaweedfs_endpoint: S3Endpoint) -> S3Endpoint:
        return seaweedfs_endpoint
