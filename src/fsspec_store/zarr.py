"""The store for zarr-python: for ``zarr.open(store=...)`` and all functions that accept a store.

The only module of the package that imports zarr.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

try:
    from zarr.abc.store import Store as ZarrBase
    from zarr.core.buffer import cpu, default_buffer_prototype
    from zarr.core.config import config
except ImportError as error:
    from .errors import MissingExtraError

    raise MissingExtraError(
        "fsspec_store.zarr needs zarr-python 3: pip install 'fsspec-store[zarr]'"
    ) from error

from ._http.retry_policy import RetryPolicy
from ._store.fsspec_store import FsspecStore
from ._store.range_reads import MAX_COALESCED_BYTES, MAX_GAP_BYTES

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from fsspec import AbstractFileSystem

    from ._core.byte_requests import ByteRequest
    from ._http.settings import Transport
    from ._http.stats import Stats
    from ._store.buffer import Buffer, BufferPrototype

__all__ = ["ZarrBuffer", "ZarrStore", "open_store"]

logger = logging.getLogger(__name__)

#: Number of requests of a store after which it checks their times.
_REVIEW_AT = 300
#: A service is far away if its requests take longer.
_FAR_SECONDS = 0.02
#: zarr's default number of concurrent requests.
_DEFAULT_CONCURRENCY = 10


class ZarrBuffer(cpu.Buffer):
    """A zarr buffer in host memory, with its size in the repr.

    Reads without a prototype return it. zarr always passes a prototype.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} bytes>"


