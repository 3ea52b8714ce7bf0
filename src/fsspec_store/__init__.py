"""One store for zarr-style array readers on any fsspec URL.

Errors are in `fsspec_store.errors`, further types of the contract in `fsspec_store.contract`, the
store for zarr-python in `fsspec_store.zarr`, and checks of data sets in `fsspec_store.dataset`.
"""

from ._core.byte_requests import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from ._store.buffer import Buffer, BufferPrototype, default_buffer_prototype
from ._store.contract import Store
from ._store.fsspec_store import FsspecStore
from ._store.store_path import StorePath
from ._version import __version__
from .errors import StoreError

__all__ = [
    "Buffer",
    "BufferPrototype",
    "FsspecStore",
    "OffsetByteRequest",
    "RangeByteRequest",
    "Store",
    "StoreError",
    "StorePath",
    "SuffixByteRequest",
    "__version__",
    "default_buffer_prototype",
]


def __dir__() -> list[str]:
    # Tab completion shows the public names only. A submodule becomes an attribute of the package
    # once it is imported.
    public = {"contract", "dataset", "errors", "zarr"}
    loaded = {name for name in globals() if name.startswith("__") or name in public}
    return sorted(loaded.union(__all__))
