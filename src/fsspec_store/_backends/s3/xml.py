"""Parses and writes the XML of S3: pages of listings, errors and bulk deletes.

Pure functions, no I/O. A document is parsed as a whole or raises ValueError: a truncated one, or
one with another root, is never returned as a shorter result. Elements are those of the S3 API
Reference, and of services that add to them.

Pages of listings have a fast path. A regular expression that spells out every tag extracts entries
in the usual form, and an XML parser reads the rest. If any entry has another form, the parser reads
the whole page. The expression matches nothing that the parser would reject or read differently.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from ..._http.parsing import parse_xml
from ..listed_details import etag, iso_time
from ..pages import Details

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from xml.etree.ElementTree import Element

__all__ = [
    "MAX_ERROR_BYTES",
    "ListPage",
    "delete_body",
    "is_missing_key",
    "last_name",
    "parse_copy",
    "parse_delete",
    "parse_error",
    "parse_list",
]

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_LIST = "ListBucketResult"

#: In another encoding, or with a namespace prefix, the expression could match something else.
_FAST_START = re.compile(
    rf'(?:<\?xml version="1\.0" encoding="(?i:utf-8)" ?\?>\s*)?<{_LIST}[ >]'
).match


def _object_pattern(*, details: bool) -> re.Pattern[str]:
    """The pattern of an entry. Its groups are the key and the size.

    With ``details``, LastModified and ETag are groups before the size and after it.
    """
    word, line, quotes = "[0-9A-Za-z:._+/=-]*+", "[ -%'-;=?-~]*+", '(?:&quot;|&#34;|")?+'
    text = "[0-9A-Za-z:._+/=-]++"
    texts = {
        "LastModified": f"({text})" if details else word,
        "ETag": f"({quotes}{text}{quotes})" if details else quotes + word + quotes,
        "StorageClass": word,
        "ChecksumAlgorithm": word,
        "ChecksumType": word,
        # Extensions of Ceph and Google.
        "Type": word,
        "Generation": word,
        "MetaGeneration": word,
    }
    further = "|".join(f"<{name}>{value}</{name}>" for name, value in texts.items())
    owner = f"<Owner>(?:<ID>{line}</ID>|<DisplayName>{line}</DisplayName>|<DisplayName/>)*+</Owner>"
    rest = f"(?:{further}|{owner})*+"
    return re.compile(
        f"<Contents><Key>([^<]*+)</Key>{rest}<Size>([0-9]{{1,19}}+)</Size>{rest}</Contents>"
    )


_OBJECT = _object_pattern(details=False)
_DETAILED_OBJECT = _object_pattern(details=True)
_PREFIX = re.compile("<CommonPrefixes><Prefix>([^<]*+)</Prefix></CommonPrefixes>")

#: Characters that XML 1.0 excludes ("Extensible Markup Language (XML) 1.0", 2.2).
_NO_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]").search
_REFERENCE = re.compile("&(?:#x([0-9A-Fa-f]{1,6});|#([0-9]{1,7});|([a-z]{2,4});)?")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
#: Markup, and characters that parsers normalise (the same, 2.11).
_TO_ESCAPE = re.compile("[&<>\t\n\r\x7f-\x9f\u2028]")
_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

#: Maximum size of an error body in bytes.
MAX_ERROR_BYTES = 64 * 2**10
#: Maximum size of a page for the fast path: the expression holds the GIL until it has finished.
_MAX_FAST_BYTES = 8 * 2**20

_SIZE = re.compile("[0-9]{1,19}").fullmatch
_MISSING_KEY = re.compile(
    rb'(?:<\?xml version="1\.0" encoding="UTF-8"\?>\s*)?<Error(?: xmlns="[^"<>&\0]*")?>\s*'
    rb"<Code>NoSuchKey</Code>(?:\s*<([A-Za-z]+)>[^<>&\0]*</\1>)*\s*</Error>\s*"
).fullmatch
#: Elements of errors that may repeat credentials or signatures of a request.
_SECRET = re.compile(
    "accesskey|authorization|canonical|credential|sign|token", re.IGNORECASE
).search


class ListPage(NamedTuple):
    """A page of a listing: keys with sizes in bytes, and common prefixes that end in ``/``.

    A size is ``None`` where the service omits it.
    """

    objects: list[tuple[str, int | None]]
    prefixes: list[str]
    #: Token of the next page; ``None`` on the last page.
    next_token: str | None
    #: Whether the response is of ListObjects, version 1, and the token a marker.
    is_version_1: bool = False
    #: The prefix that the response states; ``""`` if it states none.
    prefix: str = ""
    #: By key, if requested.
    details: Mapping[str, Details] = MappingProxyType({})


def parse_list(body: bytes, *, details: bool = False) -> ListPage:
    """Parse a page of ListObjectsV2 or ListObjects.

    A truncated page of ListObjects has no token. The next page begins after its ``NextMarker``,
    which services may omit, or else after its last name (S3 API Reference, "ListObjects").

    Keys are percent-decoded if the response states it: ``encoding-type=url`` in a request returns
    keys with characters that XML cannot represent, and some services ignore it.

    Raises ``ValueError`` for a body that is not a page, and for a truncated page without a token.
    """
    if len(body) <= _MAX_FAST_BYTES:
        try:
            return _fast_page(body, details)
        except ValueError:
            # The page has another form, or is invalid.
            pass
    return _parsed_page(body, details)


def is_missing_key(body: bytes) -> bool:
    """Whether a body is an error ``NoSuchKey`` without nested elements, as services send it.

    False for other forms of the same error. `parse_error` takes ten times as long.
    """
    return len(body) <= MAX_ERROR_BYTES and _MISSING_KEY(body) is not None


def parse_error(body: bytes) -> dict[str, str]:
    """Elements of an error by name (``Code``, ``Message``, ...); empty for any other body.

    Elements that may repeat credentials or signatures of the request are left out.
    """
    if len(body) > MAX_ERROR_BYTES:
        return {}
    try:
        return _fields(_document(body, "Error"))
    except ValueError:
        return {}


def delete_body(keys: Iterable[str]) -> bytes:
    """The body of a DeleteObjects request whose response names only the keys not deleted.

    Raises ``ValueError``, which names the key, for characters that XML cannot represent.
    """
    objects = [f"<Object><Key>{_escaped(key)}</Key></Object>" for key in keys]
    return (f'<Delete xmlns="{_NAMESPACE}"><Quiet>true</Quiet>{"".join(objects)}</Delete>').encode()


def parse_delete(body: bytes) -> list[dict[str, str]]:
    """The keys that DeleteObjects did not delete: ``Key``, ``Code`` and ``Message`` of each."""
    root = _document(body, "DeleteResult")
    return [_fields(child) for child in root if _name(child) == "Error"]


def parse_copy(body: bytes, root: str) -> dict[str, str]:
    """Elements of the result of a copy by name, such as ``ETag``."""
    found = _fields(_document(body, root))
    if "ETag" not in found:
        raise ValueError(f"the {root} has no ETag")
    return found


def _fast_page(body: bytes, details: bool = False) -> ListPage:
    """The page by the fast path; ValueError for pages that need the parser."""
    text = body.decode()
    if not _FAST_START(text):
        raise ValueError("only the parser reads this form")
    if details:
        pattern = _DETAILED_OBJECT
        rest, (keys, *before, sizes, modified, etags) = _cut(text, pattern, "<Contents/>")
        modified, etags = (
            [after or first or "" for first, after in zip(*both, strict=True)]
            for both in zip(before, (modified, etags), strict=True)
        )
    else:
        rest, (keys, sizes) = _cut(text, _OBJECT, "<Contents/>")
        modified = etags = []
    rest, (prefixes,) = _cut(rest, _PREFIX, "<CommonPrefixes/>")
    root = _document(rest.encode(), _LIST)
    for name, run in (("Contents", keys), ("CommonPrefixes", prefixes)):
        # The placeholder is the only entry left, and a child of the root, not in CDATA.
        if [len(child) for child in root if _name(child) == name] != [0] * bool(run):
            raise ValueError("only the parser reads this form")
    page = _page(root, _character_data(keys), map(int, sizes), _character_data(prefixes))
    return _with_details(page, modified, _character_data(etags)) if details else page


def _parsed_page(body: bytes, details: bool = False) -> ListPage:
    root = _document(body, _LIST)
    objects = [child for child in root if _name(child) == "Contents"]
    common = [child for child in root if _name(child) == "CommonPrefixes"]
    page = _page(
        root,
        [_child(item, "Key") for item in objects],
        [_listed_size(item) for item in objects],
        [_child(item, "Prefix") for item in common],
    )
    if not details:
        return page
    modified, etags = (
        [_last_text(item, name) for item in objects] for name in ("LastModified", "ETag")
    )
    return _with_details(page, modified, etags)


def _with_details(page: ListPage, modified: list[str], etags: list[str]) -> ListPage:
    found = {
        key: Details(iso_time(time), etag(tag))
        for (key, _), time, tag in zip(page.objects, modified, etags, strict=True)
    }
    return page._replace(details=found)


def _listed_size(item: Element) -> int | None:
    size = _child(item, "Size", default="")
    if size and not _SIZE(size):
        raise ValueError(f"the listing has an invalid size: {size[:40]!r}")
    return int(size) if size else None


def _page(
    root: Element, keys: list[str], sizes: Iterable[int | None], prefixes: list[str]
) -> ListPage:
    encoding = _child(root, "EncodingType", default="")
    if encoding == "url":
        keys, prefixes = _unquoted(keys), _unquoted(prefixes)
    elif encoding:
        raise ValueError(f"the listing has an unknown EncodingType: {encoding[:40]!r}")
    truncated = _child(root, "IsTruncated")
    if truncated not in ("true", "false"):
        raise ValueError(f"the listing has an invalid IsTruncated: {truncated[:40]!r}")
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
        raise ValueError("the listing is truncated, and has no token for the next page")
    return page._replace(next_token=marker, is_version_1=True)


def last_name(objects: list[tuple[str, int | None]], prefixes: list[str]) -> str:
    """The last name of a page in the order of S3's listings; ``""`` for an empty page."""
    return max([*(key for key, _ in objects[-1:]), *prefixes[-1:]], key=str.encode, default="")


