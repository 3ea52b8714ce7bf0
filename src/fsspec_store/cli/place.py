"""A place that the user names: its URL, the options of its filesystem, and the store there."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from urllib.parse import unquote

import typer

from .._core.redaction import public_url, request_secrets, secret_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .. import FsspecStore

__all__ = ["KeyAt", "Place", "place_at", "place_parameters"]

_S3 = ("s3", "s3a")
_GOOGLE = ("gs", "gcs")
_AZURE = ("abfs", "abfss", "az")
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
            raise StoreURLError(f"{self.shown!r} names no key: write its URL to the last name")
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


def place_parameters(name: str) -> list[inspect.Parameter]:
    """The parameters of a command for the place of this name, in order.

    Those of ``place`` are ``URL``, ``--option``, ``--anon``, ...; those of another name start with
    it: ``SRC``, ``--src-option``, ``--src-anon``. `place_at` reads their values.
    """
    is_only = name == "place"
    dashed = "--" if is_only else f"--{name}-"
    short = ("-o",) if is_only else ()
    texts = Annotated[
        list[str] | None,
        typer.Option(
            *(f"{dashed}option", *short),
            metavar="KEY=VALUE",
            help="A storage option of the filesystem; the value is JSON or text. Repeatable.",
        ),
    ]
    url = Annotated[
        str,
        typer.Argument(metavar="URL" if is_only else name.upper(), help="Any URL or path."),
    ]
    flag = Annotated[bool, typer.Option(f"{dashed}anon", help="Send no credentials.")]
    endpoint = Annotated[
        str | None, typer.Option(f"{dashed}endpoint-url", help="URL of the service (S3, Google).")
    ]
    profile = Annotated[
        str | None, typer.Option(f"{dashed}profile", help="A profile of AWS's files (S3).")
    ]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(f"{name}_url", keyword, annotation=url),
        inspect.Parameter(f"{name}_options", keyword, annotation=texts, default=None),
        inspect.Parameter(f"{name}_anon", keyword, annotation=flag, default=False),
        inspect.Parameter(f"{name}_endpoint_url", keyword, annotation=endpoint, default=None),
        inspect.Parameter(f"{name}_profile", keyword, annotation=profile, default=None),
    ]


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
