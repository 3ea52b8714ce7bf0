"""Decode chunks with zarr. The only module of this package that uses zarr."""

from __future__ import annotations

from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Any

from .._runtime.concurrency import map_unordered
from .._store.fsspec_store import FsspecStore
from ..errors import ByteRangeError, StoreError, UnsupportedOperationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from .array_scan import ArrayScan
    from .grid import ChunkGrid

__all__ = ["Decoder", "chunk_error"]


class Decoder:
    """Decodes chunks of a store with zarr.

    Parameters
    ----------
    store : Store
        An `FsspecStore`. For other stores the constructor raises `UnsupportedOperationError`.
    concurrency : int
        Chunks that are decoded at once.

    Attributes
    ----------
    store : ZarrStore
        The store for zarr.
    """

    def __init__(self, store: object, *, concurrency: int) -> None:
        if not isinstance(store, FsspecStore):
            raise UnsupportedOperationError(f"deep=True needs an FsspecStore, got {store!r}")
        # Here, so that a missing zarr is an error before the listing.
        from ..zarr import ZarrStore, open_store

        self._is_opened = not isinstance(store, ZarrStore)
        self.store: Any = open_store(store, read_only=True) if self._is_opened else store
        self._concurrency = concurrency

    async def decode(
        self, scans: Iterable[ArrayScan], zarr_format: Any
    ) -> AsyncGenerator[None, None]:
        """Decode the present chunks that are not known to be broken, and count those that fail.

        Yields after each chunk.
        """
        from zarr.api.asynchronous import open_array

        async with self.store if self._is_opened else nullcontext():
            for scan in scans:
                try:
                    array = await open_array(
                        store=self.store, path=scan.key_path, mode="r", zarr_format=zarr_format
                    )
                except Exception as error:
                    _raise_of_store(error)
                    reason = f"zarr: {_reason(error)}"
                    scan.findings.add("unsupported_metadata", scan.path, scan.key_path, reason)
                    continue
                decoded = self._decode_array(scan, array)
                async with aclosing(decoded):
                    async for _ in decoded:
                        yield

    async def _decode_array(self, scan: ArrayScan, array: Any) -> AsyncGenerator[None, None]:
        async def decode(number: int) -> None:
            reason = await chunk_error(array, scan.metadata.grid, number)
            if reason is not None:
                scan.add_broken("undecodable_chunk", number, scan.key(number), reason)

        chunks = map_unordered(decode, scan.present - scan.broken, limit=self._concurrency)
        async with aclosing(chunks):
            async for _ in chunks:
                yield


async def chunk_error(array: Any, grid: ChunkGrid, number: int) -> str | None:
    """Why zarr cannot decode a chunk; ``None`` if it can. Raises errors of the store."""
    try:
        await array.getitem(grid.region(number))
    except Exception as error:
        _raise_of_store(error)
        return _reason(error)
    return None


def _raise_of_store(error: Exception) -> None:
    """Raise an error of the store: whether the chunk can be decoded is not known."""
    if isinstance(error, StoreError) and not isinstance(error, ByteRangeError):
        raise error


def _reason(error: Exception) -> str:
    first, *_ = [*str(error).splitlines(), ""]
    return f"{type(error).__name__}: {first}"
