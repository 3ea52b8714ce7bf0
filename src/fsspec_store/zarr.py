"""The same store as a zarr store, for ``zarr.open(store=...)`` and everything else that takes one.

Knows zarr-python, which nothing else in the package imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

try:
    from zarr.abc.store import Store as ZarrBase
    from zarr.core.buffer import cpu, default_buffer_prototype
except ImportError as error:
    from .errors import MissingExtraError

    raise MissingExtraError(
        "fsspec_store.zarr needs zarr-python 3: pip install 'fsspec-store[zarr]'"
    ) from error

from ._http.retry_policy import RetryPolicy
from ._store import fsspec_store as core
from ._store.range_reads import MAX_COALESCED_BYTES, MAX_GAP_BYTES

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from fsspec import AbstractFileSystem

    from ._core.byte_requests import ByteRequest
    from ._http.settings import Transport
    from ._store.buffer import Buffer, BufferPrototype

__all__ = ["ZarrBuffer", "ZarrStore", "open_store"]


class ZarrBuffer(cpu.Buffer):
    """zarr's buffer in host memory, with a repr that tells its size.

    What reads return when they name no prototype; zarr always names one.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} bytes>"


class ZarrStore(core.FsspecStore, ZarrBase):  # type: ignore[misc]
    """`fsspec_store.FsspecStore` as a ``zarr.abc.store.Store``; `open_store` makes one.

    Three defaults are zarr's own: a byte range outside the value is an empty buffer, reads return
    zarr's buffers, and a backend that cannot create atomically looks first and then writes (zarr
    creates nothing but the metadata of parent groups this way, the same for every writer).
    `supports_partial_writes` is false, as zarr requires of every store; `set_partial_values` works
    all the same.

    Parameters
    ----------
    fs, path, read_only, out_of_range, max_concurrency, timeout, retries, missing_on_forbidden, \
    allow_racy_create
        See `fsspec_store.FsspecStore`.
    transport : {"auto", "library"}, default "auto"
        What sends requests: the native transport where it supports the configuration, or s3fs (S3)
        and aiohttp (other services) alone.
    large_value_bytes : int, optional
        Size in bytes above which a value is read and written in parts, ``>= 1``; 32 MiB for reads
        and 64 MiB for writes when left out. Limits of services as of `fsspec_store.FsspecStore`.
    part_bytes : int, optional
        Size of one part in bytes; 8 MiB for reads and 16 MiB for writes when left out. 5 MiB to
        5 GiB on S3, at most 4000 MiB on Azure, a multiple of 256 KiB on Google Cloud Storage.
    """

    def __init__(
        self,
        fs: AbstractFileSystem,
        path: str = "",
        *,
        read_only: bool = False,
        out_of_range: Literal["raise", "empty"] = "empty",
        max_concurrency: int | None = None,
        timeout: float = RetryPolicy.timeout,
        retries: int = RetryPolicy.retries,
        missing_on_forbidden: bool = False,
        allow_racy_create: bool = True,
        transport: Transport = "auto",
        large_value_bytes: int | None = None,
        part_bytes: int | None = None,
    ) -> None:
        super().__init__(
            fs,
            path,
            read_only=read_only,
            out_of_range=out_of_range,
            max_concurrency=max_concurrency,
            timeout=timeout,
            retries=retries,
            missing_on_forbidden=missing_on_forbidden,
            allow_racy_create=allow_racy_create,
            transport=transport,
            large_value_bytes=large_value_bytes,
            part_bytes=part_bytes,
        )

    @property
    # Not `Literal[False]`, as zarr has it: jedi completes nothing on a store with such a property.
    def supports_partial_writes(self) -> bool:  # type: ignore[override]
        """False: zarr writes whole chunks and shards, and requires stores to say so."""
        return False

    async def is_empty(self, prefix: str) -> bool:
        """Whether no key lies under ``prefix/``.

        See `fsspec_store.Store.is_empty`. ``"/"`` is the root as well: zarr's own tests ask for it.
        """
        return await super().is_empty("" if prefix == "/" else prefix)

    # -- Without await: what zarr's fused codec pipeline asks a store for ----------------------

    @property
    def _supports_sync_io(self) -> bool:
        """Whether zarr's fused pipeline is to read and write by the methods below.

        Of files and memory they are the shorter way. A service is better asked for many chunks at
        once, which is what zarr does when this is false.
        """
        return self._backend.runs_in_place

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read a value or a part of it without ``await``; ``None`` when the key is missing.

        See `fsspec_store.Store.get`.
        """
        return self.sync.get(key, prototype, byte_range)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write a value without ``await``; see `fsspec_store.Store.set`."""
        self.sync.set(key, value)

    def delete_sync(self, key: str) -> None:
        """Remove a key without ``await``; see `fsspec_store.Store.delete`."""
        self.sync.delete(key)

    def get_ranges_sync(
        self,
        key: str,
        # zarr's own types, where zarr has this method.
        byte_ranges: Sequence[Any],
        *,
        prototype: Any,
        max_gap_bytes: int = MAX_GAP_BYTES,
        max_coalesced_bytes: int = MAX_COALESCED_BYTES,
    ) -> Sequence[tuple[int, Any]]:
        """Read many parts of one value without ``await``, as one list of indexes and bytes.

        See `fsspec_store.Store.get_ranges`.
        """
        ranges = self.sync.get_ranges(
            key,
            byte_ranges,
            prototype=prototype,
            max_gap_bytes=max_gap_bytes,
            max_coalesced_bytes=max_coalesced_bytes,
        )
        return [answer for answers in ranges for answer in answers]

    def _default_prototype(self) -> Any:
        default = default_buffer_prototype()
        # zarr's configuration may name another class, in a GPU's memory for example.
        return default._replace(buffer=ZarrBuffer) if default.buffer is cpu.Buffer else default


def open_store(
    url: str | os.PathLike[str] | Any,
    storage_options: Mapping[str, Any] | None = None,
    *,
    read_only: bool = False,
    **options: Any,
) -> ZarrStore:
    """Make a store for zarr, xarray and Dask from a URL, a folder, a ``UPath`` or a mapper.

    Parameters
    ----------
    url : str, os.PathLike, UPath, FSMap or fsspec_store.FsspecStore
        As fsspec reads it: ``s3://bucket/path``, ``https://host/path``, a folder; or a path object,
        which is a path of this machine to the letter; or a ``UPath``, a mapper of
        ``fsspec.get_mapper``, or a store of the core package, whose options are taken over.
    storage_options : mapping, optional
        Options of the filesystem, as pandas, xarray and Dask take them.
    read_only : bool, optional
        Refuse writes and deletes.
    **options
        Further parameters of `ZarrStore`.

    Returns
    -------
    ZarrStore
        Not opened yet: the first operation opens it.

    Raises
    ------
    StoreURLError, MissingExtraError
        See `fsspec_store.FsspecStore.from_url`.
    StorageOptionError
        See there; also when a further parameter is none of `ZarrStore`'s.
    TypeError
        When ``url`` is something else, such as a store for zarr; when ``storage_options`` are given
        beside a ``UPath``, a mapper or a store, which have their own.
    """
    return ZarrStore._at_place(url, storage_options, read_only=read_only, **options)


def __dir__() -> list[str]:
    # What tab completion shows: not what this module imports.
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
