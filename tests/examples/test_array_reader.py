from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest
import zarr
from array_reader import Array, open_array
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec
from zarr_codecs import UnsupportedMetadataError, crc32c

from fsspec_store import Buffer, FsspecStore
from fsspec_store.errors import ByteRangeError
from fsspec_store.zarr import ZarrStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fsspec_store import BufferPrototype
    from fsspec_store.contract import ByteRequest

DTYPES = [
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *("float16", "float32", "float64", "complex64", "complex128"),
]
SELECTIONS = [
    (),
    ...,
    3,
    -1,
    slice(None),
    (slice(2, 6), slice(1, 4)),
    (slice(-4, -1), slice(None, -2)),
    (slice(0, 100), slice(-100, 3)),
    (4, slice(None)),
    (slice(None), -5),
    (6, 4),
    (6, 4, ...),
    (..., 2),
    (2, ..., slice(1, 2)),
    (slice(3, 3), slice(None)),
    (slice(5, 2), 0),
    (slice(9, 20),),
    (np.int64(2), slice(np.int32(1), np.int32(3), 1)),
]


@pytest.fixture(params=["memory", "folder"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory://{uuid4().hex}" if request.param == "memory" else str(tmp_path / "data")


@pytest.fixture
def memory() -> str:
    return f"memory://{uuid4().hex}"


def values(shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    numbers = np.arange(1, np.prod(shape, dtype=int) + 1).reshape(shape)
    if dtype == "bool":
        return numbers % 3 == 0
    if dtype.startswith("complex"):
        return (numbers - 0.5j * numbers).astype(dtype)
    return numbers.astype(dtype)


def create(url: str, data: np.ndarray[Any, Any], name: str | None = "a", **options: Any) -> Any:
    options = {"compressors": None, **options}
    with ZarrStore.from_url(url) as store:
        array = zarr.create_array(store, name=name, shape=data.shape, dtype=data.dtype, **options)
        array[...] = data
        return array


def sharding(chunks: tuple[int, ...], **options: Any) -> ShardingCodec:
    return ShardingCodec(chunk_shape=chunks, **{"codecs": [BytesCodec()], **options})


def assert_same(result: Any, expected: Any) -> None:
    """The same values of the same class: NumPy returns scalars for some selections."""
    assert type(result) is type(expected)
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result, expected)


async def opened(url: str, path: str = "a", **options: Any) -> Array:
    return await open_array(FsspecStore.from_url(url, read_only=True), path, **options)


async def change(url: str, key: str, edit: Callable[[bytearray], bytearray]) -> None:
    changed = edit(bytearray(await content(url, key)))
    await FsspecStore.from_url(url).set(key, Buffer.from_bytes(changed))


async def content(url: str, key: str) -> bytes:
    value = await FsspecStore.from_url(url).get(key)
    assert value is not None
    return value.to_bytes()


async def change_metadata(url: str, **fields: Any) -> None:
    def edit(value: bytearray) -> bytearray:
        return bytearray(json.dumps({**json.loads(value), **fields}).encode())

    await change(url, "a/zarr.json", edit)


class TestValues:
    @pytest.mark.parametrize("compressors", [None, GzipCodec()], ids=["plain", "gzip"])
    @pytest.mark.parametrize("dtype", DTYPES)
    async def test_of_every_data_type(self, url: str, dtype: str, compressors: Any) -> None:
        data = values((7, 5), dtype)
        create(url, data, chunks=(3, 2), compressors=compressors)
        array = await opened(url)
        assert (array.shape, array.dtype, array.chunks) == ((7, 5), np.dtype(dtype), (3, 2))
        assert array.shards is None
        assert_same(await array.read(), data)
        assert_same(await array.read((slice(2, 5), 1)), data[2:5, 1])

    @pytest.mark.parametrize("dtype", ["int16", "uint64", "float32", "complex128"])
    @pytest.mark.parametrize("endian", ["little", "big"])
    async def test_in_either_byte_order(self, memory: str, dtype: str, endian: str) -> None:
        data = values((4, 3), dtype)
        create(memory, data, chunks=(2, 2), serializer=BytesCodec(endian=endian))
        [codec] = json.loads(await content(memory, "a/zarr.json"))["codecs"]
        assert codec["configuration"]["endian"] == endian
        assert_same(await (await opened(memory)).read(), data)

    @pytest.mark.parametrize(
        "encoding",
        [{"name": name, "separator": by} for name in ("default", "v2") for by in ("/", ".")],
        ids=str,
    )
    @pytest.mark.parametrize("shape", [(), (5,), (4, 3)], ids=str)
    async def test_under_every_chunk_key(
        self, url: str, encoding: Any, shape: tuple[int, ...]
    ) -> None:
        data = values(shape, "int32")
        create(url, data, chunks=(2,) * len(shape), chunk_key_encoding=encoding)
        assert_same(await (await opened(url)).read(...), data)

    async def test_at_the_root_of_the_store(self, url: str) -> None:
        data = values((4,), "int32")
        create(url, data, name=None, chunks=(3,))
        assert_same(await (await opened(url, "")).read(), data)

    @pytest.mark.parametrize("selection", SELECTIONS, ids=str)
    @pytest.mark.parametrize("sharded", [False, True], ids=["chunks", "shards"])
    async def test_for_every_basic_selection(
        self, memory: str, sharded: bool, selection: Any
    ) -> None:
        data = values((7, 5), "int32")
        create(memory, data, chunks=(2, 2), shards=(4, 4) if sharded else None)
        assert_same(await (await opened(memory)).read(selection), data[selection])

    @pytest.mark.parametrize("selection", [(), ...], ids=str)
    async def test_of_an_array_without_axes(self, url: str, selection: Any) -> None:
        data = np.array(2.5)
        create(url, data)
        array = await opened(url)
        assert (array.shape, array.chunks) == ((), ())
        assert_same(await array.read(selection), data[selection])

    @pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)], ids=str)
    async def test_of_an_array_without_items(self, memory: str, shape: tuple[int, ...]) -> None:
        data = np.empty(shape, "int32")
        create(memory, data, chunks=(2,) * len(shape))
        assert_same(await (await opened(memory)).read(), data)

    async def test_through_a_zarr_store(self, memory: str) -> None:
        data = values((7, 5), "int32")
        create(memory, data, chunks=(2, 2), shards=(4, 4))
        array = await open_array(ZarrStore.from_url(memory), "a")
        assert_same(await array.read((slice(1, 6), 3)), data[1:6, 3])

    async def test_checked_by_crc32c(self, memory: str) -> None:
        data = values((7,), "int32")
        create(memory, data, chunks=(4,), compressors=[GzipCodec(), Crc32cCodec()])
        assert_same(await (await opened(memory)).read(), data)


