"""Decode chunks with zarr. The only module of this package that imports zarr."""

from __future__ import annotations

from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Any

from .._runtime.concurrency import map_unordered
from .._store.fsspec_store import FsspecStore
from ..errors import ByteRangeError, StoreError, UnsupportedOperationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from .array_scan import ArrayScan

__all__ = ["decode_chunks"]


async def decode_chunks(
    store: object, scans: Iterable[ArrayScan], zarr_format: Any, *, concurrency: int
) -> AsyncGenerator[None, None]:
    """Decode the present chunks that are not known to be broken, and count those that fail.

    Yields after each chunk.
    """
    if not isinstance(store, FsspecStore):
        raise UnsupportedOperationError(f"deep=True needs an FsspecStore, got {store!r}")
    from zarr.api.asynchronous import open_array

    from ..zarr import ZarrStore, open_store

    is_of_zarr = isinstance(store, ZarrStore)
    async with (
        nullcontext(store) if is_of_zarr else open_store(store, read_only=True) as zarr_store
    ):
        for scan in scans:
            try:
                array = await open_array(
                    store=zarr_store, path=scan.key_path, mode="r", zarr_format=zarr_format
                )
            except Exception as error:
                _raise_of_store(error)
                scan.findings.add(
                    "unsupported_metadata", scan.path, scan.key_path, f"zarr: {_reason(error)}"
                )
                continue
            decoded = _decode_array(scan, array, concurrency)
            async with aclosing(decoded):
                async for _ in decoded:
                    yield


async def _decode_array(
    scan: ArrayScan, array: Any, concurrency: int
) -> AsyncGenerator[None, None]:
    grid = scan.metadata.grid

    async def decode(number: int) -> None:
        try:
            # `...` for arrays without axes.
            await array.getitem(grid.region(number) or ...)
        except Exception as error:
            _raise_of_store(error)
            scan.add_broken("undecodable_chunk", number, scan.key(number), _reason(error))

    chunks = map_unordered(decode, scan.present - scan.broken, limit=concurrency)
    async with aclosing(chunks):
        async for _ in chunks:
            yield


def _raise_of_store(error: Exception) -> None:
    """Raise an error of the store: it is not known whether the chunk can be decoded."""
    if isinstance(error, StoreError) and not isinstance(error, ByteRangeError):
        raise error


def _reason(error: Exception) -> str:
    first, *_ = [*str(error).splitlines(), ""]
    return f"{type(error).__name__}: {first}"
