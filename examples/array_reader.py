"""Read zarr v3 arrays through the store contract, with NumPy and the standard library alone.

    store = FsspecStore.from_url("s3://bucket/climate.zarr", {"anon": True}, read_only=True)
    array = await open_array(store, "temperature")
    week = await array.read((slice(0, 7), slice(None), 10))

What a reader asks of a store: ``zarr.json`` and whole chunks by `get`, the index of a shard by a
suffix or range of it, and the shard's inner chunks by `get_ranges`, which fetches near ones
together. How bytes become items is the business of `zarr_codecs`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import operator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

import numpy as np
from zarr_codecs import (
    MISSING,
    ChunkCodecs,
    ShardCodecs,
    UnsupportedMetadataError,
    name_and_configuration,
    parse_codecs,
    parse_data_type,
    parse_fill_value,
)

from fsspec_store import RangeByteRequest, SuffixByteRequest, default_buffer_prototype

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from zarr_codecs import AnyArray, Shape

    from fsspec_store import Buffer, Store

#: A block of an array: along each axis, the indices it covers.
Box: TypeAlias = tuple[range, ...]

_GRID_METADATA = ("shape", "chunk_grid", "chunk_key_encoding")
_ARRAY_METADATA = (*_GRID_METADATA, "data_type", "fill_value", "codecs")

_NUMPY = default_buffer_prototype()


@dataclass(frozen=True)
class ChunkGrid:
    """Where the chunks of an array lie, and under which keys (core, "Chunk grids").

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    chunks : tuple of int
        Shape of what one key holds: a chunk, or a shard.
    prefix : tuple of str
        What keys begin with: ``("c",)``, or nothing in the key encoding of zarr v2.
    separator : str
        What joins the parts of a key.
    """

    shape: Shape
    chunks: Shape
    prefix: tuple[str, ...]
    separator: str

    def key(self, index: Shape) -> str:
        """The key of a chunk, relative to the array."""
        # A single chunk without axes is "c", or "0" where there is no prefix.
        return self.separator.join([*self.prefix, *map(str, index)]) or "0"

    def all_keys(self) -> Iterator[str]:
        """The keys of all chunks, whether they are stored or not."""
        box = tuple(range(size) for size in self.shape)
        return map(self.key, chunks_in(box, self.chunks))


class Array:
    """A zarr v3 array that is read as NumPy arrays are indexed; see `open_array`.

    Attributes
    ----------
    shape : tuple of int
        Its shape.
    dtype : numpy.dtype
        Its items, in this machine's byte order.
    chunks : tuple of int
        The smallest block that is read: a chunk, in a sharded array an inner chunk.
    shards : tuple of int or None
        Shape of a shard, in a sharded array.
    """

    def __init__(
        self, store: Store, path: str, metadata: Mapping[str, Any], *, concurrency: int = 16
    ) -> None:
        self._store = store
        self._path = path
        self._concurrency = concurrency
        self._grid = parse_grid(metadata)
        self.dtype = parse_data_type(metadata["data_type"])
        self._codecs = parse_codecs(metadata["codecs"], self._grid.chunks, self.dtype)
        self._fill_value = parse_fill_value(metadata["fill_value"], self.dtype)
        self.shape = self._grid.shape
        self.chunks, self.shards = self._grid.chunks, None
        if isinstance(self._codecs, ShardCodecs):
            self.chunks, self.shards = self._codecs.inner.shape, self._grid.chunks

    async def read(self, selection: Any = ()) -> Any:
        """Read a block, a number of chunks at once.

        Parameters
        ----------
        selection : tuple of slice, int or ``...``
            As NumPy's basic indexing takes it, with steps of 1.

        Returns
        -------
        numpy.ndarray or scalar
            What the whole array, as a NumPy array, would return for this selection.

        Raises
        ------
        IndexError
            When NumPy would raise it, and for what is not read: other steps, masks, index arrays.
        ValueError
            When a chunk's bytes are not what the metadata says.
        """
        box, picked = parse_selection(selection, self.shape)
        # Chunks that are not stored leave the fill value where it is.
        out = np.full([len(along) for along in box], self._fill_value, self.dtype)

        async def read_chunk(index: Shape) -> None:
            inside, outside = overlap(index, self._grid.chunks, box)
            key = join(self._path, self._grid.key(index))
            await self._read_key(key, inside, block(out, outside))

        await for_each(read_chunk, chunks_in(box, self._grid.chunks), limit=self._concurrency)
        return out[picked]

    async def _read_key(self, key: str, box: Box, target: AnyArray) -> None:
        if isinstance(self._codecs, ShardCodecs):
            await self._read_shard(self._codecs, key, box, target)
            return
        value = await self._store.get(key, _NUMPY)
        if value is not None:
            target[...] = block(decode(self._codecs, key, value), box)

    async def _read_shard(self, codecs: ShardCodecs, key: str, box: Box, target: AnyArray) -> None:
        size = codecs.index_size
        where = SuffixByteRequest(size) if codecs.index_at_end else RangeByteRequest(0, size)
        value = await self._store.get(key, _NUMPY, where)
        if value is None:
            return
        places = decode(codecs.index, key, value)
        stored: list[Shape] = []
        requests: list[RangeByteRequest] = []
        for index in chunks_in(box, codecs.inner.shape):
            offset, length = (int(number) for number in places[index])
            if (offset, length) != (MISSING, MISSING):
                stored.append(index)
                requests.append(RangeByteRequest(offset, offset + length))
        batches = self._store.get_ranges(key, requests, prototype=_NUMPY)
        async with aclosing(batches):
            async for batch in batches:
                for number, data in batch:
                    assert data is not None, "the shard's index was there, and so is the shard"
                    inside, outside = overlap(stored[number], codecs.inner.shape, box)
                    block(target, outside)[...] = block(decode(codecs.inner, key, data), inside)


async def open_array(store: Store, path: str = "", *, concurrency: int = 16) -> Array:
    """Open a zarr v3 array.

    Parameters
    ----------
    store : Store
        Any store of the contract.
    path : str, optional
        Where the array's ``zarr.json`` lies, relative to the store's root.
    concurrency : int, optional
        How many chunks are read at once.

    Raises
    ------
    FileNotFoundError
        When there is no ``zarr.json``.
    UnsupportedMetadataError
        A ``ValueError`` that names the codec, data type or chunk grid that is not read.
    """
    metadata = await read_metadata(store, path)
    if metadata is None:
        raise FileNotFoundError(f"no {join(path, 'zarr.json')!r} in {store}")
    if metadata["node_type"] != "array":
        raise UnsupportedMetadataError(f"{path!r} in {store} is a {metadata['node_type']}")
    return Array(store, path, metadata, concurrency=concurrency)


async def read_metadata(store: Store, path: str) -> dict[str, Any] | None:
    """The metadata of an array or group; ``None`` when there is neither at this path."""
    key = join(path, "zarr.json")
    value = await store.get(key, _NUMPY)
    return None if value is None else parse_metadata(key, value.to_bytes())


def parse_metadata(key: str, content: bytes) -> dict[str, Any]:
    """The content of a ``zarr.json``, refused when it is not zarr v3's."""
    try:
        metadata = json.loads(content)
    except ValueError as error:
        raise UnsupportedMetadataError(f"{key!r} is not JSON: {error}") from error
    if not isinstance(metadata, dict) or metadata.get("zarr_format") != 3:
        raise UnsupportedMetadataError(f"{key!r} is not metadata of zarr v3")
    kind = metadata.get("node_type")
    if kind not in ("array", "group"):
        raise UnsupportedMetadataError(f"{key!r} is of node type {kind!r}")
    absent = [name for name in _ARRAY_METADATA if kind == "array" and name not in metadata]
    if absent:
        raise UnsupportedMetadataError(f"{key!r} has no {', '.join(absent)}")
    return metadata


