"""Rules of `open_reader` and `open_writer`: values that are read and written in parts."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from fsspec_store import Store
from fsspec_store.errors import (
    BackendError,
    ByteRangeError,
    InvalidKeyError,
    KeyNotFoundError,
    ReadOnlyError,
    VersionMismatchError,
)

from .support import MakeStore, Rules, buf, content, listed, put, read, removable, unless

#: The minimum of S3. The values have more bytes than a part, and not a multiple of it.
PART = 5 * 2**20
SIZES = [0, 1, PART, PART + 1]
#: Not a divisor of a part.
PIECE = 1_000_003
PARTS: Any = {"part_bytes": PART}


async def streamed(store: Store, key: str, **options: Any) -> bytes:
    async with store.open_reader(key, **options) as reader:
        parts = [part.to_bytes() async for part in reader]
    assert all(parts)
    return b"".join(parts)


async def write_pieces(writer: Any, data: bytes) -> None:
    for start in range(0, len(data), PIECE):
        await writer.write(data[start : start + PIECE])


class StreamReadingRules(Rules):
    @pytest.mark.parametrize("size", SIZES)
    async def test_a_stream_has_all_bytes_of_a_value(
        self, make_store: MakeStore, size: int
    ) -> None:
        store = make_store(**PARTS)
        await put(store, "c/0", data=content(size))
        async with store.open_reader("c/0") as reader:
            assert reader.size == size
            parts = [part.to_bytes() async for part in reader]
            assert [part async for part in reader] == []
        assert b"".join(parts) == content(size)
        assert all(parts)

    async def test_a_stream_begins_within_a_value(self, make_store: MakeStore) -> None:
        store, size = make_store(**PARTS), PART + 10
        await put(store, "a", data=content(size))
        for start in (3, PART, size - 1, size):
            async with store.open_reader("a", start=start) as reader:
                assert reader.size == size
                parts = [part.to_bytes() async for part in reader]
            assert b"".join(parts) == content(size)[start:]
        await put(store, "empty", data=b"")
        assert await streamed(store, "empty", start=0) == b""
        for key, start in (("a", size + 1), ("empty", 1)):
            with pytest.raises(ByteRangeError, match=key):
                await streamed(store, key, start=start)
        with pytest.raises(ValueError, match="start"):
            store.open_reader("a", start=-1)
        with pytest.raises(TypeError, match="start"):
            store.open_reader("a", start=1.0)

    async def test_a_stream_of_a_missing_key_is_an_error(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a/b")
        for key in ("missing", "a", "a/c"):
            for start in (0, 1):
                with pytest.raises(KeyNotFoundError) as caught:
                    await streamed(store, key, start=start)
                assert caught.value.key == key
        with pytest.raises(InvalidKeyError):
            store.open_reader("/a")

    @pytest.mark.parametrize("change", ["replaced", "deleted"])
    async def test_a_value_that_changes_is_never_mixed_in_a_stream(
        self, make_store: MakeStore, change: str
    ) -> None:
        store = make_store(**PARTS)
        data = content(6 * PART)
        await put(store, "a", data=data)
        parts = []
        try:
            async with store.open_reader("a") as reader:
                parts.append((await anext(reader)).to_bytes())
                if change == "replaced":
                    await put(store, "a", data=data[::-1])
                else:
                    await store.delete("a")
                parts += [part.to_bytes() async for part in reader]
        except VersionMismatchError as error:
            assert error.key == "a"
            assert data.startswith(b"".join(parts))
        else:
            assert b"".join(parts) == data

    async def test_a_stream_of_one_version(self, make_store: MakeStore) -> None:
        unless(self.limits.writes or self.limits.compare_and_swap)
        store = make_store(**PARTS)
        for value in (b"", content(PART + 1)):
            await put(store, "a", data=value)
            version = (await store.get_version("a")).version
            assert await streamed(store, "a", version=version) == value
            async with store.open_reader("a", version=version) as reader:
                assert reader.version == version
            await put(store, "a", data=b"other")
            with pytest.raises(VersionMismatchError, match="'a'"):
                await streamed(store, "a", version=version)
        with pytest.raises(KeyNotFoundError):
            await streamed(store, "missing", version=version)

    async def test_a_stream_is_closed_at_any_time(self, make_store: MakeStore) -> None:
        store = make_store(**PARTS)
        await put(store, "a", data=content(3 * PART))
        reader = store.open_reader("a")
        with pytest.raises(RuntimeError, match="not open"):
            await anext(reader)
        async with reader:
            first = await anext(reader)
        assert content(3 * PART).startswith(first.to_bytes())
        with pytest.raises(RuntimeError, match="not open"):
            await anext(reader)
        await reader.aclose()


class StreamWritingRules(Rules):
    of_writing = True

    @pytest.mark.parametrize("stated", [False, True], ids=["", "of stated size"])
    @pytest.mark.parametrize("size", SIZES)
    async def test_a_value_is_written_in_parts(
        self, make_store: MakeStore, size: int, stated: bool
    ) -> None:
        store = make_store(**PARTS)
        async with store.open_writer("c/0", size=size if stated else None) as writer:
            await write_pieces(writer, content(size))
            version = await writer.finish()
        assert await read(store, "c/0") == content(size)
        assert await listed(store.list()) == ["c/0"]
        if version is not None:
            assert (await store.get_version("c/0")).version == version

    async def test_a_value_is_visible_only_when_it_is_finished(self, make_store: MakeStore) -> None:
        store = make_store(**PARTS)
        await put(store, "a", data=b"old")
        for key in ("a", "new/key"):
            async with store.open_writer(key) as writer:
                await write_pieces(writer, content(2 * PART + 1))
                assert await read(store, "a") == b"old"
                assert await listed(store.list()) == ["a"]
                if key != "a":
                    await writer.finish()
        assert await read(store, "a") == b"old"
        assert await read(store, "new/key") == content(2 * PART + 1)

    @pytest.mark.parametrize("size", [1, 2 * PART + 1])
    @pytest.mark.parametrize("end", ["end of the block", "error", "cancellation", "abandon"])
    async def test_an_abandoned_write_leaves_nothing(
        self, make_store: MakeStore, end: str, size: int
    ) -> None:
        store = make_store(**PARTS)
        await put(store, "a", data=b"old")
        written = asyncio.Event()

        async def write(key: str) -> None:
            async with store.open_writer(key) as writer:
                await write_pieces(writer, content(size))
                written.set()
                if end == "error":
                    raise LookupError
                if end == "cancellation":
                    await asyncio.Event().wait()
                if end == "abandon":
                    await writer.abandon()
                    with pytest.raises(RuntimeError, match="not open"):
                        await writer.finish()

        for key in ("a", "b/c"):
            written.clear()
            task = asyncio.create_task(write(key))
            await written.wait()
            if end == "cancellation":
                task.cancel()
            outcome = (await asyncio.gather(task, return_exceptions=True))[0]
            expected = {"error": LookupError, "cancellation": asyncio.CancelledError}
            assert isinstance(outcome, expected.get(end, type(None)))
        await store.aclose()
        assert await read(store, "a") == b"old"
        assert await listed(store.list()) == ["a"]
        assert await removable(store) == []

    async def test_of_concurrent_writers_one_value_wins(self, make_store: MakeStore) -> None:
        store = make_store(**PARTS)
        values = [bytes([number]) * (PART + 1 + number) for number in range(3)]

        async def write(value: bytes) -> None:
            async with store.open_writer("a") as writer:
                await write_pieces(writer, value)
                await writer.finish()

        outcomes = await asyncio.gather(*map(write, values), return_exceptions=True)
        pairs = zip(values, outcomes, strict=True)
        assert await read(store, "a") in [value for value, outcome in pairs if outcome is None]
        # Azure discards the blocks of a key when it is written.
        assert all(isinstance(outcome, (BackendError, type(None))) for outcome in outcomes)
        assert await removable(store) == []

    async def test_the_stated_size_is_checked(self, make_store: MakeStore) -> None:
        store = make_store()
        for size, problem in ((3, "5 bytes written .* size is 3"), (9, "5 bytes written .* 9")):

            async def write(size: int) -> None:
                async with store.open_writer("a", size=size) as writer:
                    await writer.write(b"12345")
                    await writer.finish()

            with pytest.raises(ValueError, match=problem):
                await write(size)
        for size in (-1, True, "1"):
            with pytest.raises((ValueError, TypeError), match="size"):
                store.open_writer("a", size=size)
        assert not await store.exists("a")

    async def test_any_buffer_or_bytes_are_written(self, make_store: MakeStore) -> None:
        store, growing = make_store(), bytearray(b"c")
        async with store.open_writer("a") as writer:
            for part in (b"a", buf(b"b"), growing, memoryview(b"dxe")[::2], b""):
                await writer.write(part)
            growing[:] = b"x"
            for wrong in ("text", 1, None):
                with pytest.raises(TypeError, match=f"'a'.*{type(wrong).__name__}"):
                    await writer.write(wrong)
            await writer.finish()
            with pytest.raises(RuntimeError, match="not open"):
                await writer.write(b"y")
        assert await read(store, "a") == b"abcde"

    async def test_a_read_only_store_has_no_writers(self, make_store: MakeStore) -> None:
        store = make_store(read_only=True)
        with pytest.raises(ReadOnlyError):
            store.open_writer("a")
        with pytest.raises(InvalidKeyError):
            make_store().open_writer("a/../b")

    async def test_streams_without_await(self, make_store: MakeStore) -> None:
        store = make_store(**PARTS)
        data = content(PART + 1)

        def use() -> None:
            with store.sync.open_writer("a", size=len(data)) as writer:
                writer.write(data[:10])
                writer.write(data[10:])
                writer.finish()
            with suppress(LookupError), store.sync.open_writer("a") as writer:
                writer.write(b"other")
                raise LookupError
            with store.sync.open_reader("a", start=3) as reader:
                assert reader.size == len(data)
                assert b"".join(part.to_bytes() for part in reader) == data[3:]

        await asyncio.to_thread(use)
        assert await removable(store) == []
