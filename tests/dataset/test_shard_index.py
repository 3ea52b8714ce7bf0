"""The index of a shard that zarr writes is intact; changes of it are found."""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec

from dataset.places import check, found, one_array, only, put, value
from fsspec_store import FsspecStore
from fsspec_store.dataset import check as check_async
from fsspec_store.dataset.shard_index import crc32c, crc32c_in_python
from fsspec_store.zarr import ZarrBuffer, ZarrStore

MISSING = 2**64 - 1
KEY = "a/c/0/0"


def sharded(location: str = "end", index_codecs: Any = None, compressed: bool = False) -> ZarrStore:
    """Shards with four inner chunks of 32 bytes, unless they are compressed."""
    codecs = [BytesCodec(), GzipCodec()] if compressed else [BytesCodec()]
    sharding = ShardingCodec(
        chunk_shape=(4, 2),
        codecs=codecs,
        index_codecs=index_codecs or [BytesCodec(), Crc32cCodec()],
        index_location=location,
    )
    return one_array(chunks=(8, 4), serializer=sharding, filters=None)


def change_index(
    store: ZarrStore, change: Callable[[list[tuple[int, int]]], None], *, at_end: bool = True
) -> None:
    """Change the entries of an index, and make its checksum match."""
    content = value(store, KEY)
    size = 4 * 16 + 4
    index = content[-size:] if at_end else content[:size]
    entries = list(struct.iter_unpack("<QQ", index[:-4]))
    change(entries)
    encoded = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    encoded += crc32c(encoded).to_bytes(4, "little")
    put(store, KEY, content[:-size] + encoded if at_end else encoded + content[size:])


class TestIntact:
    @pytest.mark.parametrize("location", ["start", "end"])
    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize(
        "index_codecs",
        [
            None,
            [BytesCodec()],
            [BytesCodec(endian="big"), Crc32cCodec()],
        ],
        ids=["default", "no checksum", "big"],
    )
    def test_of_zarr(self, location: str, compressed: bool, index_codecs: Any) -> None:
        store = sharded(location, index_codecs, compressed)
        assert check(store, shards=True).findings == ()
        assert check(store, deep=True).findings == ()

    def test_with_inner_chunks_that_are_not_stored(self) -> None:
        store = sharded()
        change_index(store, lambda entries: entries.__setitem__(2, (MISSING, MISSING)))
        assert check(store, shards=True).ok

    def test_of_nested_shards(self) -> None:
        inner = ShardingCodec(chunk_shape=(2, 2), codecs=[BytesCodec()])
        outer = ShardingCodec(chunk_shape=(4, 2), codecs=[inner])
        store = one_array(chunks=(8, 4), serializer=outer, filters=None)
        assert check(store, deep=True).findings == ()


class TestBroken:
    @pytest.mark.parametrize(
        ("entry", "reason"),
        [
            ((0, 0), "no bytes or of no location"),
            ((MISSING, 32), "no bytes or of no location"),
            ((0, MISSING), "no bytes or of no location"),
            ((0, 31), "whose length is not 32"),
            ((10**6, 32), "outside of the 196 bytes of the shard"),
            ((100, 32), "outside of the 196 bytes of the shard"),
            ((2**64 - 8, 32), "outside of the 196 bytes of the shard"),
            ((40, 32), "inner chunks that overlap"),
        ],
        ids=str,
    )
    def test_entries(self, entry: tuple[int, int], reason: str) -> None:
        store = sharded()
        change_index(store, lambda entries: entries.__setitem__(1, entry))
        assert check(store).ok
        report = check(store, shards=True)
        finding = only(report)
        assert (finding.kind, finding.path, finding.count) == ("shard_index", "a", 1)
        assert finding.examples[0].key == KEY
        assert reason in finding.examples[0].reason
        assert list(report.arrays[0].broken) == [0]

    def test_an_inner_chunk_within_the_index_at_the_start(self) -> None:
        store = sharded("start")
        change_index(store, lambda entries: entries.__setitem__(0, (36, 32)), at_end=False)
        reason = only(check(store, shards=True)).examples[0].reason
        assert "outside of the 196 bytes of the shard" in reason

    def test_inner_chunks_of_variable_length_that_overlap(self) -> None:
        store = sharded(compressed=True)

        def change(entries: list[tuple[int, int]]) -> None:
            entries[0] = (entries[0][0], entries[0][1] + 1)

        change_index(store, change)
        assert "overlap" in only(check(store, shards=True)).examples[0].reason

    def test_checksum(self) -> None:
        store = sharded()
        content = bytearray(value(store, KEY))
        content[-6] ^= 1
        put(store, KEY, bytes(content))
        finding = only(check(store, shards=True))
        assert finding.examples == ((KEY, "checksum of the index does not match"),)

    def test_shard_that_is_cut_off(self) -> None:
        store = sharded()
        put(store, KEY, value(store, KEY)[:-1])
        assert check(store).ok
        assert found(check(store, shards=True)) == {("shard_index", "a"): 1}

    def test_shard_that_is_smaller_than_its_index_is_not_read(self) -> None:
        store = sharded()
        put(store, KEY, b"x")
        assert found(check(store, shards=True)) == {("chunk_size", "a"): 1}


class KeysAloneStore(FsspecStore):
    """Lists no sizes, as many web servers do."""

    async def list_sizes(
        self, prefix: str = "", *, fan_out: int = 1
    ) -> AsyncGenerator[tuple[str, int | None], None]:
        async for key, _ in super().list_sizes(prefix):
            yield key, None


class TestSizesThatAreNotListed:
    @pytest.mark.parametrize("location", ["start", "end"])
    async def test_the_index_is_verified_without_them(self, location: str) -> None:
        store = sharded(location)
        without_sizes = KeysAloneStore.from_url(store.url)
        assert (await check_async(without_sizes, shards=True)).findings == ()
        for content in (b"", b"x", bytes(200)):
            store.sync.set(KEY, ZarrBuffer.from_bytes(content))
            report = await check_async(without_sizes, shards=True)
            assert found(report) == {("shard_index", "a"): 1}


class TestCRC32C:
    def test_of_a_known_text(self) -> None:
        assert crc32c_in_python(b"123456789") == crc32c(b"123456789") == 0xE3069283

    @given(st.binary())
    def test_is_the_same_without_a_library(self, data: bytes) -> None:
        assert crc32c_in_python(data) == crc32c(data)
