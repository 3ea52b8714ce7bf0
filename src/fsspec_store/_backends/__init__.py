"""Which backend speaks for which filesystem; its library is imported only when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .base import Backend
from .links import check_instance

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from .._http.settings import Settings

__all__ = ["Backend", "backend_for"]

#: Filesystem class to backend, for exactly this class: a subclass may do anything its own way.
_EXACT = {
    "fsspec.implementations.http.HTTPFileSystem": "web.backend:HTTPBackend",
    "fsspec.implementations.local.LocalFileSystem": "local.backend:LocalBackend",
    "fsspec.implementations.memory.MemoryFileSystem": "memory:MemoryBackend",
}
#: Filesystem class to backend, for its subclasses too: the backend calls the instance's methods.
_INHERITED = {
    "adlfs.spec.AzureBlobFileSystem": "azure.backend:AzureBackend",
    "gcsfs.core.GCSFileSystem": "gcs.backend:GCSBackend",
    "s3fs.core.S3FileSystem": "s3.backend:S3Backend",
}


def backend_for(fs: AbstractFileSystem, settings: Settings) -> Backend:
    """The backend that knows this filesystem best.

    Parameters
    ----------
    fs : AbstractFileSystem
        The filesystem as the user configured it.
    settings : Settings
        The store's options for requests.

    Raises
    ------
    StorageOptionError
        When the filesystem was configured with an option it cannot use.
    ValueError
        When the service has no parts of the size in the settings.
    """
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(fs).__mro__]
    place = _EXACT.get(names[0]) or next(
        (_INHERITED[name] for name in names if name in _INHERITED), "generic.backend:GenericBackend"
    )
    module, _, cls = place.partition(":")
    check_instance(fs)
    backend: type[Backend] = getattr(import_module(f".{module}", __name__), cls)
    return backend(fs, settings)
