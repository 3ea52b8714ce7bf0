"""The same store as a zarr store, for ``zarr.open(store=...)`` and everything else that takes one.

Knows zarr-python, which nothing else in the package imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

try:
    from zarr.abc.store import Store as ZarrStore
    from zarr.core.buffer import default_buffer_prototype
except ImportError as error:
    from .errors import MissingExtraError

    raise MissingExtraError(
        "fsspec_store.zarr needs zarr-python 3: pip install 'fsspec-store[zarr]'"
    ) from error

from . import store as core
from .retries import RetryPolicy

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["FsspecStore"]


class FsspecStore(core.FsspecStore, ZarrStore):  # type: ignore[misc]
    """`fsspec_store.FsspecStore` as a ``zarr.abc.store.Store``.

    Three defaults are zarr's own: a byte range outside the value is an empty buffer, reads come
    back in zarr's buffers, and a backend that cannot create atomically looks first and then writes
    (zarr creates nothing but the metadata of parent groups this way, the same for every writer).
    `supports_partial_writes` is false, as zarr requires of every store; `set_partial_values` works
    all the same.

    Parameters
    ----------
    fs, path, read_only, out_of_range, max_concurrency, timeout, retries, missing_on_forbidden, \
    allow_racy_create, fast
        See `fsspec_store.FsspecStore`.
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
        fast: bool = True,
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
            fast=fast,
        )

    @property
    def supports_partial_writes(self) -> Literal[False]:
        """False: zarr writes whole chunks and shards, and expects stores to say so."""
        return False

    def _buffer_class(self, prototype: Any) -> Any:
        return (prototype or default_buffer_prototype()).buffer
