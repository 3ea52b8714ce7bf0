"""The XML documents of S3: pages of keys, errors and bulk deletes.

Pure functions between bytes and values, no I/O. A document is read as a whole or refused with
ValueError: what was cut off, or is another document, never passes for a shorter answer. Elements
are those of the S3 API Reference, and of services that add to them.

Pages are most of what is ever read. Their plain elements are taken out by a regular expression
that spells out every tag, and only what remains goes through a parser. Whatever is not in the
plain form remains as well, and then the parser reads the whole page. The expression takes nothing
that the parser would refuse or read otherwise.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from ..parsing import parse_xml

if TYPE_CHECKING:
    from collections.abc import Iterable
    from xml.etree.ElementTree import Element

__all__ = [
    "MAX_ERROR_BYTES",
    "ListPage",
    "delete_body",
    "last_name",
    "parse_delete",
    "parse_error",
    "parse_list",
]

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_LIST = "ListBucketResult"

#: In any other encoding, or behind a prefix, what looks like a plain element may be something else.
_PLAIN_START = re.compile(
    rf'(?:<\?xml version="1\.0" encoding="(?i:utf-8)" ?\?>\s*)?<{_LIST}[ >]'
).match


def _plain_object() -> re.Pattern[str]:
    word, line, quotes = "[0-9A-Za-z:._+/=-]*+", "[ -%'-;=?-~]*+", '(?:&quot;|&#34;|")?+'
    texts = {
        "LastModified": word,
        "ETag": quotes + word + quotes,
        "StorageClass": word,
        "ChecksumAlgorithm": word,
        "ChecksumType": word,
        # Ceph's, and Google's.
        "Type": word,
        "Generation": word,
        "MetaGeneration": word,
    }
    further = "|".join(f"<{name}>{text}</{name}>" for name, text in texts.items())
    owner = f"<Owner>(?:<ID>{line}</ID>|<DisplayName>{line}</DisplayName>|<DisplayName/>)*+</Owner>"
    rest = f"(?:{further}|{owner})*+"
    return re.compile(
        f"<Contents><Key>([^<]*+)</Key>{rest}<Size>([0-9]{{1,19}}+)</Size>{rest}</Contents>"
    )


_OBJECT = _plain_object()
_PREFIX = re.compile("<CommonPrefixes><Prefix>([^<]*+)</Prefix></CommonPrefixes>")

#: No characters of XML 1.0 ("Extensible Markup Language (XML) 1.0", 2.2).
_NO_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]").search
_REFERENCE = re.compile("&(?:#x([0-9A-Fa-f]{1,6});|#([0-9]{1,7});|([a-z]{2,4});)?")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
#: What a parser would take for markup, or for another character (the same, 2.11).
_TO_ESCAPE = re.compile("[&<>\t\n\r\x7f-\x9f\u2028]")
_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

#: Maximum size of an error: one has a message, and a few elements beside it.
MAX_ERROR_BYTES = 64 * 2**10
#: Longer pages are no usual ones. The expression would hold up all threads until it has seen them.
_MAX_PLAIN_BYTES = 8 * 2**20

_SIZE = re.compile("[0-9]{1,19}").fullmatch
#: Elements of errors that repeat what a request was let in by.
_SECRET = re.compile(
    "accesskey|authorization|canonical|credential|sign|token", re.IGNORECASE
).search


class ListPage(NamedTuple):
    """A page of a listing: keys with their sizes in bytes, and common prefixes with their ``/``.

    A size is ``None`` where the service lists none.
    """

    objects: list[tuple[str, int | None]]
    prefixes: list[str]
    #: Asks for the page after this one; ``None`` on the last.
    next_token: str | None
    #: Whether the page is one of ListObjects, version 1, and the token its marker.
    is_version_1: bool = False


def parse_list(body: bytes) -> ListPage:
    """A page of ListObjectsV2, or of ListObjects.

    A truncated page of ListObjects has no token. The next page begins after its ``NextMarker``,
    which services may leave out, or else after its last name (S3 API Reference, "ListObjects").

    With ``encoding-type=url`` in the request, keys that XML cannot carry come through; an answer
    says whether the service took notice, and is read accordingly.

    Raises
    ------
    ValueError
        For a body that is no page, and for a page that has another after it and does not say how
        to get there.
    """
    if len(body) <= _MAX_PLAIN_BYTES:
        try:
            return _plain_page(body)
        except ValueError:
            # Either no plain page, or no page.
            pass
    return _parsed_page(body)


def parse_error(body: bytes) -> dict[str, str]:
    """Elements of an error by name (``Code``, ``Message``, ...); empty for any other body.

    Those that repeat a request's signature, or what it was made from, are left out.
    """
    if len(body) > MAX_ERROR_BYTES:
        return {}
    try:
        return _fields(_document(body, "Error"))
    except ValueError:
        return {}


def delete_body(keys: Iterable[str]) -> bytes:
    """The body of a DeleteObjects request whose answer names what was not deleted.

    Raises
    ------
    ValueError
        For a key, named in the message, with characters that no XML can carry.
    """
    found = [f"<Object><Key>{_escaped(key)}</Key></Object>" for key in keys]
    return (f'<Delete xmlns="{_NAMESPACE}"><Quiet>true</Quiet>{"".join(found)}</Delete>').encode()


def parse_delete(body: bytes) -> list[dict[str, str]]:
    """The keys that DeleteObjects did not delete: ``Key``, ``Code`` and ``Message`` of each.

    Raises
    ------
    ValueError
        For any other body.
    """
    root = _document(body, "DeleteResult")
    return [_fields(child) for child in root if _name(child) == "Error"]


def _plain_page(body: bytes) -> ListPage:
    """A page read the fast way; ValueError also for pages that only a parser can read."""
    text = body.decode()
    if not _PLAIN_START(text):
        raise ValueError("not the plain form")
    rest, (keys, sizes) = _cut(text, _OBJECT, "<Contents/>")
    rest, (prefixes,) = _cut(rest, _PREFIX, "<CommonPrefixes/>")
    root = _document(rest.encode(), _LIST)
    for name, run in (("Contents", keys), ("CommonPrefixes", prefixes)):
        # Nothing but the mark of what was cut, and that below the root: not in a comment or CDATA.
        if [len(child) for child in root if _name(child) == name] != [0] * bool(run):
            raise ValueError("not the plain form")
    return _page(root, _character_data(keys), map(int, sizes), _character_data(prefixes))


def _parsed_page(body: bytes) -> ListPage:
    root = _document(body, _LIST)
    objects = [child for child in root if _name(child) == "Contents"]
    common = [child for child in root if _name(child) == "CommonPrefixes"]
    return _page(
        root,
        [_child(item, "Key") for item in objects],
        [_listed_size(item) for item in objects],
        [_child(item, "Prefix") for item in common],
    )


def _listed_size(item: Element) -> int | None:
    size = _child(item, "Size", default="")
    if size and not _SIZE(size):
        raise ValueError(f"a size in a list of objects is {size[:40]!r}")
    return int(size) if size else None


def _page(
    root: Element, keys: list[str], sizes: Iterable[int | None], prefixes: list[str]
) -> ListPage:
    encoding = _child(root, "EncodingType", default="")
    if encoding == "url":
        keys, prefixes = _unquoted(keys), _unquoted(prefixes)
    elif encoding:
        raise ValueError(f"a list of objects has keys in an unknown encoding: {encoding[:40]!r}")
    truncated = _child(root, "IsTruncated")
    if truncated not in ("true", "false"):
        raise ValueError(f"IsTruncated of a list of objects is {truncated[:40]!r}")
    page = ListPage(list(zip(keys, sizes, strict=True)), prefixes, None)
    if truncated == "false":
        return page
    token = _child(root, "NextContinuationToken", default="")
    if token:
        return page._replace(next_token=token)
    marker = _child(root, "NextMarker", default="")
    if encoding:
        (marker,) = _unquoted([marker])
    if not marker and not _child(root, "KeyCount", default=""):
        marker = last_name(page.objects, prefixes)
    if not marker:
        raise ValueError("a list of objects is truncated, and has no token for the next page")
    return page._replace(next_token=marker, is_version_1=True)


def last_name(objects: list[tuple[str, int | None]], prefixes: list[str]) -> str:
    """The last name of a page in the order of S3's listings, ``""`` of an empty page."""
    return max([*(key for key, _ in objects[-1:]), *prefixes[-1:]], key=str.encode, default="")


