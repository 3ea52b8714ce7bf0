"""Data sets of many chunks, from a store that computes its listing."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from dataset.generated import GeneratedStore, array
from fsspec_store.dataset import blocking, check
from fsspec_store.errors import UnsupportedOperationError


class ShuffledStore(GeneratedStore):
    """Lists keys in a random order."""

    def __init__(self, *args: Any, seed: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self._seed = seed

    async def list_sizes(
        self, prefix: str = "", *, fan_out: int = 1
    ) -> AsyncGenerator[tuple[str, int | None], None]:
        entries = [entry async for entry in super().list_sizes(prefix)]
        random.Random(self._seed).shuffle(entries)
        for entry in entries:
            yield entry


class KeysAloneStore(GeneratedStore):
    """Lists no sizes."""

    async def list_sizes(
        self, prefix: str = "", *, fan_out: int = 1
    ) -> AsyncGenerator[tuple[str, int | None], None]:
        async for key, _ in super().list_sizes(prefix):
            yield key, None


class TestLarge:
    @pytest.mark.slow
    async def test_a_million_chunks(self) -> None:
        store = GeneratedStore({"a": array((10, 100, 1000))}, missing_every=1000)
        report = await check(store)
        [finding] = report.findings
        assert (finding.kind, finding.path, finding.count) == ("missing_chunk", "a", 1000)
        assert finding.examples[1].key == "a/c/0/1/999"
        [found] = report.arrays
        assert (len(found.present), found.bytes) == (999_000, 4 * 999_000)
        assert list(found.missing) == list(range(999, 10**6, 1000))

    async def test_memory_is_one_bit_for_each_chunk(self) -> None:
        store = GeneratedStore({"a": array((60, 1000))}, missing_every=1000)
        tracemalloc.start()
        try:
            await check(store)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # A set of its keys has more than 5 MB.
        assert peak < 2.5 * 10**6

    async def test_many_arrays(self) -> None:
        store = GeneratedStore({f"a{n}": array((3,)) for n in range(2000)})
        report = await check(store)
        assert (report.findings, len(report.arrays)) == ((), 2000)

    async def test_the_order_of_keys_does_not_matter(self, seed: int) -> None:
        arrays = {f"a{n}": array((20, 30)) for n in range(10)}
        ordered = await check(GeneratedStore(arrays, missing_every=7))
        shuffled = await check(ShuffledStore(arrays, missing_every=7, seed=seed))
        assert shuffled.to_dict() == ordered.to_dict()

    async def test_sizes_that_are_not_listed_are_not_checked(self) -> None:
        report = await check(KeysAloneStore({"a": array((10, 10))}))
        assert (report.ok, report.bytes, report.arrays[0].bytes) == (True, None, None)


class TestOtherStores:
    def test_are_checked_without_await(self) -> None:
        assert blocking.check(GeneratedStore({"a": array((10, 10))})).ok

    async def test_are_not_decoded(self) -> None:
        store = GeneratedStore({"a": array((10, 10))})
        with pytest.raises(UnsupportedOperationError, match="deep=True needs an FsspecStore"):
            await check(store, deep=True)

    async def test_at_least_one_chunk_is_read_at_once(self) -> None:
        with pytest.raises(ValueError, match="concurrency must be at least 1, got 0"):
            await check(GeneratedStore({}), concurrency=0)
