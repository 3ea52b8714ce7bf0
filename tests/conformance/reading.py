"""Rules of `get`, `exists` and `getsize`."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fsspec_store import Buffer, BufferPrototype, default_buffer_prototype

from .support import MakeStore, Rules, buf, content, put, read


class ReadingRules(Rules):
    async def test_a_value_is_read_as_it_was_written(self, make_store: MakeStore) -> None:
        store = make_store()
        for size in (1000, 0, 1, 300_000):
            await store.set("c/0", buf(content(size)))
            assert await read(store, "c/0") == content(size)

    async def test_a_missing_key_is_none(self, make_store: MakeStore) -> None:
        store = make_store()
        assert await store.get("missing") is None
        await put(store, "a/b")
        assert await store.get("a/c") is None
        assert await store.get("a/b/c") is None

    async def test_a_prefix_is_not_a_key(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a/b/c")
        for prefix in ("a", "a/b"):
            assert await store.get(prefix) is None
            assert not await store.exists(prefix)
            with pytest.raises(FileNotFoundError):
                await store.getsize(prefix)

    async def test_exists(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a/b")
        assert await store.exists("a/b")
        assert not await store.exists("a/bb")
        assert not await store.exists("b")

    async def test_an_empty_value_exists(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "empty", data=b"")
        assert await store.exists("empty")
        assert await read(store, "empty") == b""
        assert await store.getsize("empty") == 0

    async def test_getsize(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "c/0", data=content(12_345))
        assert await store.getsize("c/0") == 12_345

    async def test_getsize_of_a_missing_key_names_it(self, make_store: MakeStore) -> None:
        with pytest.raises(FileNotFoundError, match="c/404"):
            await make_store().getsize("c/404")

    async def test_the_prototype_determines_the_returned_buffer(
        self, make_store: MakeStore
    ) -> None:
        class Mine(Buffer):
            pass

        store = make_store()
        await put(store, "a", data=b"abc")
        mine = await store.get("a", BufferPrototype(Mine))
        assert type(mine) is Mine
        assert mine.to_bytes() == b"abc"
        values = await store.get_partial_values(BufferPrototype(Mine), [("a", None)])
        assert type(values[0]) is Mine

    async def test_a_prototype_needs_only_buffer_from_bytes(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a", data=b"abc")
        prototype = SimpleNamespace(buffer=SimpleNamespace(from_bytes=bytes))
        assert await store.get("a", prototype) == b"abc"

    async def test_the_default_prototype_is_numpy(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a", data=b"abc")
        value = await store.get("a")
        assert isinstance(value, Buffer | type(await store.get("a", default_buffer_prototype())))
        np.testing.assert_array_equal(value.as_numpy_array(), np.frombuffer(b"abc", np.uint8))

    async def test_another_stores_writes_and_deletes_are_seen_at_once(
        self, make_store: MakeStore
    ) -> None:
        reader, writer = make_store(), make_store()
        # The reader looks first, and everywhere, so that anything it could remember is stale.
        assert await reader.get("a/new") is None
        assert not await reader.exists("a/new")
        assert [key async for key in reader.list()] == []
        assert [name async for name in reader.list_dir("a")] == []
        await put(writer, "a/new", data=b"one")
        assert await read(reader, "a/new") == b"one"
        assert await reader.exists("a/new")
        assert [key async for key in reader.list()] == ["a/new"]
        assert [name async for name in reader.list_dir("a")] == ["new"]
        await put(writer, "a/new", data=b"longer")
        assert await read(reader, "a/new") == b"longer"
        assert await reader.getsize("a/new") == 6
        await writer.delete("a/new")
        assert await reader.get("a/new") is None
        assert not await reader.exists("a/new")
        assert [key async for key in reader.list()] == []
        await reader.aclose()
        await writer.aclose()
