"""One store for zarr-style array readers on any fsspec URL.

Errors are in `fsspec_store.errors`, further types of the contract in `fsspec_store.contract`, the
store for zarr-python in `fsspec_store.zarr`, and checks of data sets in `fsspec_store.dataset`.
"""

from importlib import import_module

from ._version import __version__

#: Type checkers take it for the name in `typing`, whose import takes 10 ms of a command's start.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._core.byte_requests import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
    from ._store.buffer import Buffer, BufferPrototype, default_buffer_prototype
    from ._store.contract import Store
    from ._store.fsspec_store import FsspecStore
    from ._store.store_path import StorePath
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

#: The module of each name. It is imported at the first use of the name, so that the command line
#: starts without NumPy and fsspec.
_MODULES = {
    "Buffer": "._store.buffer",
    "BufferPrototype": "._store.buffer",
    "FsspecStore": "._store.fsspec_store",
    "OffsetByteRequest": "._core.byte_requests",
    "RangeByteRequest": "._core.byte_requests",
    "Store": "._store.contract",
    "StoreError": ".errors",
    "StorePath": "._store.store_path",
    "SuffixByteRequest": "._core.byte_requests",
    "default_buffer_prototype": "._store.buffer",
}

if not TYPE_CHECKING:
    # Type checkers would accept every name.
    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_MODULES[name], __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    # Tab completion shows the public names only. A submodule becomes an attribute of the package
    # once it is imported.
    public = {"contract", "dataset", "errors", "zarr"}
    loaded = {name for name in globals() if name.startswith("__") or name in public}
    return sorted(loaded.union(__all__))
