"""The contract on an object store: one bucket for all tests, a prefix for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from conformance import StoreConformance
from servers.roots import new_root

from fsspec_store import FsspecStore


class OnBucket(StoreConformance):
    """The contract on the server of the fixture ``endpoint``."""

    scheme: str
    #: The transport of the stores, unless a test sets another one.
    transport = "auto"

    @pytest.fixture
    def make_store(self, endpoint: Any) -> Iterator[Any]:
        root = new_root(endpoint)
        with ExitStack() as made:

            def make(below: str = "", **options: Any) -> FsspecStore:
                url = f"{self.scheme}://{root}/{below}".rstrip("/")
                options = {"transport": self.transport, **options}
                store = FsspecStore.from_url(url, endpoint.storage_options(), **options)
                return made.enter_context(closing(store))

            yield make