class TestFillValues:
    @pytest.mark.parametrize(
        ("dtype", "fill_value"),
        [
            ("bool", True),
            ("int8", -5),
            ("uint64", 2**64 - 1),
            ("float16", np.nan),
            ("float32", np.inf),
            ("float64", -np.inf),
            ("float64", 0.1),
            ("complex64", complex(1, np.nan)),
            ("complex128", complex(-np.inf, 0.5)),
        ],
    )
    async def test_stand_for_missing_chunks(self, url: str, dtype: str, fill_value: Any) -> None:
        with ZarrStore.from_url(url) as store:
            array = zarr.create_array(
                store,
                name="a",
                shape=(6,),
                chunks=(2,),
                dtype=dtype,
                fill_value=fill_value,
                compressors=None,
            )
            array[2:4] = values((2,), dtype)
            expected = array[:]
        assert [key async for key in FsspecStore.from_url(url).list_dir("a/c")] == ["1"]
        assert_same(await (await opened(url)).read(), expected)

    async def test_may_be_the_bits_of_a_nan(self, memory: str) -> None:
        create(memory, np.array([1, 0], "float32"), chunks=(1,))
        await change_metadata(memory, fill_value="0x7fc01234")
        result = await (await opened(memory)).read()
        assert result.view("uint32").tolist() == [0x3F800000, 0x7FC01234]


