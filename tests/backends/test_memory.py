from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from conformance import StoreConformance
from fsspec.implementations.memory import MemoryFileSystem

from fsspec_store import Buffer, FsspecStore


class TestMemory(StoreConformance):
    @pytest.fixture
    def make_store(self) -> Iterator[Any]:
        root = f"memory://{uuid.uuid4()}"

        def make(below: str = "", **options: Any) -> FsspecStore:
            return FsspecStore.from_url(f"{root}/{below}".rstrip("/"), **options)

        yield make
        MemoryFileSystem.store.clear()


@pytest.mark.parametrize("prefix", ["", "c/", "missing/"])
@pytest.mark.parametrize("listing", ["list_prefix", "list_dir", "getsize_prefix", "delete_dir"])
async def test_other_tasks_run_during_a_long_listing(listing: str, prefix: str) -> None:
    store = FsspecStore.from_url(f"memory://{uuid.uuid4()}")
    value = Buffer.from_bytes(b"x")
    await store._set_many((f"c/{number}", value) for number in range(10_000))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await asyncio.sleep(0)
    turns = 0
    found = getattr(store, listing)(prefix)
    if listing.startswith("list"):
        async for _ in found:
            pass
    else:
        await found
    counting.cancel()
    # At least one in a thousand keys.
    assert turns >= 10
