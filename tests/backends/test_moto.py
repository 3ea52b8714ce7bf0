from __future__ import annotations

import pytest
from servers import S3Endpoint

from .s3_conformance import S3Conformance


class TestMoto(S3Conformance):
    @pytest.fixture
    def endpoint(self, moto_endpoint: S3Endpoint) -> S3Endpoint:
        return moto_endpoint
