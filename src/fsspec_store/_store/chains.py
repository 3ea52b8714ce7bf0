"""The configured filesystem of the links of a URL and the user's options.

Does what ``fsspec.core.url_to_fs`` does, which splits a URL at every ``::`` and silently drops
unknown options.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import fsspec
from fsspec.registry import available_protocols, get_filesystem_class

from .._backends.chain_options import OPEN_ARGUMENTS, check_options, is_fsspec_layer, known_options
from .._backends.option_names import BY_MODULE, normalized
from .._backends.options import refuse_unknown
from .._core.redaction import public_url
from .._core.urls import named_options, protocol_of
from ..errors import StorageOptionError, StoreURLError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["open_links"]

#: Options that are not parameters of the filesystem's constructor.
_UNNAMED = {"fsspec.implementations.http": ("auth", "cookies", "headers", "proxy", "ssl")}


class _Link(NamedTuple):
    """One link of a chain: the arguments for its filesystem, and the path on it."""

    protocol: str
    cls: type[AbstractFileSystem]
    path: str
    options: dict[str, Any]


def open_links(links: Sequence[str], options: Mapping[str, Any]) -> tuple[AbstractFileSystem, str]:
    """The outermost filesystem of a chain, and the path on it. A single URL is a chain of one.

    Options of a link are a mapping at the link's protocol. All others belong to the outermost link.
    Raises `StorageOptionError` when no link accepts an option.
    """
    chain, flat = _distribute(links, options)
    outermost = chain[-1]
    is_alone = len(chain) == 1 and "fo" not in outermost.options
    if is_alone and any(base.__module__ == "fsspec.archive" for base in outermost.cls.__mro__):
        protocol = outermost.protocol
        raise StoreURLError(
            f"{public_url(links[0])!r} has no archive: write {protocol}://::archive, or "
            f"{protocol}://path/inside::archive"
        )
    if len(chain) > 1 and is_fsspec_layer(outermost.cls):
        _check_flat(chain, flat)
    below: dict[str, Any] = {}
    for link in chain[:-1]:
        below = {
            "target_options": dict(**link.options, **below),
            "target_protocol": link.protocol,
            "fo": link.path,
        }
    twice = sorted(outermost.options.keys() & below.keys())
    if twice:
        names = "::".join(link.protocol for link in reversed(chain))
        raise StorageOptionError(
            f"{', '.join(map(repr, twice))} given with {names}, whose links define it: write the "
            f"options of the filesystem below as {{{chain[-2].protocol!r}: {{...}}}}"
        )
    own = {**outermost.options, **below}
    check_options(outermost.cls, own)
    return fsspec.filesystem(outermost.protocol, **own), outermost.path


def _distribute(
    links: Sequence[str], given: Mapping[str, Any]
) -> tuple[list[_Link], dict[str, Any]]:
    """Each link with its options, innermost first, and the options without a link's name."""
    options = {name: value for name, value in given.items() if name not in OPEN_ARGUMENTS}
    chain: list[_Link] = []
    previous = ""
    for number in range(len(links) - 1, -1, -1):
        link = links[number]
        protocol = options.pop("protocol", None) or protocol_of(link)
        cls = get_filesystem_class(protocol)
        own = options.pop(protocol, {})
        if not isinstance(own, Mapping):
            raise StorageOptionError(
                f"the options of {protocol!r} must be a mapping, got {type(own).__name__}"
            )
        if number == 0:
            own = {**own, **options}
            _check_of_open(protocol, cls, given)
        in_url = cls._get_kwargs_from_urls(link)
        in_url = {
            name: value for name, value in in_url.items() if name not in own or own[name] != value
        }
        # A value that differs between URL and options is a TypeError, as in fsspec.
        merged = dict(**in_url, **own)
        path = cls._strip_protocol(link)
        if "target_protocol" not in merged and _takes_path_below(cls, path):
            path = previous
        chain.append(_Link(protocol, cls, path, merged))
        previous = path
    return chain, options


def _takes_path_below(cls: type[AbstractFileSystem], path: str) -> bool:
    """Whether a layer has the same paths as the filesystem below it."""
    if cls.__module__ == "fsspec.implementations.dirfs":
        # Its paths are relative to the path of the filesystem below.
        return False
    # Compared by name: importing fsspec's layers takes as long as importing this package.
    above = {f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__}
    if "fsspec.implementations.chained.ChainedFileSystem" in above:
        return not path
    # Releases of fsspec without ChainedFileSystem.
    return "fsspec.implementations.cached.CachingFileSystem" in above


def _check_of_open(protocol: str, cls: type[AbstractFileSystem], given: Mapping[str, Any]) -> None:
    """Raise for options of the outermost link that are also arguments of `fsspec.open`."""
    named = inspect.signature(cls.__init__).parameters
    for name in OPEN_ARGUMENTS:
        if name in given and name in named:
            raise StorageOptionError(
                f"{name!r} is an argument of fsspec.open: write {{{protocol!r}: {{{name!r}: ...}}}}"
            )


def _check_flat(chain: Sequence[_Link], flat: Mapping[str, Any]) -> None:
    """Raise for options without a link's name that the outermost link does not accept."""
    outermost = chain[-1]
    known = known_options(outermost.cls)
    elsewhere = {}
    for name in flat.keys() - known:
        suggestion = _similar_option(chain, name, flat[name])
        if suggestion:
            elsewhere[normalized(name)] = suggestion
    words = f"{outermost.protocol}:: takes no storage option"
    refuse_unknown(words, flat, known, elsewhere)


def _similar_option(chain: Sequence[_Link], name: str, value: object) -> str:
    """A similar option of a link below; ``""`` if there is none."""
    for link in chain[:-1]:
        module = link.cls.__module__
        table = next((BY_MODULE[start] for start in BY_MODULE if module.startswith(start)), {})
        named = {*named_options(link.cls), *_UNNAMED.get(module, ())}
        if normalized(name) in table and name not in named:
            return f"{table[normalized(name)]} among the options of {link.protocol!r}"
        near = difflib.get_close_matches(name, named, n=1, cutoff=0.7)
        if near:
            return f"{{{link.protocol!r}: {{{near[0]!r}: ...}}}}"
    return _similar_protocol(chain, name) if isinstance(value, Mapping) else ""


def _similar_protocol(chain: Sequence[_Link], name: str) -> str:
    """A link whose protocol resembles the name of a mapping of options."""
    links = [link.protocol for link in reversed(chain)]
    with suppress(ImportError, ValueError):
        cls = get_filesystem_class(name)
        for link in chain:
            if link.cls is cls:
                return f"{link.protocol!r}, as in the URL"
    near = difflib.get_close_matches(name, links, n=1, cutoff=0.5)
    if near and name not in available_protocols():
        return repr(near[0])
    return f"one of the links of this chain: {', '.join(map(repr, links))}"