@pytest.mark.parametrize("location", ["start", "end"])
class TestShards:
    @pytest.mark.parametrize("compressors", [None, GzipCodec()], ids=["plain", "gzip"])
    async def test_with_all_their_chunks(self, url: str, location: str, compressors: Any) -> None:
        data = values((9, 10), "int32")
        codecs = [BytesCodec(), *([compressors] if compressors else [])]
        serializer = sharding((2, 3), codecs=codecs, index_location=location)
        create(url, data, chunks=(4, 6), serializer=serializer)
        array = await opened(url)
        assert (array.chunks, array.shards) == ((2, 3), (4, 6))
        assert_same(await array.read(), data)
        assert_same(await array.read((slice(3, 8), slice(5, 7))), data[3:8, 5:7])

    async def test_without_some_of_their_chunks(self, url: str, location: str) -> None:
        data = np.zeros((8, 8), "int32")
        data[3, 3], data[7, 0] = 5, 6
        create(url, data, chunks=(4, 4), serializer=sharding((2, 2), index_location=location))
        store = FsspecStore.from_url(url)
        # One inner chunk of 16 bytes, and an index of four.
        assert await store.getsize("a/c/0/0") == 16 + 4 * 16 + 4
        assert not await store.exists("a/c/0/1")
        assert_same(await (await opened(url)).read(), data)

    async def test_with_an_index_that_has_no_checksum(self, memory: str, location: str) -> None:
        data = values((4, 4), "int32")
        serializer = sharding((2, 2), index_codecs=[BytesCodec()], index_location=location)
        create(memory, data, chunks=(4, 4), serializer=serializer)
        assert_same(await (await opened(memory)).read(), data)

    async def test_with_a_damaged_index_are_refused(self, memory: str, location: str) -> None:
        serializer = sharding((2, 2), index_location=location)
        create(memory, values((4, 4), "int32"), chunks=(4, 4), serializer=serializer)

        def flip(value: bytearray) -> bytearray:
            value[0 if location == "start" else -5] ^= 1
            return value

        await change(memory, "a/c/0/0", flip)
        with pytest.raises(ValueError, match=r"'a/c/0/0'.*crc32c"):
            await (await opened(memory)).read()

    async def test_shorter_than_their_index_are_refused(self, memory: str, location: str) -> None:
        serializer = sharding((2, 2), index_location=location)
        create(memory, values((4, 4), "int32"), chunks=(4, 4), serializer=serializer)
        await change(memory, "a/c/0/0", lambda value: value[:20])
        with pytest.raises(ValueError, match="'a/c/0/0'"):
            await (await opened(memory)).read()


class TestRequests:
    async def test_of_a_shard_are_its_index_and_merged_ranges(self, memory: str) -> None:
        create(memory, values((64, 64), "int32"), chunks=(8, 8), shards=(64, 64))
        store = CountingStore.from_url(memory)
        array = await open_array(store, "a")
        store.requests.clear()
        await array.read((slice(0, 32), slice(None)))
        assert store.requests == [
            ("a/c/0/0", "SuffixByteRequest(suffix=1028)"),
            ("a/c/0/0", "32 ranges"),
        ]

    async def test_are_for_the_chunks_of_the_selection_alone(self, memory: str) -> None:
        create(memory, values((8, 8), "int32"), chunks=(2, 2))
        store = CountingStore.from_url(memory)
        array = await open_array(store, "a")
        store.requests.clear()
        await array.read((slice(1, 3), 5))
        assert sorted(store.requests) == [("a/c/0/2", "None"), ("a/c/1/2", "None")]
        store.requests.clear()
        # Between two chunks, and empty all the same.
        await array.read((slice(3, 3), 5))
        assert store.requests == []

    async def test_run_at_the_same_time_up_to_a_limit(self, memory: str) -> None:
        create(memory, values((100,), "int32"), chunks=(1,))
        store = CountingStore.from_url(memory)
        await (await open_array(store, "a", concurrency=7)).read()
        assert store.most_at_once == 7

    async def test_that_fail_raise_the_first_failure_itself(self, memory: str) -> None:
        create(memory, values((8,), "int32"), chunks=(1,))
        await change(memory, "a/c/3", lambda value: value[:3])
        with pytest.raises(ValueError, match="'a/c/3' cannot be decoded: 3 bytes where 4"):
            await (await opened(memory)).read()

    async def test_past_the_end_of_a_shard_raise_the_failure_itself(self, memory: str) -> None:
        serializer = sharding((2,), index_codecs=[BytesCodec()], index_location="start")
        create(memory, values((4,), "int32"), chunks=(4,), serializer=serializer)
        await change(memory, "a/c/0", lambda value: value[:32])
        with pytest.raises(ByteRangeError):
            await (await opened(memory)).read()


