"""Rules of `set_if_not_exists`."""

from __future__ import annotations

import asyncio

import pytest

from fsspec_store.errors import UnsupportedOperationError

from .support import MakeStore, Rules, buf, put, read, unless


class CreatingRules(Rules):
    of_writing = True

    async def test_creates_a_missing_key(self, make_store: MakeStore) -> None:
        store = make_store()
        await store.set_if_not_exists("a/b", buf(b"first"))
        assert await read(store, "a/b") == b"first"

    async def test_keeps_a_key_that_is_there(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a/b", data=b"first")
        assert await store.set_if_not_exists("a/b", buf(b"second")) is None
        assert await read(store, "a/b") == b"first"

    async def test_an_empty_value_counts_as_there(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a", data=b"")
        await store.set_if_not_exists("a", buf(b"second"))
        assert await read(store, "a") == b""

    async def test_creates_again_after_a_delete(self, make_store: MakeStore) -> None:
        store = make_store()
        await store.set_if_not_exists("a", buf(b"first"))
        await store.delete("a")
        await store.set_if_not_exists("a", buf(b"second"))
        assert await read(store, "a") == b"second"

    async def test_what_cannot_create_atomically_refuses_a_race(
        self, make_store: MakeStore
    ) -> None:
        store = make_store()
        assert store.supports_atomic_create == (self.limits.atomic_create is None)
        if not store.supports_atomic_create:
            strict = make_store(allow_racy_create=False)
            with pytest.raises(UnsupportedOperationError, match="allow_racy_create"):
                await strict.set_if_not_exists("a", buf(b"x"))
            assert not await store.exists("a")

    async def test_one_of_many_writers_wins(self, make_store: MakeStore) -> None:
        unless(self.limits.atomic_create)
        stores = [make_store() for _ in range(4)]
        assert all(store.supports_atomic_create for store in stores)
        for round_ in range(2):
            key = f"lock/{round_}"
            seen: list[bytes | None] = []

            async def contend(number: int, key: str = key, seen: list[bytes | None] = seen) -> None:
                store = stores[number % len(stores)]
                await store.set_if_not_exists(key, buf(b"%d" % number * 1000))
                # Whoever returns sees the winner's value, whole, and everybody the same.
                seen.append(await read(store, key))

            await asyncio.gather(*(contend(number) for number in range(8)))
            assert len(set(seen)) == 1
            winner = await read(stores[0], key)
            assert winner == seen[0]
            assert winner is not None
            assert len(winner) % 1000 == 0
        for store in stores:
            await store.aclose()
