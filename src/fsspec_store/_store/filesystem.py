"""The filesystem and root path of a URL, a filesystem, a UPath or a mapper.

Knows fsspec's registry, its URL rules and its wrappers. Does no I/O. Raises for invalid URLs,
unknown protocols and libraries that are not installed.
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

from .._backends.generic.errors import failure_of
from .._core.failures import Failure
from .._core.redaction import hidden, public_text, public_url, request_secrets, secret_options
from .._core.scrubbing import scrub
from .._core.urls import (
    BUCKET_PROTOCOLS,
    SCHEME,
    WEB_PROTOCOLS,
    links_of,
    protocol_of,
    protocols,
    suggested_url,
)
from ..errors import (
    AccessDeniedError,
    BackendError,
    MissingExtraError,
    StorageOptionError,
    StoreError,
    StoreURLError,
    UnauthenticatedError,
    UnreachableError,
)
from .chains import open_links

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fsspec import AbstractFileSystem

__all__ = [
    "from_location",
    "from_mapper",
    "from_upath",
    "from_url",
    "missing_folder",
    "root_path",
    "root_url",
]

#: Failure of a filesystem's constructor to the error and the start of its message.
_OPENING_ERRORS: dict[Failure, tuple[type[StoreError], str]] = {
    Failure.FORBIDDEN: (AccessDeniedError, "access denied: "),
    Failure.UNAUTHENTICATED: (UnauthenticatedError, "access denied: "),
    Failure.UNREACHABLE: (UnreachableError, ""),
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
    "webdav": "webdav",
}


def from_location(
    location: Any, storage_options: Mapping[str, Any] | None = None
) -> tuple[AbstractFileSystem, str]:
    """The filesystem and path of a URL, a path, a ``UPath`` or a mapper; see `from_url`."""
    if isinstance(location, fsspec.FSMap):
        _reject_options(location, storage_options)
        return from_mapper(location)
    return from_url(location, storage_options)


def from_url(
    url: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> tuple[AbstractFileSystem, str]:
    """The configured filesystem of a URL or a ``UPath``, and the path on it.

    A path object is a local path and is not parsed. Raises `BackendError` when the constructor of
    the filesystem fails: on an unreadable archive, for example.
    """
    if storage_options is not None and not hasattr(storage_options, "keys"):
        raise StorageOptionError(
            f"storage_options must be a mapping, got {type(storage_options).__name__}"
        )
    options = dict(storage_options or {})
    # Stores, open files and some filesystems also have the attributes fs and path.
    if hasattr(url, "fs") and hasattr(url, "joinpath"):
        _reject_options(url, storage_options)
        return from_upath(url)
    if isinstance(url, os.PathLike):
        path = _absolute(url)
        options.pop("protocol", None)
        return open_links(["/"], options)[0], path
    if not isinstance(url, str):
        raise TypeError(f"a URL must be a str or a path, got {type(url).__name__}{_advice(url)}")
    outer = sys.exception()
    try:
        return open_links(links_of(url), options)
    except StoreError:
        raise
    except ImportError as error:
        raise _missing_library(url, error) from error
    except Exception as error:
        # Some constructors connect, or check a token, and have secrets in their errors.
        # fsspec adds the options of its configuration files and environment variables.
        secrets = secret_options(options) | secret_options(fsspec.config.conf)
        secrets |= request_secrets(url, {})
        where, text = public_url(url), hidden(public_text(str(error)), secrets)
        cause = error if text == str(error) else None
        # The exception stays the context of the one raised below.
        scrub(error, lambda shown: hidden(public_text(shown), secrets), outer=outer)
        if isinstance(error, (TypeError, ValueError)):
            raise StorageOptionError(
                f"invalid storage option for {where!r}: {text}", url=where
            ) from cause
        if isinstance(error, (FileNotFoundError, PermissionError)) and cause is not None:
            raise
        kind, words = _OPENING_ERRORS.get(failure_of(error), (BackendError, ""))
        raise kind(
            f"{words}cannot open {where!r}: {type(error).__name__}: {text}", url=where
        ) from cause


def from_upath(upath: Any) -> tuple[AbstractFileSystem, str]:
    """The filesystem and path of a ``UPath`` (or of anything with ``fs`` and ``path``)."""
    fs, path = getattr(upath, "fs", None), getattr(upath, "path", None)
    if fs is None or not isinstance(path, str):
        raise TypeError(f"a UPath must have a filesystem and a path, got {type(upath).__name__}")
    if isinstance(upath, pathlib.Path) and type(fs) is LocalFileSystem:
        # A UPath without a protocol is a path object. fsspec would strip a leading "file:" from it.
        return fs, _absolute(upath)
    return fs, path


def from_mapper(mapper: Any) -> tuple[AbstractFileSystem, str]:
    """The filesystem and root of an ``fsspec.FSMap``, as ``fsspec.get_mapper`` returns it."""
    fs, root = getattr(mapper, "fs", None), getattr(mapper, "root", None)
    if fs is None or not isinstance(root, str):
        raise TypeError(f"a mapper must have a filesystem and a root, got {type(mapper).__name__}")
    return fs, root


def root_path(fs: AbstractFileSystem, path: str) -> tuple[AbstractFileSystem, str]:
    """The filesystem without its wrappers, and the root as a path of it, without a trailing ``/``.

    The wrappers are those of fsspec that only change paths or methods.
    """
    if not isinstance(fs, fsspec.AbstractFileSystem):
        raise TypeError(
            f"fs must be an fsspec filesystem, got {type(fs).__name__}; "
            "for a URL use FsspecStore.from_url"
        )
    if not isinstance(path, str):
        raise TypeError(f"path must be a str, got {type(path).__name__}")
    if "\0" in path:
        raise StoreURLError(f"a path must not contain NUL, got {path!r}")
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
        # Not a home directory: a folder named "~", which fsspec leaves relative.
        root = f"{os.getcwd().rstrip('/')}/{root}"
    scheme = SCHEME.fullmatch(root)
    names = protocols(fs)
    if not ("?" in root and WEB_PROTOCOLS.intersection(names)):
        # A "/" at the end of a query is part of a token.
        root = root.rstrip("/")
    if scheme and scheme[2]:
        # A caching layer's paths are those of the filesystem below it.
        below = getattr(fs, "fs", None)
        known = {*names, *(protocols(below) if below is not None else ())}
        if scheme[1] not in known:
            raise StoreURLError(f"{public_url(path)!r} is not a path of {'/'.join(names)}")
        if not (
            WEB_PROTOCOLS.intersection(known)
            or _has_urls_for_paths(fs)
            or _has_urls_for_paths(below)
        ):
            # obstore's class keeps the scheme, because only its instances have a protocol.
            root = scheme[3].rstrip("/")
        elif not scheme[3].strip("/"):
            raise StoreURLError(f"{public_url(path)!r} has no host and no folder")
    if BUCKET_PROTOCOLS.intersection(names) and not root.strip("/"):
        raise StoreURLError(f"{public_url(path or names[0] + '://')!r} names no bucket")
    return fs, root


def _has_urls_for_paths(fs: AbstractFileSystem | None) -> bool:
    """Whether the scheme is part of a filesystem's paths, as in swiftspec.

    fsspec's default method keeps a scheme when only the instance has that protocol, not the class.
    """
    method = getattr(type(fs), "_strip_protocol", None)
    default = fsspec.AbstractFileSystem._strip_protocol.__func__
    return method is not None and getattr(method, "__func__", method) is not default


def root_url(fs: AbstractFileSystem, root: str) -> str:
    """The URL of a root of `root_path`; below a caching layer, on the filesystem below."""
    # Compared by name: importing fsspec's layers takes as long as importing this package.
    while any(cls.__module__ == "fsspec.implementations.cached" for cls in type(fs).__mro__):
        fs = fs.fs
    # A web server's paths are URLs. Some versions of fsspec would add a second protocol.
    if WEB_PROTOCOLS.intersection(protocols(fs)):
        return root
    # An empty path would be the working folder.
    url: str = fs.unstrip_protocol(root or fs.root_marker)
    return url


def missing_folder(fs: AbstractFileSystem, root: str) -> str | None:
    """A message about a local root that is missing; ``None`` if it exists, or is not local.

    Does I/O. A URL without its scheme (``bucket/path``) is such a root.
    """
    if type(fs) is not LocalFileSystem or os.path.isdir(root or "/"):
        return None
    if os.path.exists(root):
        return "a file and not a folder"
    with suppress(OSError):
        above, _, name = root.partition(os.getcwd() + "/")
        url = None if above or not name else suggested_url(name)
        if url:
            what = "a bucket" if BUCKET_PROTOCOLS.intersection([protocol_of(url)]) else "its URL"
            return f"no such folder; {what} is {public_url(url)}"
    return "no such folder"


def _absolute(path: os.PathLike[Any]) -> str:
    text = os.fsdecode(path)
    if "\0" in text:
        raise StoreURLError(f"a path must not contain NUL, got {text!r}")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise StoreURLError(f"{text!r} is not a local path") from None
    found = pathlib.Path(text)
    return str(found if found.is_absolute() else os.getcwd() / found)


def _reject_options(location: object, options: Mapping[str, Any] | None) -> None:
    if options is not None:
        raise TypeError(
            f"storage_options given with a {type(location).__name__}, which has its own"
        )


def _advice(thing: object) -> str:
    """Advice for an object that was passed as a URL; ``""`` for an unknown type."""
    if isinstance(thing, fsspec.AbstractFileSystem):
        return "; FsspecStore(fs, path), or ZarrStore(fs, path) for zarr, creates a store on it"
    if hasattr(thing, "list_prefix") or hasattr(thing, "store"):
        return ", which is a store or has one: use that store"
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
