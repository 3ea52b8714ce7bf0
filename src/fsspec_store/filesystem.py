"""From what a user gives (a URL, a filesystem, a UPath, a mapper) to a filesystem and a root path.

Knows fsspec's registry, its URL rules and its wrappers. Does no I/O: a URL that cannot work, an
unknown protocol or a library that is not installed is refused here.
"""

from __future__ import annotations

import os
import pathlib
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import get_filesystem_class, known_implementations

from .backends.base import Failure
from .backends.generic.errors import failure_of
from .chains import open_links
from .errors import (
    AccessDeniedError,
    BackendError,
    MissingExtraError,
    StorageOptionError,
    StoreError,
    StoreURLError,
    UnauthenticatedError,
)
from .redaction import hidden, public_text, public_url, request_secrets, secret_options
from .scrubbing import scrub
from .urls import BUCKETS, SCHEME, WEB, links_of, meant_url, protocol_of, protocols

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fsspec import AbstractFileSystem

__all__ = [
    "from_mapper",
    "from_place",
    "from_upath",
    "from_url",
    "missing_folder",
    "root_path",
    "root_url",
]

#: Errors of a constructor by which a service refuses the user.
_REFUSALS: dict[Failure, tuple[type[StoreError], str]] = {
    Failure.FORBIDDEN: (AccessDeniedError, "access denied: "),
    Failure.UNAUTHENTICATED: (UnauthenticatedError, "access denied: "),
}

#: Protocol to the extra of this package that installs its library.
_EXTRAS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "abfs": "azure",
    "abfss": "azure",
    "adl": "azure",
    "az": "azure",
    "http": "http",
    "https": "http",
}


def from_place(
    place: Any, storage_options: Mapping[str, Any] | None = None
) -> tuple[AbstractFileSystem, str]:
    """The filesystem and path of a URL, a path, a ``UPath`` or a mapper.

    Parameters
    ----------
    place : str, os.PathLike, UPath or FSMap
        What says where the data are.
    storage_options : mapping, optional
        Options of the filesystem, beside a URL or a path.

    Raises
    ------
    StoreURLError, StorageOptionError, MissingExtraError, BackendError
        See `from_url`.
    TypeError
        When ``place`` is none of these, or is a ``UPath`` or a mapper, which have options of their
        own, beside others.
    """
    if isinstance(place, fsspec.FSMap):
        _refuse_options(place, storage_options)
        return from_mapper(place)
    return from_url(place, storage_options)


