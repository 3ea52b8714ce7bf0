"""Requests to S3 and its like: each operation is one, from a store's very first on."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from typing import Any

import pytest
from conformance.support import MakeStore
from servers import S3Endpoint
from servers.fault_proxy import FaultProxy

from fsspec_store import FsspecStore

from .counting import closing_all
from .rules import ListingRules, Protocol, ReadingRules, WritingRules

_places = itertools.count()


@cache
def _bucket(endpoint: S3Endpoint) -> str:
    return endpoint.make_bucket()


@pytest.fixture
def make_store(
    request: pytest.FixtureRequest, endpoint: S3Endpoint, proxy: FaultProxy
) -> Iterator[Any]:
    options = dataclasses.replace(endpoint, url=proxy.url).storage_options()
    root = f"s3://{_bucket(endpoint)}/{next(_places)}"
    defaults = {"timeout": 120, "transport": request.cls.transport}
    with closing_all(lambda **more: FsspecStore.from_url(root, options, **defaults | more)) as make:
        yield make


class S3Requests(ReadingRules, WritingRules, ListingRules):
    protocol = Protocol(page_keys=1000, page_size="max-keys", batch_keys=1000)
    transport = "auto"

    @pytest.fixture(autouse=True)
    def _endpoint(self, endpoint: S3Endpoint) -> None:
        self.endpoint = endpoint

    async def put_markers(self, make_store: MakeStore, *folders: str) -> None:
        bucket, _, root = make_store().path.partition("/")
        with closing(self.endpoint.client()) as client:
            for folder in folders:
                client.put_object(Bucket=bucket, Key=f"{root}/{folder}", Body=b"")


class TestSeaweedFS(S3Requests):
    @pytest.fixture
    def endpoint(self, seaweedfs_endpoint: S3Endpoint) -> S3Endpoint:
        return seaweedfs_endpoint


class TestMinIO(S3Requests):
    @pytest.fixture
    def endpoint(self, minio_endpoint: S3Endpoint) -> S3Endpoint:
        return minio_endpoint


class TestMinIOByS3fs(TestMinIO):
    """As few requests by s3fs's own calls."""

    protocol = dataclasses.replace(TestMinIO.protocol, crowd=1200)
    transport = "library"


class TestMoto(S3Requests):
    protocol = dataclasses.replace(
        S3Requests.protocol, crowd=1200, disconnects="moto's server ends each connection"
    )

    @pytest.fixture
    def endpoint(self, moto_endpoint: S3Endpoint) -> S3Endpoint:
        return moto_endpoint
