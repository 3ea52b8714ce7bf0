"""Rules of opening, closing, comparing and pickling stores, and of using them from anywhere."""

from __future__ import annotations

import asyncio
import pickle
import threading

import pytest

from fsspec_store import Store, StorePath
from fsspec_store.contract import ByteGetter, ByteSetter, set_or_delete

from .support import MakeStore, Rules, buf, listed, put, read


class LifecycleRules(Rules):
    async def test_every_operation_opens_the_store(self, make_store: MakeStore) -> None:
        await put(make_store(), "a")
        for use in (
            lambda store: store.get("a"),
            lambda store: store.exists("a"),
            lambda store: store.set("b", buf(b"x")),
            lambda store: store.set_if_not_exists("a", buf(b"x")),
            lambda store: store.set_partial_values([("a", 0, b"x")]),
            lambda store: store.get_partial_values(None, [("a", None)]),
            lambda store: store.getsize("a"),
            lambda store: listed(store.list()),
            lambda store: listed(store.list_prefix("a")),
            lambda store: listed(store.list_dir("")),
            lambda store: store.is_empty(""),
            lambda store: store.getsize_prefix(""),
            lambda store: store.delete("b"),
            lambda store: store.delete_dir("b"),
        ):
            store = make_store()
            assert not store._is_open
            await use(store)
            assert store._is_open
            await store.aclose()

    async def test_opening_twice_is_an_error(self, make_store: MakeStore) -> None:
        store = make_store()
        await store._open()
        with pytest.raises(ValueError, match="store is already open"):
            await store._open()
        await store._ensure_open()
        assert store._is_open

    async def test_closing_twice_is_harmless(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a")
        store.close()
        store.close()
        assert not store._is_open
        await store.aclose()
        await store.aclose()
        # A closed store opens again when it is used.
        assert await read(store, "a") == b"a"
        await store.aclose()

    async def test_closing_at_the_same_time_is_harmless(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a")
        await asyncio.gather(store.aclose(), store.aclose())
        await put(store, "a")
        closing = asyncio.create_task(store.aclose())
        await asyncio.sleep(0)
        store.close()
        await closing
        assert await read(store, "a") == b"a"
        await store.aclose()

    async def test_context_managers_close(self, make_store: MakeStore) -> None:
        async with make_store() as store:
            assert store._is_open
            await put(store, "a")
        assert not store._is_open
        with make_store() as store:
            assert await read(store, "a") == b"a"
        assert not store._is_open

    async def test_stores_on_one_place_are_equal(self, make_store: MakeStore) -> None:
        store, twin = make_store(), make_store()
        assert store == twin
        assert hash(store) == hash(twin)
        assert store != make_store(below="sub")
        assert store != make_store(read_only=True)
        assert store != "store"
        assert store != object()

    async def test_pickling(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a")
        for original in (store, make_store(read_only=True), make_store(below="sub")):
            again = pickle.loads(pickle.dumps(original))
            assert type(again) is type(original)
            assert again == original
            assert again.read_only == original.read_only
            assert not again._is_open
        again = pickle.loads(pickle.dumps(store))
        assert await read(again, "a") == b"a"
        await again.aclose()

    async def test_it_is_a_store(self, make_store: MakeStore) -> None:
        store = make_store()
        assert isinstance(store, Store)
        assert store.supports_writes
        assert store.supports_deletes
        assert store.supports_listing
        assert store.supports_consolidated_metadata

    async def test_a_store_path_is_one_key(self, make_store: MakeStore) -> None:
        root = StorePath(make_store())
        path = root / "a" / "b"
        assert path.path == "a/b"
        assert isinstance(path, ByteGetter)
        assert isinstance(path, ByteSetter)
        assert await path.get() is None
        await path.set(buf(b"012345"))
        assert (await path.get()).to_bytes() == b"012345"
        await path.set_if_not_exists(buf(b"new"))
        assert (await path.get()).to_bytes() == b"012345"
        assert await path.exists()
        assert not await (root / "a").is_empty()
        await set_or_delete(path, buf(b"6"))
        assert (await path.get()).to_bytes() == b"6"
        await set_or_delete(path, None)
        assert await path.get() is None
        await set_or_delete(path, None)
        assert path == StorePath(root.store, "a/b/")
        assert path != root
        await (root / "a").delete_dir()

    def test_one_store_serves_loop_after_loop(self, make_store: MakeStore) -> None:
        store = make_store()
        asyncio.run(put(store, "a", "b/c"))
        assert asyncio.run(read(store, "a")) == b"a"
        assert asyncio.run(listed(store.list())) == ["a", "b/c"]
        store.close()

    def test_one_store_serves_loops_in_threads_at_once(self, make_store: MakeStore) -> None:
        store = make_store()
        asyncio.run(put(store, "a", data=b"shared"))
        together = threading.Barrier(4, timeout=30)
        answers: list[bytes | None] = []

        async def work(number: int) -> None:
            await asyncio.to_thread(together.wait)
            for turn in range(5):
                await put(store, f"{number}/{turn}")
                answers.append(await read(store, f"{number}/{turn}"))
                answers.append(await read(store, "a"))

        threads = [
            threading.Thread(target=lambda number=number: asyncio.run(work(number)))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert answers.count(b"shared") == 20
        assert len(asyncio.run(listed(store.list()))) == 21
        store.close()