class TestRefusals:
    @pytest.mark.parametrize(
        "selection",
        [
            slice(None, None, 2),
            slice(None, None, -1),
            [0, 1],
            np.array([0, 1]),
            np.array(1),
            True,
            np.True_,
            None,
            1.0,
            "name",
            (..., ...),
            (0, 0, 0),
            (0, 0, 0, ...),
            7,
            -8,
            (0, 5),
        ],
        ids=repr,
    )
    async def test_of_other_selections(self, memory: str, selection: Any) -> None:
        create(memory, values((7, 5), "int32"), chunks=(2, 2))
        array = await opened(memory)
        with pytest.raises(IndexError):
            await array.read(selection)

    async def test_of_codecs_name_them(self, memory: str) -> None:
        create(memory, values((4,), "int32"), chunks=(2,), compressors="auto")
        with pytest.raises(UnsupportedMetadataError, match="codec 'zstd' is not read"):
            await opened(memory)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"data_type": "r16"}, "data type 'r16'"),
            ({"data_type": {"name": "numpy.datetime64"}}, r"data type .*numpy.datetime64"),
            ({"chunk_grid": {"name": "rectilinear"}}, "chunk grid 'rectilinear'"),
            ({"chunk_key_encoding": {"name": "fanout"}}, "chunk key encoding 'fanout'"),
            ({"storage_transformers": [{"name": "remap"}]}, "storage transformers"),
            ({"codecs": []}, "without codecs"),
            ({"codecs": [{"name": "transpose"}, {"name": "bytes"}]}, "codec 'transpose'"),
            ({"codecs": ["bytes", "blosc"]}, "codec 'blosc'"),
            ({"node_type": "volume"}, "node type 'volume'"),
            ({"node_type": "group"}, "is a group"),
            ({"zarr_format": 2}, "not metadata of zarr v3"),
        ],
        ids=str,
    )
    async def test_of_metadata_state_what_is_not_read(
        self, memory: str, fields: dict[str, Any], message: str
    ) -> None:
        create(memory, values((4,), "int32"), chunks=(2,))
        await change_metadata(memory, **fields)
        with pytest.raises(UnsupportedMetadataError, match=message):
            await opened(memory)

    @pytest.mark.parametrize(
        ("codecs", "message"),
        [
            ([sharding((2,))], "'sharding_indexed' inside"),
            ([BytesCodec(), Crc32cCodec()], None),
        ],
        ids=["nested", "checked"],
    )
    async def test_of_shards_in_shards(
        self, memory: str, codecs: list[Any], message: str | None
    ) -> None:
        data = values((8,), "int32")
        create(memory, data, chunks=(8,), serializer=sharding((4,), codecs=codecs))
        if message is None:
            assert_same(await (await opened(memory)).read(), data)
        else:
            with pytest.raises(UnsupportedMetadataError, match=message):
                await opened(memory)

    async def test_of_codecs_around_shards(self, memory: str) -> None:
        create(memory, values((8,), "int32"), chunks=(4,), shards=(8,))
        codecs = json.loads(await content(memory, "a/zarr.json"))["codecs"]
        await change_metadata(memory, codecs=[*codecs, {"name": "gzip"}])
        with pytest.raises(UnsupportedMetadataError, match="codec 'gzip' around shards"):
            await opened(memory)

    async def test_of_metadata_with_a_part_missing(self, memory: str) -> None:
        create(memory, values((4,), "int32"), chunks=(2,))
        await change(memory, "a/zarr.json", lambda value: value.replace(b"codecs", b"codec"))
        with pytest.raises(UnsupportedMetadataError, match=r"'a/zarr\.json' has no codecs"):
            await opened(memory)

    async def test_of_metadata_that_is_cut_off(self, memory: str) -> None:
        create(memory, values((4,), "int32"), chunks=(2,))
        await change(memory, "a/zarr.json", lambda value: value[:-3])
        with pytest.raises(UnsupportedMetadataError, match=r"'a/zarr\.json' is not JSON"):
            await opened(memory)

    async def test_of_a_path_without_metadata(self, url: str) -> None:
        with pytest.raises(FileNotFoundError, match=r"b/zarr\.json"):
            await opened(url, "b")

    @pytest.mark.parametrize("compressors", [GzipCodec(), Crc32cCodec()], ids=["gzip", "crc32c"])
    @pytest.mark.parametrize("kept", [0, 2, 6])
    async def test_of_chunks_that_are_cut_off(
        self, memory: str, compressors: Any, kept: int
    ) -> None:
        create(memory, values((4,), "int32"), chunks=(4,), compressors=compressors)
        await change(memory, "a/c/0", lambda value: value[:kept])
        with pytest.raises(ValueError, match="'a/c/0' cannot be decoded"):
            await (await opened(memory)).read()


