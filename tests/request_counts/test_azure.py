"""Requests to Azure Blob Storage, as Azurite plays it."""

from __future__ import annotations

from contextlib import closing

import pytest
from conformance.support import MakeStore
from proxied import OnAzurite
from servers.azurite import AzureEndpoint

from .copying import CopyingRules
from .rules import ListingRules, Protocol, ReadingRules, WritingRules


class TestAzurite(OnAzurite, ReadingRules, WritingRules, ListingRules, CopyingRules):
    protocol = Protocol(
        page_keys=5000,
        page_size="maxresults",
        # "Blob Batch" allows no more.
        batch_keys=256,
        # Of many more the emulator takes longer to delete a batch than a store waits.
        crowd=600,
        head_misses_disconnect="Azurite's answer has no length, and Azure's own is in chunks",
        order="stated",
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
