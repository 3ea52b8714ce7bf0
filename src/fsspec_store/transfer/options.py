"""The options of all transfers, and their defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from .memory import DEFAULT_BYTES, Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from distributed import Client

    from .comparing import Compare
    from .results import Result

__all__ = ["CONCURRENCY", "Options", "checked_concurrency", "concurrency_of", "memory_of"]

CONCURRENCY = 32


class Options(TypedDict, total=False):
    """Options of all transfers.

    Attributes
    ----------
    compare : {"checksum", "size", "bytes", "mtime"}
        How values of equal size are compared; see `Comparison`.
    include, exclude : iterable of str
        Globs over keys; see `Selection`.
    allow_empty : bool
        Accept a source without any selected key. By default it raises `RefusedError`.
    concurrency : int
        Number of keys that are compared, copied or deleted at once, ``>= 1``.
    memory_bytes : int
        Memory for the values above 1 MiB that pass through this process at once, ``>= 1``; 80 MiB
        when left out. A value needs up to 80 MiB, and its whole size where a store reads or writes
        it as a whole: WebDAV, other fsspec filesystems, and sources that list no version. One that
        needs more than all is copied alone.
    on_progress : callable
        Called with the `Result` so far on the event loop: at the start, after each key, and after
        each part of a value of several parts that passes through this process.
    client : dask.distributed.Client or str, optional
        Read, copy and delete values in tasks on this Dask cluster, or on that of this scheduler's
        address. ``concurrency`` is then the number of keys of one task at once.
    """

    compare: Compare
    include: Iterable[str]
    exclude: Iterable[str]
    allow_empty: bool
    concurrency: int
    memory_bytes: int
    on_progress: Callable[[Result], object]
    client: Client | str | None


def concurrency_of(options: Options) -> int:  # numpydoc ignore=PR01
    """Number of keys at once."""
    return checked_concurrency(options.get("concurrency", CONCURRENCY))


def checked_concurrency(concurrency: int) -> int:  # numpydoc ignore=PR01
    """Return a number of keys at once; ``ValueError`` if it is not positive."""
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, got {concurrency!r}")
    return concurrency


def memory_of(options: Options) -> Memory:  # numpydoc ignore=PR01
    """Memory of the values on their way."""
    return Memory(options.get("memory_bytes", DEFAULT_BYTES))