def parse_grid(metadata: Mapping[str, Any]) -> ChunkGrid:
    """The chunk grid of an array and the encoding of its chunks' keys."""
    if metadata.get("storage_transformers"):
        raise UnsupportedMetadataError("storage transformers are not read")
    grid, configuration = name_and_configuration(metadata["chunk_grid"])
    if grid != "regular":
        raise UnsupportedMetadataError(f"chunk grid {grid!r} is not read")
    shape, chunks = tuple(metadata["shape"]), tuple(configuration["chunk_shape"])
    if len(chunks) != len(shape) or any(step < 1 for step in chunks):
        raise UnsupportedMetadataError(f"chunks of {chunks} do not divide a shape of {shape}")
    encoding, options = name_and_configuration(metadata["chunk_key_encoding"])
    if encoding not in ("default", "v2"):
        raise UnsupportedMetadataError(f"chunk key encoding {encoding!r} is not read")
    prefix, separator = (("c",), "/") if encoding == "default" else ((), ".")
    return ChunkGrid(shape, chunks, prefix, options.get("separator", separator))


def parse_selection(selection: Any, shape: Shape) -> tuple[Box, tuple[Any, ...]]:
    """What to read for a selection, and how to index what was read as NumPy would."""
    items = list(selection) if isinstance(selection, tuple) else [selection]
    ellipses = [place for place, item in enumerate(items) if item is ...]
    missing = len(shape) - (len(items) - len(ellipses))
    if len(ellipses) > 1 or missing < 0:
        raise IndexError(f"{selection!r} has too many indices for shape {shape}")
    # Kept for the end: with an ellipsis NumPy returns arrays where it else returns scalars.
    picked = [
        item if item is ... else slice(None) if isinstance(item, slice) else 0 for item in items
    ]
    place = ellipses[0] if ellipses else len(items)
    items[place : place + 1] = [slice(None)] * missing
    box = tuple(_along(axis, item, shape[axis]) for axis, item in enumerate(items))
    return box, tuple(picked)


