"""One store for zarr-style array readers on any fsspec URL."""

from ._core.leftovers import Leftover
from ._http.retrier import Stats
from ._store.buffer import Buffer, BufferPrototype, default_buffer_prototype
from ._store.contract import (
    ByteGetter,
    ByteRequest,
    ByteSetter,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    StorePath,
    SuffixByteRequest,
    set_or_delete,
)
from ._store.fsspec_store import FsspecStore, Versioned
from ._version import __version__
from .errors import (
    AccessDeniedError,
    BackendError,
    BucketNotFoundError,
    ByteRangeError,
    InvalidKeyError,
    KeyConflictError,
    KeyNotFoundError,
    MissingExtraError,
    ReadOnlyError,
    StorageOptionError,
    StoreError,
    StoreURLError,
    UnauthenticatedError,
    UnsupportedOperationError,
    VersionMismatchError,
)

__all__ = [
    "AccessDeniedError",
    "BackendError",
    "BucketNotFoundError",
    "Buffer",
    "BufferPrototype",
    "ByteGetter",
    "ByteRangeError",
    "ByteRequest",
    "ByteSetter",
    "FsspecStore",
    "InvalidKeyError",
    "KeyConflictError",
    "KeyNotFoundError",
    "Leftover",
    "MissingExtraError",
    "OffsetByteRequest",
    "RangeByteRequest",
    "ReadOnlyError",
    "Stats",
    "StorageOptionError",
    "Store",
    "StoreError",
    "StorePath",
    "StoreURLError",
    "SuffixByteRequest",
    "UnauthenticatedError",
    "UnsupportedOperationError",
    "VersionMismatchError",
    "Versioned",
    "__version__",
    "default_buffer_prototype",
    "set_or_delete",
]


def __dir__() -> list[str]:
    # What tab completion shows: a submodule becomes an attribute of the package once something
    # imports it, and `zarr` is the only one that is public.
    loaded = {name for name in globals() if name.startswith("__") or name == "zarr"}
    return sorted(loaded.union(__all__))
