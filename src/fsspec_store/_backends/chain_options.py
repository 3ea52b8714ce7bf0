"""Validation of the storage options of a chain's links, before a filesystem is created.

A layer (``simplecache::``, ``zip://``) creates the filesystem below it from ``target_options`` and
ignores unknown options. Here they are errors, as for a single URL. Does no I/O.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.registry import available_protocols, get_filesystem_class

from .._core.urls import is_layer, links_of, named_options, protocol_of
from ..errors import StorageOptionError
from .generic.guards import guard_services
from .option_names import FILESYSTEM_OPTIONS
from .options import refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fsspec import AbstractFileSystem

__all__ = ["OPEN_ARGUMENTS", "check_instance", "check_options", "is_fsspec_layer", "known_options"]

#: Options of fsspec's base classes, and those that a chain passes to every layer.
_COMMON_OPTIONS = frozenset(
    {
        "asynchronous",
        "batch_size",
        "fo",
        "listings_expiry_time",
        "loop",
        "max_paths",
        "skip_instance_cache",
        "target_options",
        "target_protocol",
        "use_listings_cache",
    }
)

#: Ignored, but valid: kerchunk's documentation uses ``lazy`` with tables of references.
_IGNORED_OPTIONS = {"reference": frozenset({"lazy"})}

#: Arguments of ``fsspec.open``, which fsspec removes from the options of a URL.
OPEN_ARGUMENTS = (
    "compression",
    "encoding",
    "errors",
    "expand",
    "mode",
    "name_function",
    "newline",
    "num",
)

#: fsspec's classes, except layers, that ignore unknown options. One set of options is often used
#: for several stores, so the options of other filesystems are valid, and have no effect.
_IGNORES_UNKNOWN = frozenset({"fsspec.implementations.local", "fsspec.implementations.memory"})

#: Filesystem class to the module whose ``check_options`` validates its options.
_OPTION_CHECKS = {
    "adlfs.spec.AzureBlobFileSystem": "azure.account",
    "fsspec.implementations.http.HTTPFileSystem": "web_client.session",
    "gcsfs.core.GCSFileSystem": "gcs.session",
    "s3fs.core.S3FileSystem": "s3.session",
    "webdav4.fsspec.WebdavFileSystem": "webdav.session",
}

#: Package to the module that knows its option names, where the constructor fails on a wrong one, or
#: looks for credentials.
_NAME_CHECKS = {"adlfs": "azure.account", "gcsfs": "gcs.session", "webdav4": "webdav.session"}

#: Parameters of layers for the protocol and options of the filesystem below.
_BELOW = (
    ("target_protocol", "target_options"),
    ("target_protocol", "ref_storage_args"),
    ("remote_protocol", "remote_options"),
)


def is_fsspec_layer(cls: type[AbstractFileSystem]) -> bool:
    """Whether a class is a layer of fsspec itself, which ignores unknown options."""
    return cls.__module__.startswith("fsspec.implementations.") and is_layer(cls)


def known_options(cls: type[AbstractFileSystem]) -> frozenset[str]:
    """The options that are valid for a class."""
    ignored = _IGNORED_OPTIONS.get(_protocols(cls)[0], frozenset())
    return named_options(cls) | _COMMON_OPTIONS | ignored


def check_options(cls: type[AbstractFileSystem], options: Mapping[str, Any]) -> None:
    """Raise `StorageOptionError` with each unknown option of a class.

    For a layer, the options of the filesystem below are checked too.
    """
    if is_fsspec_layer(cls):
        refuse_unknown(
            f"{_protocols(cls)[0]}:: takes no storage option", options, known_options(cls)
        )
    elif cls.__module__ in _IGNORES_UNKNOWN:
        others = FILESYSTEM_OPTIONS.union(available_protocols())
        refuse_unknown(
            f"{_protocols(cls)[0]}:// takes no storage option",
            options.keys() - others,
            known_options(cls),
        )
    # Classes of other packages may accept options without naming them.
    module = _NAME_CHECKS.get(cls.__module__.partition(".")[0])
    if module is not None:
        own = {name: options[name] for name in options.keys() - _COMMON_OPTIONS}
        import_module(f".{module}", __package__).check_names(cls, own)
    if not is_layer(cls):
        return
    for protocol_name, options_name in _BELOW:
        below = options.get(options_name)
        if not below:
            continue
        if not hasattr(below, "keys"):
            raise StorageOptionError(
                f"{options_name} must be a mapping, got {type(below).__name__}"
            )
        protocol = options.get(protocol_name)
        if protocol is None and protocol_name == "target_protocol":
            protocol = _protocol_of(options.get("fo"))
        if protocol is not None:
            _check_below(protocol, _without_open_arguments(cls, protocol, below))
    given = options.get("fs")
    for protocol, below in given.items() if isinstance(given, dict) else [(None, given)]:
        if isinstance(below, fsspec.AbstractFileSystem):
            _check_created(below)
        elif protocol is not None and isinstance(below, dict):
            _check_below(protocol.partition(":")[0], below)


def _without_open_arguments(
    cls: type[AbstractFileSystem], protocol: str, options: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The options of the filesystem below, without the arguments for ``fsspec.open``."""
    if "fo" not in named_options(cls) or "path" in named_options(cls):
        # The layer passes all of them to the filesystem.
        return options
    own = options.get(protocol)
    rest = {name: options[name] for name in options if name not in (*OPEN_ARGUMENTS, protocol)}
    return {**own, **rest} if isinstance(own, dict) else rest


def _check_below(protocol: str, options: Mapping[str, Any]) -> None:
    """Refuse unknown options that a layer passes to the filesystem below."""
    cls = get_filesystem_class(protocol)
    check_options(cls, options)
    if _module_of(cls) is not None:
        # The layer gets the same instance from fsspec's cache. An archive is read immediately.
        below = fsspec.filesystem(protocol, **options)
        _check_created(below)
        guard_services(below)


def _check_created(fs: AbstractFileSystem) -> None:
    module = _module_of(type(fs))
    if module is None:
        check_instance(fs)
    else:
        module.check_options(fs)


def check_instance(fs: AbstractFileSystem) -> None:
    """Like `check_options`, for a filesystem that exists.

    Services with their own backend validate their options there.
    """
    # UPath stores a layer's options under the layer's name. They are not used.
    own = _protocols(type(fs))
    options = {name: value for name, value in fs.storage_options.items() if name not in own}
    check_options(type(fs), options)
    # The services of a reference filesystem are known after it was read.
    for below in getattr(fs, "fss", {}).values():
        _check_created(below)


def _protocols(cls: type[AbstractFileSystem]) -> tuple[str, ...]:
    return (cls.protocol,) if isinstance(cls.protocol, str) else tuple(cls.protocol)


def _module_of(cls: type[AbstractFileSystem]) -> Any:
    """The module that validates the options of a class or its bases, ``None`` if there is none."""
    names = (f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__)
    name = next((_OPTION_CHECKS[name] for name in names if name in _OPTION_CHECKS), None)
    return import_module(f".{name}", __package__) if name else None


def _protocol_of(fo: object) -> str | None:
    """The protocol of the URL below a layer; ``None`` for a chain or another type."""
    if not isinstance(fo, str):
        return None
    links = links_of(fo)
    return protocol_of(fo) if len(links) == 1 else None
