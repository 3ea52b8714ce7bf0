"""The choice of a backend for a filesystem. A backend is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .base import Backend
from .chain_options import check_instance

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from .._http.settings import Settings

__all__ = ["Backend", "backend_for"]

#: Filesystem class to backend, not for subclasses, which may override any method.
_EXACT = {
    "fsspec.implementations.http.HTTPFileSystem": "web.backend:WebBackend",
    "fsspec.implementations.local.LocalFileSystem": "local.backend:LocalBackend",
    "fsspec.implementations.memory.MemoryFileSystem": "memory:MemoryBackend",
}
#: Filesystem class to backend, also for subclasses: the backend calls the instance's methods.
_INHERITED = {
    "adlfs.spec.AzureBlobFileSystem": "azure.backend:AzureBackend",
    "gcsfs.core.GCSFileSystem": "gcs.backend:GCSBackend",
    "s3fs.core.S3FileSystem": "s3.backend:S3Backend",
    "webdav4.fsspec.WebdavFileSystem": "webdav.backend:WebDAVBackend",
}


def backend_for(fs: AbstractFileSystem, settings: Settings) -> Backend:
    """The backend of a filesystem.

    Raises `StorageOptionError` when the filesystem was configured with an option it cannot use, and
    ``ValueError`` when the part size in the settings is outside of the service's limits.
    """
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(fs).__mro__]
    location = _EXACT.get(names[0]) or next(
        (_INHERITED[name] for name in names if name in _INHERITED), "generic.backend:GenericBackend"
    )
    module, _, cls = location.partition(":")
    check_instance(fs)
    backend: type[Backend] = getattr(import_module(f".{module}", __name__), cls)
    return backend(fs, settings)