def test_crc32c_of_the_check_string() -> None:
    # The check value of CRC-32C in every catalogue of checksums.
    assert crc32c(b"123456789") == 0xE3069283


@st.composite
def arrays_and_selections(draw: st.DrawFn) -> dict[str, Any]:
    shape = tuple(draw(st.lists(st.integers(0, 7), max_size=3)))
    chunks = tuple(draw(st.integers(1, 4)) for _ in shape)
    shards = tuple(draw(st.integers(1, 3)) * step for step in chunks)
    bounds = st.none() | st.integers(-9, 9)
    slices = st.builds(slice, bounds, bounds)
    items = [draw(slices | st.integers(-size, size - 1) if size else slices) for size in shape]
    front = draw(st.integers(0, len(items)))
    behind = draw(st.integers(front, len(items)))
    rest = draw(st.sampled_from([(), (..., *items[behind:])]))
    return {
        "shape": shape,
        "chunks": chunks,
        # zarr 3.1 itself cannot read a shard without axes.
        "shards": draw(st.sampled_from([None, shards])) if shape else None,
        "written": tuple(slice(0, draw(st.integers(0, size))) for size in shape),
        "selection": (*items[:front], *rest),
    }


@settings(max_examples=300)
@given(case=arrays_and_selections(), dtype=st.sampled_from(["bool", "int16", "complex64"]))
def test_reads_what_numpy_and_zarr_read(case: dict[str, Any], dtype: str) -> None:
    url = f"memory://{uuid4().hex}"
    data = np.full(case["shape"], 1, dtype)
    data[case["written"]] = values(data[case["written"]].shape, dtype)
    with ZarrStore.from_url(url) as store:
        array = zarr.create_array(
            store,
            name="a",
            shape=data.shape,
            dtype=dtype,
            chunks=case["chunks"],
            shards=case["shards"],
            fill_value=1,
            compressors=None,
        )
        array[...] = data
        np.testing.assert_array_equal(array[...], data)

    async def read() -> Any:
        return await (await opened(url)).read(case["selection"])

    assert_same(asyncio.run(read()), data[case["selection"]])


class CountingStore(FsspecStore):
    """Notes what is asked of it, and how much of it at the same time."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.requests: list[tuple[str, str]] = []
        self.at_once = self.most_at_once = 0

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        self.requests.append((key, repr(byte_range)))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        try:
            return await super().get(key, prototype, byte_range)
        finally:
            self.at_once -= 1

    async def get_ranges(self, key: str, byte_ranges: Any, **options: Any) -> Any:
        self.requests.append((key, f"{len(byte_ranges)} ranges"))
        async for batch in super().get_ranges(key, byte_ranges, **options):
            yield batch
