"""Requests to S3 and its like: each operation is one, from a store's very first on."""

from __future__ import annotations

import dataclasses
from contextlib import closing

import pytest
from conformance.support import MakeStore
from proxied import OnMinIO, OnMoto, OnSeaweedFS
from servers import S3Endpoint

from .copying import CopyingRules
from .rules import ListingRules, Protocol, ReadingRules, WritingRules


class S3Requests(ReadingRules, WritingRules, ListingRules, CopyingRules):
    protocol = Protocol(page_keys=1000, page_size="max-keys", batch_keys=1000)

    @pytest.fixture(autouse=True)
    def _endpoint(self, endpoint: S3Endpoint) -> None:
        self.endpoint = endpoint

    async def put_markers(self, make_store: MakeStore, *folders: str) -> None:
        bucket, _, root = make_store().path.partition("/")
        with closing(self.endpoint.client()) as client:
            for folder in folders:
                client.put_object(Bucket=bucket, Key=f"{root}/{folder}", Body=b"")


class TestSeaweedFS(OnSeaweedFS, S3Requests):
    protocol = dataclasses.replace(S3Requests.protocol, order="by folder")


class TestMinIO(OnMinIO, S3Requests):
    pass


class TestMinIOByS3fs(OnMinIO, S3Requests):
    """As few requests by s3fs's own calls."""

    protocol = dataclasses.replace(S3Requests.protocol, crowd=1200)
    # Its pages are s3fs's own, and deletes of a thousand keys take most of the module's time.
    fast_rules = (ReadingRules, WritingRules, CopyingRules)
    transport = "library"


@pytest.mark.slow
class TestMoto(OnMoto, S3Requests):
    protocol = dataclasses.replace(
        S3Requests.protocol, crowd=1200, disconnects="moto's server ends each connection"
    )