def from_url(
    url: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> tuple[AbstractFileSystem, str]:
    """The filesystem of a URL, configured, and the path on it.

    Parameters
    ----------
    url : str, os.PathLike or UPath
        A ``str`` as fsspec reads it: ``s3://bucket/path``, ``file:///folder``, a plain path, a
        chain such as ``simplecache::s3://bucket/path``. A path object is a path of this machine to
        the letter, whatever its name looks like.
    storage_options : mapping, optional
        Options of the filesystem, as pandas, xarray and Dask take them.

    Raises
    ------
    StoreURLError
        When the URL names no place, or its protocol is unknown.
    StorageOptionError
        When the options are no mapping, or the filesystem's constructor does not take one, or
        misses one.
    MissingExtraError
        When the library for the protocol is not installed; says what to install.
    BackendError
        When the filesystem's constructor failed, as archives do that cannot be read.
    """
    if storage_options is not None and not hasattr(storage_options, "keys"):
        raise StorageOptionError(
            f"storage_options is a mapping, got {type(storage_options).__name__}"
        )
    options = dict(storage_options or {})
    # Stores, open files and some filesystems have a filesystem and a path as well.
    if hasattr(url, "fs") and hasattr(url, "joinpath"):
        _refuse_options(url, storage_options)
        return from_upath(url)
    if isinstance(url, os.PathLike):
        return _from_path(url, options)
    if not isinstance(url, str):
        raise TypeError(f"a URL is a str or a path, got {type(url).__name__}{_advice(url)}")
    outer = sys.exception()
    try:
        return open_links(links_of(url), options)
    except StoreError:
        raise
    except ImportError as error:
        raise _missing_library(url, error) from error
    except Exception as error:
        # Some connect, or ask what a token is good for, and name all of that in their errors.
        secrets = secret_options(options) | request_secrets(url, {})
        where, said = public_url(url), hidden(public_text(str(error)), secrets)
        cause = error if said == str(error) else None
        # It stays the context of what is raised in its place.
        scrub(error, lambda shown: hidden(public_text(shown), secrets), outer=outer)
        if isinstance(error, (TypeError, ValueError)):
            raise StorageOptionError(
                f"a storage option does not fit {where!r}: {said}", url=where
            ) from cause
        if isinstance(error, (FileNotFoundError, PermissionError)) and cause is not None:
            raise
        kind, words = _REFUSALS.get(failure_of(error), (BackendError, ""))
        raise kind(
            f"{words}cannot open {where!r}: {type(error).__name__}: {said}", url=where
        ) from cause


def from_upath(upath: Any) -> tuple[AbstractFileSystem, str]:
    """The filesystem and path of a ``UPath`` (or of anything with ``fs`` and ``path``)."""
    fs, path = getattr(upath, "fs", None), getattr(upath, "path", None)
    if fs is None or not isinstance(path, str):
        raise TypeError(f"a UPath has a filesystem and a path, got {type(upath).__name__}")
    if isinstance(upath, pathlib.Path) and type(fs) is LocalFileSystem:
        # A UPath without a protocol is a path object, of which fsspec would take "file:" away.
        return fs, _absolute(upath)
    return fs, path


def from_mapper(mapper: Any) -> tuple[AbstractFileSystem, str]:
    """The filesystem and root of an ``fsspec.FSMap``, as ``fsspec.get_mapper`` returns it."""
    fs, root = getattr(mapper, "fs", None), getattr(mapper, "root", None)
    if fs is None or not isinstance(root, str):
        raise TypeError(f"a mapper has a filesystem and a root, got {type(mapper).__name__}")
    return fs, root


def root_path(fs: AbstractFileSystem, path: str) -> tuple[AbstractFileSystem, str]:
    """Look through wrappers that only rename paths or methods, and normalise the root.

    Returns
    -------
    AbstractFileSystem, str
        The filesystem that does the work, and the root as that filesystem spells it, without a
        trailing ``/``.

    Raises
    ------
    TypeError
        When ``fs`` is no fsspec filesystem.
    StoreURLError
        When the path belongs to another protocol, or names no bucket where one is needed.
    """
    if not isinstance(fs, fsspec.AbstractFileSystem):
        raise TypeError(
            f"fs is an fsspec filesystem, got {type(fs).__name__}; "
            "for a URL use FsspecStore.from_url"
        )
    if not isinstance(path, str):
        raise TypeError(f"path is a str, got {type(path).__name__}")
    if "\0" in path:
        raise StoreURLError(f"a path holds no NUL, got {path!r}")
    while True:
        match type(fs).__name__, type(fs).__module__:
            case "AsyncFileSystemWrapper", "fsspec.implementations.asyn_wrapper":
                fs = fs.sync_fs
            case "DirFileSystem", "fsspec.implementations.dirfs":
                fs, path = fs.fs, fs._join(path)
            case _:
                break
    root = fs._strip_protocol(path)
    if type(fs) is LocalFileSystem and root.startswith("~"):
        # Nobody's home: a folder of that name, which fsspec leaves relative.
        root = f"{os.getcwd().rstrip('/')}/{root}"
    scheme = SCHEME.fullmatch(root)
    names = protocols(fs)
    if not ("?" in root and WEB.intersection(names)):
        # What ends in "/" after a "?" is a token.
        root = root.rstrip("/")
    if scheme and scheme[2]:
        # A caching layer's paths are those of the filesystem below it.
        below = getattr(fs, "fs", None)
        known = {*names, *(protocols(below) if below is not None else ())}
        if scheme[1] not in known:
            raise StoreURLError(f"{public_url(path)!r} is not a path of {'/'.join(names)}")
        if not (WEB.intersection(known) or _has_urls_for_paths(fs) or _has_urls_for_paths(below)):
            # obstore's class leaves it, since only its instances have a protocol.
            root = scheme[3].rstrip("/")
        elif not scheme[3].strip("/"):
            raise StoreURLError(f"{public_url(path)!r} names no server and no folder")
    if BUCKETS.intersection(names) and not root.strip("/"):
        raise StoreURLError(f"{public_url(path or names[0] + '://')!r} names no bucket")
    return fs, root


def _has_urls_for_paths(fs: AbstractFileSystem | None) -> bool:
    """Whether the scheme that a filesystem leaves in a path belongs to it, as swiftspec's does.

    fsspec's own method also leaves a scheme that only the instance names, and not the class.
    """
    method = getattr(type(fs), "_strip_protocol", None)
    default = fsspec.AbstractFileSystem._strip_protocol.__func__
    return method is not None and getattr(method, "__func__", method) is not default


def root_url(fs: AbstractFileSystem, root: str) -> str:
    """The URL of a root that `root_path` returned; of a caching layer, on the filesystem below."""
    # By name: importing fsspec's layers takes as long as importing this package.
    while any(cls.__module__ == "fsspec.implementations.cached" for cls in type(fs).__mro__):
        fs = fs.fs
    # A web server's paths are URLs; some versions of fsspec would give them a second protocol.
    if WEB.intersection(protocols(fs)):
        return root
    # No path at all would be the working folder.
    url: str = fs.unstrip_protocol(root or fs.root_marker)
    return url


def missing_folder(fs: AbstractFileSystem, root: str) -> str | None:
    """The words for a store whose folder is missing; ``None`` if it exists, or is not local.

    Asks the operating system. A bucket's name without a scheme is such a folder.
    """
    if type(fs) is not LocalFileSystem or os.path.isdir(root or "/"):
        return None
    if os.path.exists(root):
        return "a file and not a folder"
    with suppress(OSError):
        above, _, name = root.partition(os.getcwd() + "/")
        meant = None if above or not name else meant_url(name)
        if meant:
            what = "a bucket" if BUCKETS.intersection([protocol_of(meant)]) else "its URL"
            return f"no such folder; {what} is {public_url(meant)}"
    return "no such folder"


def _from_path(
    path: os.PathLike[Any], options: Mapping[str, Any]
) -> tuple[AbstractFileSystem, str]:
    """A local path, to the letter."""
    place = _absolute(path)
    others = {name: value for name, value in options.items() if name != "protocol"}
    fs, _ = open_links(["/"], others)
    return fs, place


def _absolute(path: os.PathLike[Any]) -> str:
    text = os.fsdecode(path)
    if "\0" in text:
        raise StoreURLError(f"a path holds no NUL, got {text!r}")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise StoreURLError(f"{text!r} is not a local path") from None
    found = pathlib.Path(text)
    return str(found if found.is_absolute() else os.getcwd() / found)


def _refuse_options(place: object, options: Mapping[str, Any] | None) -> None:
    if options is not None:
        raise TypeError(f"storage_options beside a {type(place).__name__}, which has its own")


def _advice(thing: object) -> str:
    """What to do with what was given for a URL, where that is likely to be known."""
    if isinstance(thing, fsspec.AbstractFileSystem):
        return "; FsspecStore(fs, path) makes a store on a filesystem"
    if hasattr(thing, "list_prefix") or hasattr(thing, "store"):
        return ", which is a store or has one: hand that on as it is"
    return ""


def _missing_library(url: str, error: ImportError) -> MissingExtraError:
    for link in url.split("::"):
        protocol = link.partition("://")[0]
        if protocol not in known_implementations:
            continue
        try:
            get_filesystem_class(protocol)
        except ImportError:
            extra = _EXTRAS.get(protocol)
            advice = (
                f"pip install 'fsspec-store[{extra}]'"
                if extra
                else known_implementations[protocol].get("err", str(error))
            )
            return MissingExtraError(
                f"{protocol}:// needs a library that is not installed: {advice}",
                url=public_url(url),
            )
    return MissingExtraError(f"cannot open {public_url(url)!r}: {error}", url=public_url(url))
