"""Parsing and validation of URLs and chains of URLs.

Knows fsspec's registry and its rules for URLs. Creates no filesystem and does no I/O.
"""

from __future__ import annotations

import difflib
import inspect
import re
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from fsspec.registry import available_protocols, get_filesystem_class, registry

from ..errors import StoreURLError
from .redaction import public_url

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = [
    "BUCKET_PROTOCOLS",
    "SCHEME",
    "WEB_PROTOCOLS",
    "is_layer",
    "links_of",
    "named_options",
    "protocol_of",
    "protocols",
    "suggested_url",
]

#: Protocols whose URLs start with a bucket or container.
BUCKET_PROTOCOLS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})

WEB_PROTOCOLS = frozenset({"http", "https"})

#: The beginning of a URL whose colon is missing, or of which pathlib has left one slash.
_NO_URL = re.compile(r"([a-z0-9]+)(?::|//)/?(.*)", re.DOTALL)

#: A scheme, its slashes if there are any, and the rest.
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(//)?(.*)", re.DOTALL)

#: Cache of `named_options`: most of the time to create a store is spent in reading signatures.
_named_options: WeakKeyDictionary[type[Any], frozenset[str]] = WeakKeyDictionary()

_NEXT_LINK = re.compile(r"::([A-Za-z][A-Za-z0-9+.\-]*)://")

#: ARN of a bucket. The ARN of an access point has an account number before the name.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-arn-format.html
_BUCKET_ARN = re.compile(r"arn:aws[\w\-]*:s3:::(.*)", re.DOTALL)

#: Layers to suggest for a misspelt name. Shorter names are similar to too many words.
_LONG_LAYERS = ("blockcache", "cached", "filecache", "libarchive", "reference", "simplecache")


def links_of(text: str) -> list[str]:
    """The links of a URL or chain, outermost first, in fsspec's form.

    A ``::`` splits only after the protocol of a layer on another filesystem. Elsewhere it is part
    of a name: of an access point, an IPv6 address or a folder. Raises `StoreURLError` when it is
    invalid or a protocol is unknown, and ``ImportError`` when the library of a protocol before a
    ``::`` is not installed.
    """
    _check_text(text)
    links = []
    rest = text
    while True:
        head, separator, tail = rest.partition("::")
        if not separator or not _is_layer_link(head):
            break
        links.append(head if "://" in head else head + "://")
        rest = tail
    if links and re.fullmatch("[a-z]+", rest):
        # fsspec interprets a single word as a protocol.
        _check_protocol(rest, text, f"; for a file of that name write ./{rest}")
        rest += "://"
    if links and not rest:
        raise StoreURLError(
            f"{public_url(text)!r} ends with '::': a URL or a path must follow",
            url=public_url(text),
        )
    _check_last_link(rest, text)
    links.append(rest)
    for link in links:
        _check_link(link, text)
    return links


def protocol_of(link: str) -> str:
    """The protocol of one link; ``file`` for every path."""
    name, slashes, _ = link.partition("://")
    # A single letter is a drive of Windows.
    if slashes and len(name) > 1 and not link.startswith(("/", ".", "~")):
        return name
    return "data" if link.startswith("data:") else "file"


def protocols(fs: AbstractFileSystem) -> tuple[str, ...]:
    """The protocol names of a filesystem, the usual one first."""
    if any(cls.__module__ == "fsspec.implementations.http" for cls in type(fs).__mro__):
        # Some versions of fsspec set the class attribute to the last requested protocol.
        return ("http", "https")
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def is_layer(cls: type[AbstractFileSystem]) -> bool:
    """Whether a class is a layer on another filesystem, as the links of a chain are."""
    return not named_options(cls).isdisjoint({"fo", "target_protocol"})


def named_options(cls: type[AbstractFileSystem]) -> frozenset[str]:
    """The parameters of the constructors of a class and its bases."""
    known = _named_options.get(cls)
    if known is None:
        found: set[str] = set()
        for base in cls.__mro__:
            if "__init__" in vars(base) and base is not object:
                found.update(inspect.signature(vars(base)["__init__"]).parameters)
        known = frozenset(found - {"self", "args", "kwargs", "storage_options"})
        _named_options[cls] = known
    return known


def suggested_url(path: str) -> str | None:
    """A URL to suggest in place of a relative path; ``None`` if there is none.

    It is ``s3://bucket/x`` for ``bucket/x``, ``arn:aws:s3:::bucket/x``, and ``s3:/bucket/x``, to
    which pathlib changes the URL.
    """
    arn = _BUCKET_ARN.fullmatch(path)
    if arn:
        return f"s3://{arn[1]}"
    if path.startswith("arn:"):
        return f"s3://{path}"
    match = SCHEME.fullmatch(path)
    if match and match[1] in available_protocols():
        return f"{match[1]}://{match[3].lstrip('/')}"
    # Other characters are not valid in the name of a bucket.
    return f"s3://{path}" if re.match(r"[a-z0-9][a-z0-9.\-]{0,62}(/|$)", path) else None


def _is_layer_link(link: str) -> bool:
    name, slashes, _ = link.partition("://")
    if not slashes and not re.fullmatch(r"[a-z0-9_]+", link):
        return False
    known = name in registry or name in available_protocols()
    return known and is_layer(get_filesystem_class(name))


def _check_text(text: str) -> None:
    if not text.strip():
        raise StoreURLError(f"a URL must name a bucket, a server or a folder, got {text!r}")
    if "\0" in text:
        raise StoreURLError(f"a URL must not contain NUL, got {public_url(text.strip())!r}")
    bare = text.strip()
    if bare != text:
        where = "begins" if text[0].isspace() else "ends"
        before, _, after = text.partition(bare)
        raise StoreURLError(
            f"the URL {before + public_url(bare) + after!r} {where} with white space; a folder "
            "with such a name is given as a pathlib.Path",
            url=public_url(bare),
        )


def _check_last_link(link: str, text: str) -> None:
    """Raise for a link that contains another link after something that is not a layer."""
    head, separator, _ = link.partition("::")
    if not separator:
        return
    is_word = re.fullmatch(r"\w+", head) is not None
    follows = _NEXT_LINK.search(link)
    if is_word and head not in available_protocols():
        near = difflib.get_close_matches(head.lower(), _LONG_LAYERS, n=1, cutoff=0.8)
        if near or follows:
            _reject_protocol(head, text, f"; did you mean {near[0]}::?" if near else "")
    if follows and (follows[1] in registry or follows[1] in available_protocols()):
        raise StoreURLError(
            f"{public_url(text)!r} has {follows[1]}:// after '::', but the part before it is not "
            "a layer on another filesystem; a chain starts with the layer: "
            "simplecache::s3://bucket/path, zip://inside::s3://bucket/archive.zip",
            url=public_url(text),
        )


def _check_link(link: str, text: str) -> None:
    if link != link.strip():
        raise StoreURLError(
            f"{public_url(text)!r} has white space before or after '::'", url=public_url(text)
        )
    protocol = protocol_of(link)
    match = _NO_URL.fullmatch(link)
    if protocol != "file":
        _check_protocol(protocol, text)
    elif match and match[1] in BUCKET_PROTOCOLS | WEB_PROTOCOLS:
        # fsspec would open a local file of that name.
        meant = public_url(f"{match[1]}://{match[2].lstrip('/')}")
        raise StoreURLError(f"{public_url(text)!r} is not a URL: write {meant}")
    if protocol not in BUCKET_PROTOCOLS:
        return
    rest = link.partition("://")[2]
    if not rest.strip("/"):
        raise StoreURLError(f"{public_url(text)!r} names no bucket", url=public_url(text))
    arn = _BUCKET_ARN.fullmatch(rest)
    if arn:
        raise StoreURLError(
            f"{public_url(text)!r} has a bucket's ARN in place of its name: write s3://{arn[1]}",
            url=public_url(text),
        )


def _check_protocol(protocol: str, text: str, advice: str = "") -> None:
    if protocol in registry or protocol in available_protocols():
        return
    near = difflib.get_close_matches(protocol.lower(), available_protocols(), n=1)
    advice = f"; did you mean {near[0]}://?" if near else advice
    _reject_protocol(protocol, text, f": no installed package adds it to fsspec{advice}")


def _reject_protocol(protocol: str, text: str, advice: str) -> None:
    if not re.fullmatch(r"[\w+.\-/ ]+", protocol):
        # It may contain a user name and a password.
        raise StoreURLError("a URL starts with its protocol: the text before '://' is not one")
    raise StoreURLError(
        f"unknown protocol {protocol!r} in {public_url(text)!r}{advice}", url=public_url(text)
    )
