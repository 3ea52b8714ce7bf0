"""From what a user gives (a URL, a filesystem, a UPath, a mapper) to a filesystem and a root path.

Knows fsspec's registry, its URL rules and its wrappers. Does no I/O: a URL that cannot work, an
unknown protocol or a library that is not installed is refused here.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.core import url_to_fs
from fsspec.registry import (
    available_protocols,
    get_filesystem_class,
    known_implementations,
    registry,
)

from .errors import BackendError, MissingExtraError, StorageOptionError, StoreURLError
from .redaction import hidden, public_text, public_url, request_secrets, secret_options
from .scrubbing import scrub

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fsspec import AbstractFileSystem

__all__ = [
    "from_mapper",
    "from_place",
    "from_upath",
    "from_url",
    "protocols",
    "root_path",
    "root_url",
]

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

#: Protocols whose URL begins with the name of a bucket or container.
_BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})

_WEB = frozenset({"http", "https"})

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(//)?(.*)", re.DOTALL)


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
    is_mapper = isinstance(place, fsspec.FSMap)
    # Stores, open files and some filesystems have a filesystem and a path as well.
    if not is_mapper and not (hasattr(place, "fs") and hasattr(place, "joinpath")):
        return from_url(place, storage_options)
    if storage_options is not None:
        raise TypeError(f"storage_options beside a {type(place).__name__}, which has its own")
    return from_mapper(place) if is_mapper else from_upath(place)


def from_url(
    url: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> tuple[AbstractFileSystem, str]:
    """The filesystem of a URL, configured, and the path on it.

    Parameters
    ----------
    url : str or os.PathLike
        As fsspec reads it: ``s3://bucket/path``, ``file:///folder``, a plain path, a chain such as
        ``simplecache::s3://bucket/path``.
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
        When the filesystem's constructor failed with an error that shows a secret.
    """
    if storage_options is not None and not hasattr(storage_options, "keys"):
        raise StorageOptionError(
            f"storage_options is a mapping, got {type(storage_options).__name__}"
        )
    options = dict(storage_options or {})
    text = _check_url(url)
    outer = sys.exception()
    try:
        return url_to_fs(text, **options)  # type: ignore[no-any-return]
    except ImportError as error:
        raise _missing_library(text, error) from error
    except Exception as error:
        # Some connect, or ask what a token is good for, and name all of that in their errors.
        secrets = secret_options(options) | request_secrets(text, {})
        where, said = public_url(text), hidden(public_text(str(error)), secrets)
        cause = error if said == str(error) else None
        # It stays the context of what is raised in its place.
        scrub(error, lambda shown: hidden(public_text(shown), secrets), outer=outer)
        if isinstance(error, (TypeError, ValueError)):
            raise StorageOptionError(
                f"a storage option does not fit {where!r}: {said}", url=where
            ) from cause
        if cause is not None:
            raise
        raise BackendError(
            f"cannot open {where!r}: {type(error).__name__}: {said}", url=where
        ) from None


def from_upath(upath: Any) -> tuple[AbstractFileSystem, str]:
    """The filesystem and path of a ``UPath`` (or of anything with ``fs`` and ``path``)."""
    fs, path = getattr(upath, "fs", None), getattr(upath, "path", None)
    if fs is None or not isinstance(path, str):
        raise TypeError(f"a UPath has a filesystem and a path, got {type(upath).__name__}")
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
    names = protocols(fs)
    if not ("?" in root and _WEB.intersection(names)):
        # What ends in "/" after a "?" is a token.
        root = root.rstrip("/")
    scheme = _SCHEME.fullmatch(root)
    if scheme and scheme[2]:
        # A caching layer's paths are those of the filesystem below it.
        below = getattr(fs, "fs", None)
        known = {*names, *(protocols(below) if below is not None else ())}
        if scheme[1] not in known:
            raise StoreURLError(f"{public_url(path)!r} is not a path of {'/'.join(names)}")
        if not _WEB.intersection(known):
            # obstore's class leaves it, since only its instances have a protocol.
            root = scheme[3].rstrip("/")
    if _BUCKETS.intersection(names) and not root.strip("/"):
        raise StoreURLError(f"{public_url(path or names[0] + '://')!r} names no bucket")
    return fs, root


def root_url(fs: AbstractFileSystem, root: str) -> str:
    """The URL of a root that `root_path` returned."""
    # A web server's paths are URLs; some versions of fsspec would give them a second protocol.
    if _WEB.intersection(protocols(fs)):
        return root
    # No path at all would be the working folder.
    url: str = fs.unstrip_protocol(root or fs.root_marker)
    return url


def protocols(fs: AbstractFileSystem) -> tuple[str, ...]:
    """The protocol names of a filesystem, the first one being its usual one."""
    if any(cls.__module__ == "fsspec.implementations.http" for cls in type(fs).__mro__):
        # Some versions of fsspec put the name that was asked for last into the class.
        return ("http", "https")
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _check_url(url: str | os.PathLike[str]) -> str:
    text = os.fspath(url) if isinstance(url, os.PathLike) else url
    if not isinstance(text, str):
        raise TypeError(f"a URL is a str or a path, got {type(url).__name__}{_advice(url)}")
    if not text.strip():
        raise StoreURLError(f"a URL names a bucket, a server or a folder, got {text!r}")
    if "\0" in text:
        raise StoreURLError(f"a URL holds no NUL, got {text!r}")
    for link in text.split("::"):
        match = _SCHEME.fullmatch(link)
        if match is None or (os.name == "nt" and len(match[1]) == 1):
            continue
        scheme, slashes, rest = match[1], match[2], match[3]
        if not slashes:
            # "s3:bucket" would be taken for a local file of that name.
            if scheme in _BUCKETS or scheme in _WEB:
                raise StoreURLError(
                    f"{public_url(text)!r} is no URL: write "
                    + public_url(f"{scheme}://{rest.lstrip('/')}")
                )
        elif scheme not in registry and scheme not in available_protocols():
            near = difflib.get_close_matches(scheme.lower(), available_protocols(), n=1)
            hint = f"; did you mean {near[0]}://?" if near else ""
            raise StoreURLError(
                f"unknown protocol {scheme!r} in {public_url(text)!r}{hint}", url=public_url(text)
            )
        elif scheme in _BUCKETS and not rest.strip("/"):
            raise StoreURLError(f"{public_url(text)!r} names no bucket", url=public_url(text))
    return text


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