def _cut(text: str, pattern: re.Pattern[str], mark: str) -> tuple[str, list[list[str]]]:
    """`text` with one run of matches replaced by `mark`, and each group's text in all of them."""
    parts = pattern.split(text)
    step = pattern.groups + 1
    if any(parts[step:-1:step]):
        raise ValueError("not the plain form")
    rest = text if len(parts) == 1 else parts[0] + mark + parts[-1]
    return rest, [parts[group::step] for group in range(1, step)]


def _character_data(raw: list[str]) -> list[str]:
    """What a parser would hand out; ValueError where it would refuse, or has to be asked."""
    text = "".join(raw)
    # A line may end in CR, LF or both, and always comes out as LF.
    if not text.isprintable() and ("\r" in text or _NO_CHARACTER(text)):
        raise ValueError("not the plain form")
    if "]]>" in text:
        raise ValueError("not the plain form")
    if "&" not in text:
        return raw
    return [_REFERENCE.sub(_referenced, item) if "&" in item else item for item in raw]


def _referenced(match: re.Match[str]) -> str:
    hexadecimal, decimal, name = match.groups()
    if hexadecimal or decimal:
        character = chr(int(hexadecimal, 16) if hexadecimal else int(decimal))
        if not _NO_CHARACTER(character):
            return character
    elif name in _ENTITIES:
        return _ENTITIES[name]
    raise ValueError("not the plain form")