def _cut(text: str, pattern: re.Pattern[str], placeholder: str) -> tuple[str, list[list[str]]]:
    """`text` with one run of matches replaced by `placeholder`, and each group's matches."""
    parts = pattern.split(text)
    step = pattern.groups + 1
    if any(parts[step:-1:step]):
        raise ValueError("only the parser reads this form")
    rest = text if len(parts) == 1 else parts[0] + placeholder + parts[-1]
    return rest, [parts[group::step] for group in range(1, step)]


def _character_data(raw: list[str]) -> list[str]:
    """Texts as the parser would return them; ValueError where the parser is needed."""
    text = "".join(raw)
    # A parser normalises CR and CRLF to LF.
    if not text.isprintable() and ("\r" in text or _NO_CHARACTER(text)):
        raise ValueError("only the parser reads this form")
    if "]]>" in text:
        raise ValueError("only the parser reads this form")
    if "&" not in text:
        return raw
    return [_REFERENCE.sub(_resolve_reference, item) if "&" in item else item for item in raw]


def _resolve_reference(match: re.Match[str]) -> str:
    hexadecimal, decimal, name = match.groups()
    if hexadecimal or decimal:
        character = chr(int(hexadecimal, 16) if hexadecimal else int(decimal))
        if not _NO_CHARACTER(character):
            return character
    elif name in _ENTITIES:
        return _ENTITIES[name]
    raise ValueError("only the parser reads this form")