class ZarrStore(FsspecStore, ZarrBase):  # type: ignore[misc]
    """An `fsspec_store.FsspecStore` that is a ``zarr.abc.store.Store``; `open_store` creates one.

    Three defaults are those of zarr: a byte range outside the value is an empty buffer, reads
    return zarr's buffers, and on a backend that cannot create atomically the store checks first and
    then writes (zarr creates only the metadata of parent groups with it, which is the same for
    every writer). `supports_partial_writes` is false, as zarr requires of every store, but
    `set_partial_values` works. For all other parameters see `fsspec_store.FsspecStore`.

    Parameters
    ----------
    transport : {"auto", "library"}, default "auto"
        The native transport where it supports the configuration, or only s3fs (S3) and aiohttp
        (other services).
    large_value_bytes : int, optional
        Size in bytes above which a value is read and written in parts, ``>= 1``; 32 MiB for reads
        and 64 MiB for writes when left out. `fsspec_store.FsspecStore` has the limits of services.
    part_bytes : int, optional
        Size of one part in bytes; 8 MiB for reads and 16 MiB for writes when left out. 5 MiB to
        5 GiB on S3, at most 4000 MiB on Azure, a multiple of 256 KiB on Google Cloud Storage.
    read_memory_bytes : int, optional
        Bound in bytes of the memory of values that the process is receiving, ``>= 1``; 512 MiB, or
        an eighth of the machine's memory if that is less, when left out.
    hedge : bool or float, default False
        Request slow reads again on another connection, and use the first response: up to 5 % more
        reads with ``True``, or this share of them, ``0 <= hedge <= 1``.
    io_threads : int, optional
        Number of threads that transfer values of 256 KiB and more, ``>= 1``; one for each core, and
        at most 8, when left out.
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
        read_memory_bytes: int | None = None,
        hedge: bool | float = False,
        io_threads: int | None = None,
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
            read_memory_bytes=read_memory_bytes,
            hedge=hedge,
            io_threads=io_threads,
        )
        self.stats.review, self.stats.review_at = _review, _REVIEW_AT

    @property
    # zarr's annotation is `Literal[False]`: jedi completes nothing on a store with such a property.
    def supports_partial_writes(self) -> bool:  # type: ignore[override]
        """False: zarr writes whole chunks and shards, and requires this value of every store."""
        return False

    async def is_empty(self, prefix: str) -> bool:
        """Whether there is no key under ``prefix/``. Reads at most one page of the listing.

        Parameters
        ----------
        prefix : str
            ``foo`` and ``foo/`` are the same. ``""`` is the root, and so is ``"/"``, which zarr's
            own tests use.

        Returns
        -------
        bool
            True also when ``prefix`` itself is a key, and no key is under ``prefix/``.
        """
        return await super().is_empty("" if prefix == "/" else prefix)

    # -- Methods without await, for zarr's fused codec pipeline --------------------------------

    @property
    def _supports_sync_io(self) -> bool:
        """Whether zarr's fused pipeline reads and writes with the methods below.

        They are faster on files and memory. When this is false zarr requests many chunks at once,
        which is faster on a service.
        """
        return self._runs_in_place

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read a value, or a part of it, without ``await``. See `get`."""
        return self.sync.get(key, prototype, byte_range)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Replace the whole value, without ``await``. See `set`."""
        self.sync.set(key, value)

    def delete_sync(self, key: str) -> None:
        """Delete a key, without ``await``. A missing key is not an error. See `delete`."""
        self.sync.delete(key)

    def get_ranges_sync(
        self,
        key: str,
        # The types are those of zarr, in releases that have this method.
        byte_ranges: Sequence[Any],
        *,
        prototype: Any,
        max_gap_bytes: int = MAX_GAP_BYTES,
        max_coalesced_bytes: int = MAX_COALESCED_BYTES,
    ) -> Sequence[tuple[int, Any]]:
        """Read many parts of one value, without ``await``. Nearby parts are fetched together.

        See `get_ranges`. The parts of all fetches are in one list.
        """
        batches = self.sync.get_ranges(
            key,
            byte_ranges,
            prototype=prototype,
            max_gap_bytes=max_gap_bytes,
            max_coalesced_bytes=max_coalesced_bytes,
        )
        return [part for batch in batches for part in batch]

    @property
    def _default_prototype(self) -> Any:  # type: ignore[override]
        default = default_buffer_prototype()
        # zarr's configuration may set another class: one in GPU memory, for example.
        return default._replace(buffer=ZarrBuffer) if default.buffer is cpu.Buffer else default


def open_store(
    url: str | os.PathLike[str] | Any,
    storage_options: Mapping[str, Any] | None = None,
    *,
    read_only: bool = False,
    **options: Any,
) -> ZarrStore:
    """Create a store for zarr, xarray and Dask from a URL, a folder, a ``UPath`` or a mapper.

    Parameters
    ----------
    url : str, os.PathLike, UPath, FSMap or fsspec_store.FsspecStore
        A ``str`` is parsed by fsspec: ``s3://bucket/path``, ``https://host/path``, a folder. A path
        object is a local path and is not parsed. Or a ``UPath``, a mapper of
        ``fsspec.get_mapper``, or a `fsspec_store.FsspecStore`, whose options the new store has too.
    storage_options : mapping, optional
        Options of the filesystem, as for pandas, xarray and Dask.
    read_only : bool, optional
        Reject writes and deletes.
    **options
        Further parameters of `ZarrStore`.

    Returns
    -------
    ZarrStore
        Not opened. The first operation opens it.

    Raises
    ------
    StoreURLError
        When the URL is invalid, or its protocol is unknown.
    MissingExtraError
        When the library for the protocol is not installed. The message names the command.
    StorageOptionError
        When the filesystem has no such option, or `ZarrStore` no such parameter.
    TypeError
        When ``url`` is of another type, such as a store for zarr; when ``storage_options`` are
        given with a ``UPath``, a mapper or a store, which have their own.
    """
    return ZarrStore._at_location(url, storage_options, read_only=read_only, **options)


def _review(stats: Stats) -> None:
    """Log a hint if zarr's number of concurrent requests limits the rate."""
    is_limited = stats.most_in_flight == config.get("async.concurrency") == _DEFAULT_CONCURRENCY
    if is_limited and stats.mean_response_seconds > _FAR_SECONDS:
        _log_hint()


@cache
def _log_hint() -> None:
    """Log the hint, once per process."""
    logger.info(
        "the service is far away (store.stats.mean_response_seconds), and zarr has at most %d "
        "requests in flight: zarr.config.set({'async.concurrency': 128}) is faster",
        _DEFAULT_CONCURRENCY,
    )


def __dir__() -> list[str]:
    # Tab completion shows the public names, not the imports of this module.
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
