"""A place that the user names: its URL, the options of its filesystem, and the store there."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from urllib.parse import unquote

import typer

from .._core.redaction import public_url, request_secrets, secret_options
from .help import ACCESS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .. import FsspecStore

__all__ = [
    "KeyAt",
    "Place",
    "place_at",
    "place_parameters",
    "share_options",
    "shared_parameters",
]

_S3 = ("s3", "s3a")
_GOOGLE = ("gs", "gcs")
_AZURE = ("abfs", "abfss", "az")
_LOCAL = ("file", "local", "memory")
#: Protocol to the storage option for anonymous access.
_ANONYMOUS: dict[str, tuple[str, Any]] = {
    **dict.fromkeys(_S3 + _AZURE, ("anon", True)),
    **dict.fromkeys(_GOOGLE, ("token", "anon")),
}
#: What has the effect of a shortcut where its option does not exist, by protocol.
_INSTEAD = {
    ("endpoint-url", _AZURE): "connection_string=... or account_host=...",
    ("profile", _GOOGLE): "token=FILE (a key of a service account)",
    ("profile", _AZURE): "connection_string=...",
}
#: Layers whose paths are those of the filesystem below.
_CACHES = ("blockcache", "cached", "filecache", "simplecache")


class KeyAt(NamedTuple):
    """A key, and the place whose key it is."""

    place: Place
    key: str


@dataclass(frozen=True)
class Place:
    """A URL and the storage options of its filesystem.

    Attributes
    ----------
    url : str
        Any URL, chain or path of fsspec.
    options : mapping
        Storage options, beside those of the environment and of fsspec's configuration.
    """

    url: str
    options: Mapping[str, Any]

    @property
    def shown(self) -> str:
        """The URL without any secret."""
        return public_url(self.url)

    def secrets(self) -> set[str]:
        """Texts of the URL and the options that are never printed."""
        return secret_options(self.options) | request_secrets(self.url, {})

    def open(self, *, read_only: bool = True) -> FsspecStore:
        """The store at the URL."""
        from .. import FsspecStore

        return FsspecStore.from_url(self.url, self.options, read_only=read_only)

    def split(self, *, is_prefix: bool = False) -> KeyAt:
        """The URL as the key after the last ``/``, and the place above it.

        Parameters
        ----------
        is_prefix : bool, optional
            Whether the URL is one of a prefix, which may end in ``/``.

        Raises
        ------
        StoreURLError
            When the URL is invalid, or names no key: a bucket, or a URL that ends in ``/``.
        """
        from .._core.urls import BUCKET_PROTOCOLS, SCHEME, WEB_PROTOCOLS, links_of, protocol_of
        from ..errors import StoreURLError

        links = links_of(self.url)
        index = 0
        while index < len(links) - 1 and protocol_of(links[index]) in _CACHES:
            index += 1
        protocol = protocol_of(links[index])
        parts = SCHEME.fullmatch(links[index]) if "://" in links[index] else None
        scheme, path = (f"{parts[1]}://", parts[3]) if parts else ("", links[index])
        query = ""
        if protocol in WEB_PROTOCOLS:
            path, question, query = path.partition("?")
            query = question + query
        if is_prefix:
            path = path.rstrip("/")
        above, slash, key = path.rpartition("/")
        needs_root = protocol in BUCKET_PROTOCOLS | WEB_PROTOCOLS
        if not key or (needs_root and not above):
            reason = (
                "it ends in '/'" if path.endswith("/") else "add '/' and the key after the bucket"
            )
            raise StoreURLError(f"{self.shown!r} names no key: {reason}")
        if above.endswith("/"):
            raise StoreURLError(f"{self.shown!r} has an empty name before the last '/'")
        if not scheme:
            above = above or slash or "."
        elif protocol == "file":
            above = above or slash
        if protocol in WEB_PROTOCOLS:
            key = unquote(key)
        links[index] = scheme + above + query
        return KeyAt(Place("::".join(links), self.options), key)


#: Name of the options that two places share.
_BOTH = "both"


def place_parameters(name: str) -> list[inspect.Parameter]:
    """The parameters of a command for the place of this name, in order.

    Those of ``place`` are ``URL``, ``--option``, ``--anon``, ...; those of another name start with
    it: ``SRC``, ``--src-option``, ``--src-anon``. `place_at` reads their values.
    """
    is_only = name == "place"
    url = Annotated[
        str,
        typer.Argument(metavar="URL" if is_only else name.upper(), help="Any URL or path."),
    ]
    return [
        inspect.Parameter(f"{name}_url", inspect.Parameter.KEYWORD_ONLY, annotation=url),
        *_option_parameters(name, "--" if is_only else f"--{name}-"),
    ]


def shared_parameters() -> list[inspect.Parameter]:
    """``--option``, ``--anon``, ... of a command with two places; see `share_options`."""
    return _option_parameters(_BOTH, "--")


def _option_parameters(name: str, dashed: str) -> list[inspect.Parameter]:
    def option(kind: Any, text: str, *names: str, **extra: Any) -> Any:
        return Annotated[kind, typer.Option(*names, help=text, rich_help_panel=panel, **extra)]

    panel = ACCESS if dashed == "--" else f"{ACCESS} to {name.upper()} only"
    keyword = inspect.Parameter.KEYWORD_ONLY
    texts = option(
        list[str] | None,
        "A storage option of the filesystem; the value is JSON or text. Repeatable.",
        *(f"{dashed}option", *(("-o",) if dashed == "--" else ())),
        metavar="KEY=VALUE",
    )
    flag = option(bool, "Send no credentials.", f"{dashed}anon")
    endpoint = option(
        str | None, "URL of the service (S3, Google).", f"{dashed}endpoint-url", metavar="URL"
    )
    profile = option(
        str | None, "A profile of AWS's files (S3).", f"{dashed}profile", metavar="NAME"
    )
    return [
        inspect.Parameter(f"{name}_options", keyword, annotation=texts, default=None),
        inspect.Parameter(f"{name}_anon", keyword, annotation=flag, default=False),
        inspect.Parameter(f"{name}_endpoint_url", keyword, annotation=endpoint, default=None),
        inspect.Parameter(f"{name}_profile", keyword, annotation=profile, default=None),
    ]


def share_options(names: Sequence[str], values: dict[str, Any]) -> None:
    """Give the values of `shared_parameters`, which are removed, to the places that take them.

    A place's own option precedes. A storage option is for all places that are no local files.
    """
    protocols = {name: _protocol(values[f"{name}_url"]) for name in names}
    flags = ", ".join(f"--{name}-option" for name in names)
    for option, takes in (
        ("anon", tuple(_ANONYMOUS)),
        ("endpoint_url", _S3 + _GOOGLE),
        ("profile", _S3),
    ):
        value = values.pop(f"{_BOTH}_{option}")
        if not value:
            continue
        given = [name for name, protocol in protocols.items() if protocol in takes]
        if not given:
            raise typer.BadParameter(
                f"no URL has such an option; storage options are given by {flags}",
                param_hint=f"--{option.replace('_', '-')}",
            )
        for name in given:
            values[f"{name}_{option}"] = values[f"{name}_{option}"] or value
    texts = values.pop(f"{_BOTH}_options")
    if texts:
        given = [name for name, protocol in protocols.items() if protocol not in _LOCAL]
        if len({protocols[name] for name in given}) != 1:
            raise typer.BadParameter(f"say which URL it is for: {flags}", param_hint="--option")
        for name in given:
            # The last one of a key is used.
            values[f"{name}_options"] = [*texts, *(values[f"{name}_options"] or ())]


def place_at(name: str, values: dict[str, Any]) -> Place:
    """The place of this name; its parameters are removed from the values."""
    url: str = values.pop(f"{name}_url")
    flag = "--" if name == "place" else f"--{name}-"
    options: dict[str, Any] = {}
    for text in values.pop(f"{name}_options") or ():
        key, separator, value = text.partition("=")
        if not key or not separator:
            # The text may be a secret.
            raise typer.BadParameter("must be KEY=VALUE", param_hint=f"{flag}option")
        options[key] = _json_or_text(value)
    protocol = _protocol(url)
    shortcuts: dict[str, tuple[str, Any] | None] = {}
    if values.pop(f"{name}_anon"):
        shortcuts["anon"] = _ANONYMOUS.get(protocol)
    endpoint_url = values.pop(f"{name}_endpoint_url")
    if endpoint_url is not None:
        is_known = protocol in _S3 + _GOOGLE
        shortcuts["endpoint-url"] = ("endpoint_url", endpoint_url) if is_known else None
    profile = values.pop(f"{name}_profile")
    if profile is not None:
        shortcuts["profile"] = ("profile", profile) if protocol in _S3 else None
    # The options of the last link of a chain are a mapping at its protocol.
    target = options
    if shortcuts and "::" in url and not url.startswith(("http:", "https:")):
        target = options.setdefault(protocol, {})
    for shortcut, option in shortcuts.items():
        if option is None:
            instead = f"use {flag}option {_instead(shortcut, protocol)}"
            raise typer.BadParameter(
                f"{protocol}:// has no such option; {instead}", param_hint=flag + shortcut
            )
        if target.setdefault(*option) != option[1]:
            raise typer.BadParameter(
                f"{option[0]!r} is also given by {flag}option", param_hint=flag + shortcut
            )
    return Place(url, options)


def _instead(shortcut: str, protocol: str) -> str:
    for (name, protocols), option in _INSTEAD.items():
        if name == shortcut and protocol in protocols:
            return option
    return "for an option of its filesystem"


def _protocol(url: str) -> str:
    """The protocol of the last link of a URL, ``file`` for a path."""
    scheme, slashes, _ = url.rpartition("::")[2].partition("://")
    return scheme if slashes else "file"


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
