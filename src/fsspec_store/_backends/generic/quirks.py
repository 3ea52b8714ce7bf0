"""Quirks of fsspec filesystems that their methods do not show.

For example directory caches, a single connection, or "missing" raised for any error: a table by
class, and a few properties of the object.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..._core.urls import protocols

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["Quirks", "quirks_of"]


@dataclass(frozen=True)
class Quirks:
    """Quirks of one filesystem."""

    #: Whether its methods to write, delete and list can work.
    writes: bool = True
    deletes: bool = True
    lists: bool = True
    #: Has one connection, which only one thread at a time may use, and which may break.
    single_connection: bool = False
    #: Uses a directory cache unless it is made with ``use_listings_cache=False``.
    caches_listings: bool = False
    #: Its ``ls`` takes ``refresh``, which bypasses the directory cache.
    ls_takes_refresh: bool = False
    #: Has a single file position: only one thread at a time.
    serial: bool = False
    #: Returns exactly the requested bytes, from one version of a value.
    exact_ranges: bool = False
    #: Its files are paramiko's: pipelined methods are much faster, and open files have a size.
    pipelined: bool = False
    #: Renames a file over another one, so that readers see the old or the new value.
    atomic_rename: bool = False
    #: Has no folders: prefixes exist only as parts of keys.
    flat: bool = False
    #: Values are ``references`` to parts of other files, all known to its blocking methods.
    references: bool = False
    #: Its ``info`` reports any error as a missing file; its ``cat_file`` does not.
    info_hides_errors: bool = False
    #: fsspec's FTP filesystem: ``cat_file`` reports any error as a missing file, ``ls`` as an empty
    #: folder; a read that ends within a file may wait for a reply that is never sent.
    ftp: bool = False
    #: A new instance works in a forked child.
    fork_safe: bool = True
    #: Text that has a special meaning in its paths.
    reserved: str = ""


_BUCKET = Quirks(caches_listings=True, exact_ranges=True, flat=True)
_WEB = Quirks(writes=False, lists=False, info_hides_errors=True)

#: Verified with fsspec 2024.12 to 2026.9; subclasses are assumed to be the same. Services with a
#: native backend are used here below a caching layer.
_OF_CLASS = {
    "adlfs.spec.AzureBlobFileSystem": _BUCKET,
    "fsspec.implementations.data.DataFileSystem": Quirks(writes=False, lists=False),
    "fsspec.implementations.dbfs.DatabricksFileSystem": Quirks(caches_listings=True),
    "fsspec.implementations.ftp.FTPFileSystem": Quirks(
        single_connection=True, caches_listings=True, atomic_rename=True, ftp=True
    ),
    "fsspec.implementations.gist.GistFileSystem": Quirks(writes=False),
    "fsspec.implementations.git.GitFileSystem": Quirks(writes=False),
    "fsspec.implementations.github.GithubFileSystem": Quirks(writes=False, caches_listings=True),
    "fsspec.implementations.http.HTTPFileSystem": _WEB,
    "fsspec.implementations.http_sync.HTTPFileSystem": _WEB,
    "fsspec.implementations.libarchive.LibArchiveFileSystem": Quirks(
        writes=False, serial=True, exact_ranges=True
    ),
    "fsspec.implementations.reference.ReferenceFileSystem": Quirks(
        writes=False, flat=True, references=True
    ),
    "fsspec.implementations.sftp.SFTPFileSystem": Quirks(
        single_connection=True, pipelined=True, atomic_rename=True
    ),
    "fsspec.implementations.tar.TarFileSystem": Quirks(
        writes=False, serial=True, exact_ranges=True
    ),
    # Python 3.13 seeks relative to the current position.
    "fsspec.implementations.zip.ZipFileSystem": Quirks(serial=True, exact_ranges=True),
    "gcsfs.core.GCSFileSystem": _BUCKET,
    "obstore.fsspec.FsspecStore": Quirks(exact_ranges=True, flat=True, fork_safe=False),
    "swiftspec.core.SWIFTFileSystem": Quirks(flat=True, info_hides_errors=True),
    "s3fs.core.S3FileSystem": replace(_BUCKET, reserved="?versionId="),
}


def quirks_of(fs: AbstractFileSystem) -> Quirks:
    """The quirks of a filesystem, from its class and its attributes."""
    names = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(fs).__mro__)
    quirks = next((_OF_CLASS[name] for name in names if name in _OF_CLASS), Quirks())
    if not quirks.fork_safe and "file" in protocols(fs):
        # obstore's store of local files.
        quirks = replace(quirks, flat=False)
    mode = getattr(fs, "mode", "")
    if mode and isinstance(mode, str):
        # An archive: no member can be removed.
        quirks = replace(
            quirks,
            writes=quirks.writes and mode != "r",
            deletes=False,
            serial=quirks.serial or mode in ("w", "a", "x"),
        )
    return replace(quirks, ls_takes_refresh=_takes_refresh(fs))


def _takes_refresh(fs: AbstractFileSystem) -> bool:
    function = getattr(fs, "_ls" if fs.async_impl else "ls")
    with suppress(ValueError):
        return "refresh" in inspect.signature(function).parameters
    return False
