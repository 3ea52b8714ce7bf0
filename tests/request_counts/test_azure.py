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
from servers.fault_proxy import Answer, FaultProxy, fault_proxy

from fsspec_store import FsspecStore

from .counting import counting, methods
from .rules import ListingRules, Protocol, ReadingRules, WritingRules


@pytest.fixture
def proxy(azurite_endpoint: AzureEndpoint) -> Iterator[FaultProxy]:
    with fault_proxy(azurite_endpoint.url) as running:
        yield running


@pytest.fixture
def make_store(azurite_endpoint: AzureEndpoint, proxy: FaultProxy) -> Iterator[Any]:
    options = dataclasses.replace(azurite_endpoint, url=proxy.url).storage_options()
    # A container for each test: the emulator looks through all of one for a blob.
    root = f"az://{azurite_endpoint.make_container()}/root"
    made = []

    def make(**more: Any) -> FsspecStore:
        made.append(FsspecStore.from_url(root, options, **{"timeout": 120, **more}))
        return made[-1]

    yield make
    for store in made:
        store.close()


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
    def _endpoint(self, azurite_endpoint: AzureEndpoint) -> None:
        self.endpoint = azurite_endpoint

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