def _unquoted(names: list[str]) -> list[str]:
    """Percent-decoded names; some services write a space as ``+``."""
    text = "\n".join(names)
    if "%" not in text and "+" not in text:
        return names
    if text.count("\n") == len(names) - 1 and "%0" not in text:
        # One call for all: no name contains a line feed, quoted or not.
        return unquote_plus(text).split("\n")
    return [unquote_plus(name) for name in names]


def _escaped(text: str) -> str:
    if _NO_CHARACTER(text):
        raise ValueError(f"XML cannot represent the key {text!r}")
    return _TO_ESCAPE.sub(lambda match: _ESCAPED.get(match[0]) or f"&#{ord(match[0])};", text)


def _document(body: bytes, name: str) -> Element:
    """The root element of a document; ValueError unless it has this name."""
    # A DTD could define entities that expand to gigabytes. A NUL shows an encoding with more than
    # one byte per ASCII character, in which the search for a DTD finds nothing.
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body or b"\0" in body:
        raise ValueError("XML with a document type, or in UTF-16 or UTF-32, is not supported")
    try:
        root = parse_xml(body)
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"the response is not XML: {error}") from error
    found = _name(root)
    if found != name:
        if found == "Error":
            found = f"Error {_fields(root).get('Code', '')}".rstrip()
        raise ValueError(f"the response is not a {name}, but {found[:60]!r}")
    return root


def _name(element: Element) -> str:
    """An element's name without its namespace, in which services differ."""
    return element.tag.rpartition("}")[2]


def _child(parent: Element, name: str, *, default: str | None = None) -> str:
    """The text of the only child of that name; `default` without such a child."""
    found = [child for child in parent if _name(child) == name]
    if not found and default is not None:
        return default
    if len(found) != 1 or len(found[0]):
        raise ValueError(f"{_name(parent)} does not have exactly one {name} with text only")
    return found[0].text or ""


def _last_text(parent: Element, name: str) -> str:
    """The text of the last child of that name that has one; ``""`` if there is none."""
    texts = [child.text for child in parent if child.text and _name(child) == name]
    return texts[-1] if texts else ""


def _fields(parent: Element) -> dict[str, str]:
    """Texts of children by name, without those that may contain secrets."""
    found = {_name(child): child.text for child in parent if not len(child) and child.text}
    if _SECRET(found.get("ArgumentName", "")):
        found.pop("ArgumentValue", None)
    return {name: text for name, text in found.items() if not _SECRET(name)}
