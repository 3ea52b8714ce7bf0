"""Decode chunks on the workers of a Dask cluster."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from .._runtime.cluster import WorkersLostError
from .._runtime.concurrency import batches, map_unordered
from .decoding import Decoder, chunk_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .._runtime.cluster import Cluster
    from .array_scan import ArrayScan
    from .grid import ChunkGrid

__all__ = ["ClusterDecoder"]

#: Most chunks and listed bytes of one task.
_CHUNKS, _BYTES = 64, 256 * 2**20


class ClusterDecoder(Decoder):
    """Decodes batches of chunks in tasks. Its attribute ``store`` is that of the cluster.

    Parameters
    ----------
    cluster : Cluster
        It shares the store for zarr.
    concurrency : int
        Chunks of one task that are decoded at once.
    """

    def __init__(self, cluster: Cluster, store: object, *, concurrency: int) -> None:
        super().__init__(store, concurrency=concurrency)
        self._cluster = cluster

    async def _decode_array(self, scan: ArrayScan, array: Any) -> AsyncGenerator[None, None]:
        metadata, chunks = scan.metadata, scan.present - scan.broken
        mean_bytes = (scan.bytes or 0) // max(1, len(scan.present))

        async def decode(numbers: list[int]) -> int:
            try:
                errors = await self._cluster.run(
                    decode_chunks,
                    scan.key_path,
                    metadata.zarr_format,
                    metadata.grid,
                    numbers,
                    self._concurrency,
                )
            except WorkersLostError as error:
                errors = dict.fromkeys(numbers, f"this chunk or another one of its task: {error}")
            for number, reason in errors.items():
                scan.add_broken("undecodable_chunk", number, scan.key(number), reason)
            return len(numbers)

        found = batches(
            chunks, max_items=_CHUNKS, max_bytes=_BYTES, size_of=lambda number: mean_bytes
        )
        counts = map_unordered(decode, found, limit=self._cluster.tasks)
        async with aclosing(found), aclosing(counts):
            async for count in counts:
                for _ in range(count):
                    yield


async def decode_chunks(
    store: Any, path: str, zarr_format: Any, grid: ChunkGrid, numbers: list[int], concurrency: int
) -> dict[int, str]:
    """Decode chunks of an array in a task. Returns why some cannot be decoded."""
    from zarr.api.asynchronous import open_array

    array = await open_array(store=store, path=path, mode="r", zarr_format=zarr_format)

    async def decode(number: int) -> tuple[int, str | None]:
        return number, await chunk_error(array, grid, number)

    async with aclosing(map_unordered(decode, numbers, limit=concurrency)) as found:
        return {number: reason async for number, reason in found if reason is not None}