def _along(axis: int, item: Any, size: int) -> range:
    if isinstance(item, slice):
        if item.step not in (None, 1):
            raise IndexError(f"a step of {item.step} along axis {axis} is not read, only 1")
        start, stop, _ = item.indices(size)
        return range(start, max(start, stop))
    # True is an integer to Python, and a mask to NumPy.
    mask_or_array = isinstance(item, (bool, np.bool_, np.ndarray))
    if mask_or_array or not isinstance(item, SupportsIndex):
        raise IndexError(f"only integers, slices and an ellipsis are read, got {item!r}")
    place = operator.index(item)
    if not -size <= place < size:
        raise IndexError(f"index {place} is out of bounds for axis {axis} with size {size}")
    return range(place % size, place % size + 1)


def chunks_in(box: Box, chunks: Shape) -> Iterator[Shape]:
    """The indices of all chunks that hold some of a block."""
    return itertools.product(
        *(
            # Nothing of an axis is in no chunk, wherever in one it lies.
            range(along.start // step, -(-along.stop // step)) if along else range(0)
            for along, step in zip(box, chunks, strict=True)
        )
    )


def overlap(index: Shape, chunks: Shape, box: Box) -> tuple[Box, Box]:
    """What a chunk and a block share, counted from the chunk's corner and from the block's."""
    inside, outside = [], []
    for place, step, along in zip(index, chunks, box, strict=True):
        corner = place * step
        start, stop = max(corner, along.start), min(corner + step, along.stop)
        inside.append(range(start - corner, stop - corner))
        outside.append(range(start - along.start, stop - along.start))
    return tuple(inside), tuple(outside)


def block(array: AnyArray, box: Box) -> AnyArray:
    """A block of an array, as a view; of an array without axes as well."""
    index: Any = (*(slice(along.start, along.stop) for along in box), ...)
    view: AnyArray = array[index]
    return view


def join(path: str, name: str) -> str:
    """The key of a name below a path; the root's path is ``""``."""
    return f"{path}/{name}" if path else name


def decode(codecs: ChunkCodecs, key: str, value: Buffer) -> AnyArray:
    """Decode a value or a part of one; an error says which key it speaks of."""
    try:
        return codecs.decode(value.as_numpy_array())
    except ValueError as error:
        raise ValueError(f"{key!r} cannot be decoded: {error}") from error


async def for_each(
    function: Callable[[Shape], Awaitable[None]], items: Iterable[Shape], *, limit: int
) -> None:
    """Await a function of every item, a number at once; the first failure is raised."""
    source = iter(items)

    async def work() -> None:
        # Shared: each worker takes the next item when it is done with its last.
        for item in source:
            await function(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(limit):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        failure: BaseException = failures
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        raise failure from None
