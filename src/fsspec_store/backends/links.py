"""The storage options of a chain's links, checked before any of them is made.

A layer (``simplecache::``, ``zip://``) makes the filesystem below it from ``target_options``, and
takes any name itself; each is refused here as it is for a single URL. Does no I/O.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.registry import get_filesystem_class

from ..errors import StorageOptionError
from ..urls import is_layer, links_of, named_options, protocol_of
from .generic.web import guard_services
from .options import misspelt, refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fsspec import AbstractFileSystem

__all__ = ["OF_OPEN", "check_instance", "check_options", "is_strict_layer", "known_options"]

#: What fsspec's base classes take without naming it, and what a chain gives to every layer.
_OF_EVERY_CLASS = frozenset(
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

#: kerchunk's documentation gives ``lazy`` with references in tables; fsspec sees that by itself.
_BY_CUSTOM = {"reference": frozenset({"lazy"})}

#: Arguments of ``fsspec.open``, which fsspec takes out of the options of a URL.
OF_OPEN = (
    "compression",
    "encoding",
    "errors",
    "expand",
    "mode",
    "name_function",
    "newline",
    "num",
)

#: fsspec's own classes that drop the options they do not name, beside its layers. One set of
#: options is often given for several places, so only what is misspelt is refused.
_LENIENT = frozenset({"fsspec.implementations.local", "fsspec.implementations.memory"})

#: Filesystem class to the module whose ``check_options`` knows its options.
_CHECKED = {
    "adlfs.spec.AzureBlobFileSystem": "azure.account",
    "fsspec.implementations.http.HTTPFileSystem": "http.session",
    "gcsfs.core.GCSFileSystem": "gcs.session",
    "s3fs.core.S3FileSystem": "s3.session",
}

#: Package to the module that knows the names of its options, where a filesystem with a wrong one
#: cannot be made, or looks for credentials as it is.
_NAMED = {"adlfs": "azure.account", "gcsfs": "gcs.session"}

#: Protocol and options of the filesystems that a layer makes.
_BELOW = (
    ("target_protocol", "target_options"),
    ("target_protocol", "ref_storage_args"),
    ("remote_protocol", "remote_options"),
)


def is_strict_layer(cls: type[AbstractFileSystem]) -> bool:
    """Whether a class is a layer that drops the options it does not name: one of fsspec's own."""
    return cls.__module__.startswith("fsspec.implementations.") and is_layer(cls)


def known_options(cls: type[AbstractFileSystem]) -> frozenset[str]:
    """The options a layer takes, or that it is given by custom."""
    return named_options(cls) | _OF_EVERY_CLASS | _BY_CUSTOM.get(_protocols(cls)[0], frozenset())


def check_options(cls: type[AbstractFileSystem], options: Mapping[str, Any]) -> None:
    """Refuse the options that a layer and the filesystem below it do not take.

    Parameters
    ----------
    cls : type
        The class of a filesystem, a layer or not.
    options : mapping
        As its constructor takes them.

    Raises
    ------
    StorageOptionError
        Naming each of them.
    """
    if is_strict_layer(cls):
        refuse_unknown(
            f"{_protocols(cls)[0]}:: takes no storage option", options, known_options(cls)
        )
    elif cls.__module__ in _LENIENT:
        known = known_options(cls)
        refuse_unknown(
            f"{_protocols(cls)[0]}:// takes no storage option", misspelt(options, known), known
        )
    # Another package's class may take options without naming them.
    module = _NAMED.get(cls.__module__.partition(".")[0])
    if module is not None:
        import_module(f".{module}", __package__).check_names(cls, options.keys() - _OF_EVERY_CLASS)
    if not is_layer(cls):
        return
    for protocol_name, options_name in _BELOW:
        below = options.get(options_name)
        if not below:
            continue
        if not hasattr(below, "keys"):
            raise StorageOptionError(f"{options_name} is a mapping, got {type(below).__name__}")
        protocol = options.get(protocol_name)
        if protocol is None and protocol_name == "target_protocol":
            protocol = _protocol_of(options.get("fo"))
        if protocol is not None:
            _check_below(protocol, _of_open(cls, protocol, below))
    given = options.get("fs")
    for protocol, below in given.items() if isinstance(given, dict) else [(None, given)]:
        if isinstance(below, fsspec.AbstractFileSystem):
            _check_made(below)
        elif protocol is not None and isinstance(below, dict):
            _check_below(protocol.partition(":")[0], below)


def _of_open(
    cls: type[AbstractFileSystem], protocol: str, options: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The options of the filesystem below among those that a layer hands to ``fsspec.open``."""
    if "fo" not in named_options(cls) or "path" in named_options(cls):
        # It makes the filesystem by them.
        return options
    own = options.get(protocol)
    rest = {name: options[name] for name in options if name not in (*OF_OPEN, protocol)}
    return {**own, **rest} if isinstance(own, dict) else rest


def _check_below(protocol: str, options: Mapping[str, Any]) -> None:
    """Refuse the options that a layer hands to a filesystem which does not take them."""
    cls = get_filesystem_class(protocol)
    check_options(cls, options)
    if _module_of(cls) is not None:
        # The layer makes the same, and fsspec keeps it for that. An archive is read at once.
        below = fsspec.filesystem(protocol, **options)
        _check_made(below)
        guard_services(below)


def _check_made(fs: AbstractFileSystem) -> None:
    module = _module_of(type(fs))
    if module is None:
        check_instance(fs)
    else:
        module.check_options(fs)


def check_instance(fs: AbstractFileSystem) -> None:
    """As `check_options`, of a filesystem that the user has made.

    One with a backend of its own is checked there.
    """
    # UPath keeps a layer's own options under the layer's name, where nothing uses them.
    own = _protocols(type(fs))
    options = {name: value for name, value in fs.storage_options.items() if name not in own}
    check_options(type(fs), options)
    # Which services references name is known once they are read.
    for below in getattr(fs, "fss", {}).values():
        _check_made(below)


def _protocols(cls: type[AbstractFileSystem]) -> tuple[str, ...]:
    return (cls.protocol,) if isinstance(cls.protocol, str) else tuple(cls.protocol)


def _module_of(cls: type[AbstractFileSystem]) -> Any:
    """The module that knows the options of a class or one of its bases, if there is one."""
    names = (f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__)
    name = next((_CHECKED[name] for name in names if name in _CHECKED), None)
    return import_module(f".{name}", __package__) if name else None


def _protocol_of(fo: object) -> str | None:
    """The protocol of the one URL that a layer is on; ``None`` where that is unknown."""
    if not isinstance(fo, str):
        return None
    links = links_of(fo)
    return protocol_of(fo) if len(links) == 1 else None
