from __future__ import annotations

import dataclasses

import pytest
from conformance import TRANSPORT_RULES, Limits
from conformance.keys import KeyRules
from conformance.lifecycle import LifecycleRules
from servers import S3Endpoint

from .s3_conformance import S3Conformance


class TestMinIO(S3Conformance):
    limits = Limits(
        key_beside_children="MinIO lists the key and not those below it",
        long_names="MinIO takes segments of at most 255 bytes",
        examples=25,
    )

    @pytest.fixture
    def endpoint(self, minio_endpoint: S3Endpoint) -> S3Endpoint:
        return minio_endpoint


class TestMinIOByS3fs(TestMinIO):
    """The same results without the native transport."""

    limits = dataclasses.replace(TestMinIO.limits, examples=10, many=150)
    service = "MinIO, by s3fs"
    fast_rules = (*TRANSPORT_RULES, KeyRules, LifecycleRules, S3Conformance)
    transport = "library"


class TestMinIOOverTLS(TestMinIO):
    """The same results over TLS."""

    limits = dataclasses.replace(TestMinIO.limits, examples=10, many=150)
    service = "MinIO, over TLS"
    fast_rules = (*TRANSPORT_RULES, S3Conformance)

    @pytest.fixture
    def endpoint(self, minio_tls_endpoint: S3Endpoint) -> S3Endpoint:
        return minio_tls_endpoint
