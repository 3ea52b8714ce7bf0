"""Rules of `set`, and of stores that may not write."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from fsspec_store import Buffer

from .support import MakeStore, Rules, buf, content, put, read, unless


class WritingRules(Rules):
    of_writing = True

    async def test_set_replaces_the_whole_value(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a", data=b"a long first value")
        await put(store, "a", data=b"short")
        assert await read(store, "a") == b"short"
        assert await store.getsize("a") == 5

    async def test_a_value_that_is_not_a_buffer_is_refused(self, make_store: MakeStore) -> None:
        store = make_store()
        values: list[Any] = [b"bytes", bytearray(b"x"), memoryview(b"x"), "text", 0, None, [1, 2]]
        for value in values:
            with pytest.raises(TypeError, match=f"'c/0'.*{type(value).__name__}"):
                await store.set("c/0", value)
            with pytest.raises(TypeError, match=f"'c/0'.*{type(value).__name__}"):
                await store.set_if_not_exists("c/0", value)
        assert not await store.exists("c/0")

    async def test_any_kind_of_buffer_is_written(self, make_store: MakeStore) -> None:
        store = make_store()
        numbers = np.arange(12, dtype="<u4").reshape(3, 4)
        await store.set("numbers", Buffer.from_array_like(numbers))
        assert await read(store, "numbers") == numbers.tobytes()
        await store.set("view", buf(content(100))[10:20])
        assert await read(store, "view") == content(100)[10:20]
        growing = bytearray(b"abc")
        await store.set("mutable", Buffer.from_bytes(growing))
        growing[:] = b"xyz"
        assert await read(store, "mutable") == b"abc"

    async def test_a_reader_never_sees_half_a_value(self, make_store: MakeStore) -> None:
        missing = [None] if self.limits.atomic_replace else []
        store = make_store()
        values = [bytes([number]) * 300_000 for number in range(4)]
        await put(store, "a", data=values[0])
        done = asyncio.Event()

        async def write() -> None:
            for _ in range(5):
                for value in values:
                    await put(store, "a", data=value)
            done.set()

        writing = asyncio.create_task(write())
        seen = 0
        while not done.is_set() or not seen:
            assert await read(store, "a") in [*values, *missing]
            seen += 1
            # A backend that never waits would keep the writer from its turn.
            await asyncio.sleep(0)
        await writing
        unless(self.limits.atomic_replace)

    async def test_large_values(self, make_store: MakeStore) -> None:
        store = make_store()
        # Past every size at which a backend changes its way of writing.
        data = content(1_000_003) * 70
        await store.set("large", buf(data))
        assert await store.getsize("large") == len(data)
        value = await store.get("large")
        assert value.to_bytes() == data

    async def test_a_read_only_store_refuses_every_change(self, make_store: MakeStore) -> None:
        writer, store = make_store(), make_store(read_only=True)
        await put(writer, "a/b", data=b"kept")
        assert store.read_only
        for change in (
            lambda: store.set("a/b", buf(b"new")),
            lambda: store.set("c", buf(b"new")),
            lambda: store.set_if_not_exists("c", buf(b"new")),
            lambda: store.set_partial_values([("a/b", 0, b"new")]),
            lambda: store._set_many([("a/b", buf(b"new"))]),
            lambda: store._set_many([]),
            lambda: store.delete("a/b"),
            lambda: store.delete_dir("a"),
            lambda: store.delete_dir(""),
            lambda: store.clear(),
        ):
            with pytest.raises(ValueError, match="read-only") as caught:
                await change()
            assert str(caught.value) == (
                "store was opened in read-only mode and does not support writing"
            )
        assert await read(store, "a/b") == b"kept"
        assert [key async for key in writer.list()] == ["a/b"]

    async def test_with_read_only(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a", data=b"1")
        reader = store.with_read_only(True)
        assert type(reader) is type(store)
        assert reader.read_only
        assert not store.read_only
        assert await read(reader, "a") == b"1"
        with pytest.raises(ValueError, match="read-only"):
            await put(reader, "a")
        writer = reader.with_read_only()
        assert not writer.read_only
        await put(writer, "a", data=b"2")
        assert await read(store, "a") == b"2"
