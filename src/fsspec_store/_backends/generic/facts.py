"""What a filesystem is like, where its methods do not tell.

Who keeps a directory cache, who serves one thread at a time, whose "missing" means any error:
a table by class, and a few things that are seen on the object. What follows from them is decided
where they are read.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..._core.urls import protocols

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["Facts", "facts_of"]


@dataclass(frozen=True)
class Facts:
    """What one filesystem is like.

    Parameters
    ----------
    writes, deletes, lists : bool, optional
        Whether its methods to write, to delete and to list can work.
    connected : bool, optional
        Has one connection, which one thread at a time may use, and which may break.
    caches : bool, optional
        Answers from a directory cache unless it is made with ``use_listings_cache=False``.
    refreshes : bool, optional
        Its ``ls`` takes ``refresh``, and answers from no cache when that is true.
    serial : bool, optional
        Has one file position: one thread at a time.
    exact : bool, optional
        Sends just the bytes asked for, from one version of a value.
    pipelines : bool, optional
        Its files are paramiko's: much faster by their own methods, and open ones know their size.
    moves : bool, optional
        Renames a file over another one, so that readers see the old or the new.
    flat : bool, optional
        Has no folders: a prefix is there because a key is, and writing needs none.
    refers : bool, optional
        Its values are ``references``, to parts of other files; its blocking methods know them all.
    guesses_info : bool, optional
        Its ``info`` says "missing" of any error, its ``cat_file`` does not.
    ftp : bool, optional
        fsspec's for FTP: its ``cat_file`` says "missing" and its ``ls`` "empty" of any error, and
        in the middle of a file it may wait for a reply that does not come.
    forks : bool, optional
        Can be made anew in a forked child.
    refuses : str, optional
        What it takes in a path for something else.
    """

    writes: bool = True
    deletes: bool = True
    lists: bool = True
    connected: bool = False
    caches: bool = False
    refreshes: bool = False
    serial: bool = False
    exact: bool = False
    pipelines: bool = False
    moves: bool = False
    flat: bool = False
    refers: bool = False
    guesses_info: bool = False
    ftp: bool = False
    forks: bool = True
    refuses: str = ""


_BUCKET = Facts(caches=True, exact=True, flat=True)
_WEB = Facts(writes=False, lists=False, guesses_info=True)

#: Seen on the classes of fsspec 2024.12 to 2026.9; subclasses are taken to be alike. The services
#: with a backend of their own come here below a caching layer.
_OF_CLASS = {
    "adlfs.spec.AzureBlobFileSystem": _BUCKET,
    "fsspec.implementations.data.DataFileSystem": Facts(writes=False, lists=False),
    "fsspec.implementations.dbfs.DatabricksFileSystem": Facts(caches=True),
    "fsspec.implementations.ftp.FTPFileSystem": Facts(
        connected=True, caches=True, moves=True, ftp=True
    ),
    "fsspec.implementations.gist.GistFileSystem": Facts(writes=False),
    "fsspec.implementations.git.GitFileSystem": Facts(writes=False),
    "fsspec.implementations.github.GithubFileSystem": Facts(writes=False, caches=True),
    "fsspec.implementations.http.HTTPFileSystem": _WEB,
    "fsspec.implementations.http_sync.HTTPFileSystem": _WEB,
    "fsspec.implementations.libarchive.LibArchiveFileSystem": Facts(
        writes=False, serial=True, exact=True
    ),
    "fsspec.implementations.reference.ReferenceFileSystem": Facts(
        writes=False, flat=True, refers=True
    ),
    "fsspec.implementations.sftp.SFTPFileSystem": Facts(connected=True, pipelines=True, moves=True),
    "fsspec.implementations.tar.TarFileSystem": Facts(writes=False, serial=True, exact=True),
    # Python 3.13 seeks in it from wherever the file is at that moment.
    "fsspec.implementations.zip.ZipFileSystem": Facts(serial=True, exact=True),
    "gcsfs.core.GCSFileSystem": _BUCKET,
    "obstore.fsspec.FsspecStore": Facts(exact=True, flat=True, forks=False),
    "swiftspec.core.SWIFTFileSystem": Facts(flat=True, guesses_info=True),
    "s3fs.core.S3FileSystem": replace(_BUCKET, refuses="?versionId="),
}


def facts_of(fs: AbstractFileSystem) -> Facts:
    """What this filesystem is like: its class by the table, and what the object says itself."""
    names = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(fs).__mro__)
    facts = next((_OF_CLASS[name] for name in names if name in _OF_CLASS), Facts())
    if not facts.forks and "file" in protocols(fs):
        # obstore's, on a folder of this machine.
        facts = replace(facts, flat=False)
    mode = getattr(fs, "mode", "")
    if mode and isinstance(mode, str):
        # An archive; one that is being written only grows.
        facts = replace(
            facts,
            writes=facts.writes and mode != "r",
            deletes=False,
            serial=facts.serial or mode in ("w", "a", "x"),
        )
    return replace(facts, refreshes=_takes_refresh(fs))


def _takes_refresh(fs: AbstractFileSystem) -> bool:
    function = getattr(fs, "_ls" if fs.async_impl else "ls")
    with suppress(ValueError):
        return "refresh" in inspect.signature(function).parameters
    return False