def _unquoted(names: list[str]) -> list[str]:
    """Names as they were before a service quoted them; some write a space as ``+``."""
    text = "\n".join(names)
    if "%" not in text and "+" not in text:
        return names
    if text.count("\n") == len(names) - 1 and "%0" not in text:
        # All at once, as no other line feed can appear.
        return unquote_plus(text).split("\n")
    return [unquote_plus(name) for name in names]


def _escaped(text: str) -> str:
    if _NO_CHARACTER(text):
        raise ValueError(f"no XML document can carry {text!r}")
    return _TO_ESCAPE.sub(lambda match: _ESCAPED.get(match[0]) or f"&#{ord(match[0])};", text)


def _document(body: bytes, *names: str) -> Element:
    """The root of a document, which has to have one of the names."""
    # A document type could define entities that unfold to gigabytes. A NUL is in no document that
    # has an ASCII character to a byte: in others the look for a type would find nothing.
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body or b"\0" in body:
        raise ValueError("an XML document with a type, or in a wide encoding, is not read")
    try:
        root = parse_xml(body)
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"what came is no XML document: {error}") from error
    found = _name(root)
    if found not in names:
        if found == "Error":
            found = f"Error {_fields(root).get('Code', '')}".rstrip()
        raise ValueError(f"what came is no {names[0]}, but {found[:60]!r}")
    return root


def _name(element: Element) -> str:
    """An element's name, in whatever namespace: services differ."""
    return element.tag.rpartition("}")[2]


def _child(parent: Element, name: str, *, default: str | None = None) -> str:
    """The text of the one child of that name."""
    found = [child for child in parent if _name(child) == name]
    if not found and default is not None:
        return default
    if len(found) != 1 or len(found[0]):
        raise ValueError(f"{_name(parent)} has no {name}, several, or one that is no text")
    return found[0].text or ""


def _fields(parent: Element) -> dict[str, str]:
    """Texts of children by name, but for those that an error must not show."""
    found = {_name(child): child.text for child in parent if not len(child) and child.text}
    if _SECRET(found.get("ArgumentName", "")):
        found.pop("ArgumentValue", None)
    return {name: text for name, text in found.items() if not _SECRET(name)}
