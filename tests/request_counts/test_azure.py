"""Requests to Azure Blob Storage, as Azurite plays it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from conformance.support import MakeStore, listed
from servers.azurite import AzureEndpoint
from servers.fault_proxy import Answer, FaultProxy

from fsspec_store import FsspecStore

from .counting import closing_all, counting, methods
from .rules import ListingRules, Protocol, ReadingRules, WritingRules


@pytest.fixture
def endpoint(azurite_endpoint: AzureEndpoint) -> AzureEndpoint:
    return azurite_endpoint


@pytest.fixture
def make_store(endpoint: AzureEndpoint, proxy: FaultProxy) -> Iterator[Any]:
    options = dataclasses.replace(endpoint, url=proxy.url).storage_options()
    # A container for each test: the emulator looks through all of one for a blob.
    root = f"az://{endpoint.make_container()}/root"
    with closing_all(
        lambda **more: FsspecStore.from_url(root, options, **{"timeout": 120} | more)
    ) as make:
        yield make


class TestAzurite(ReadingRules, WritingRules, ListingRules):
    protocol = Protocol(
        page_keys=5000,
        page_size="maxresults",
        # "Blob Batch" allows no more.
        batch_keys=256,
        # Of many more the emulator takes longer to delete a batch than a store waits.
        crowd=600,
        head_misses_disconnect="Azurite's answer has no length, and Azure's own is in chunks",
        no_suffixes="Azure's Range has a start: the size is asked for, and a range of that version",
    )

    @pytest.fixture(autouse=True)
    def _endpoint(self, endpoint: AzureEndpoint) -> None:
        self.endpoint = endpoint

    async def put_markers(self, make_store: MakeStore, *folders: str) -> None:
        container, _, root = make_store().path.partition("/")
        with closing(self.endpoint.client()) as client:
            blobs = client.get_container_client(container)
            for folder in folders:
                blobs.upload_blob(f"{root}/{folder}", b"", metadata={"hdi_isfolder": "true"})

    async def test_a_service_that_refused_one_batch_is_sent_no_other(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        await self.fill(make_store, {f"{name}/{n}": b"x" for name in "cd" for n in range(3)})
        store = make_store()
        proxy.plan = lambda method, target, headers: Answer(400) if method == "POST" else None
        for name, batches in (("c", 1), ("d", 0)):
            with counting(proxy, store) as seen:
                await store.delete_dir(name)
            expected = {"GET": 1, "POST": batches, "DELETE": 3}
            assert Counter(methods(seen)) == Counter(expected)
        assert await listed(store.list()) == []
