"""Parsers for the XML, JSON and multipart bodies of services.

Large bodies are parsed in a thread. XML is passed to the parser in pieces, because the parser holds
Python's global interpreter lock until it returns. Does not know any service.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from xml.etree import ElementTree

from .._runtime.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Part", "parse_json", "parse_multipart", "parse_part", "parse_xml", "parsed"]

T = TypeVar("T")

#: Larger documents are parsed in a thread. A page of 1,000 keys has about 300 KiB.
_MAX_INLINE_BYTES = 512 * 2**10
#: Maximum size of a JSON document, which cannot be parsed in pieces. A page of 1,000 names of 1,024
#: characters, all of them escaped, has 6 MiB.
_MAX_JSON_BYTES = 16 * 2**20
#: Maximum size of a batch response. One for 256 requests has about 200 KiB.
_MAX_MULTIPART_BYTES = 4 * 2**20
#: Maximum number of parts of a batch response. The largest batch has 256 requests.
_MAX_PARTS = 1000
#: Maximum size of the headers of a part in bytes.
_MAX_HEAD = 64 * 2**10
_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_EMPTY_LINE = re.compile(rb"(?:\A|\n)\r?\n")
_PIECE_BYTES = 64 * 2**10
#: Maximum number of tags of an XML document. A page of 5,000 blobs with 50 properties and 100
#: entries of metadata each has 1,500,000.
_MAX_TAGS = 2_000_000


async def parsed(parse: Callable[[bytes], T], document: bytes) -> T:
    """Return ``parse(document)``, called in a thread for a large document."""
    if len(document) <= _MAX_INLINE_BYTES:
        return parse(document)
    return await in_thread(parse, document)


def parse_xml(document: bytes) -> ElementTree.Element:
    """Parse an XML document and return its root element.

    Raises ``ElementTree.ParseError`` or ``LookupError`` when the document is not XML or has an
    unknown encoding, has more than 2,000,000 tags, or has 64 KiB without a tag.
    """
    # Each element takes about 200 bytes of memory, and a tag is parsed without interruption.
    pieces = [document[i : i + _PIECE_BYTES] for i in range(0, len(document), _PIECE_BYTES)]
    tags = [piece.count(b"<") for piece in pieces]
    if not all(tags[:-1]):
        raise ElementTree.ParseError(f"{_PIECE_BYTES} bytes without a tag")
    if sum(tags) > _MAX_TAGS:
        raise ElementTree.ParseError(f"more than {_MAX_TAGS} tags")
    parser = ElementTree.XMLParser()
    for piece in pieces:
        parser.feed(piece)
    root: ElementTree.Element = parser.close()
    return root


def parse_json(document: bytes) -> dict[str, Any]:
    """Parse a JSON object; raise ``OSError`` for another document, or more than 16 MiB."""
    if len(document) > _MAX_JSON_BYTES:
        raise OSError(
            f"the service sent {len(document)} bytes of JSON, and at most {_MAX_JSON_BYTES} are "
            "parsed"
        )
    try:
        found = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise OSError(f"the response is not JSON: {type(error).__name__}: {error}") from None
    if not isinstance(found, dict):
        raise OSError(f"the response is not a JSON object, but a {type(found).__name__}")
    return found


class Part(NamedTuple):
    """A part of a multipart document, or an HTTP message without its first line.

    Names of headers are in lower case. The body is everything after the empty line.
    """

    headers: dict[str, str]
    body: bytes


def parse_multipart(content_type: str, document: bytes) -> list[Part]:
    """Parse the parts of a multipart document (RFC 2046, section 5.1).

    Takes linear time. Python's ``email`` takes quadratic time for some headers. Raises ``OSError``
    when the document has more than 4 MiB or 1,000 parts.
    """
    if len(document) > _MAX_MULTIPART_BYTES:
        raise OSError(
            f"the service sent {len(document)} bytes in response to a batch, and at most "
            f"{_MAX_MULTIPART_BYTES} are parsed"
        )
    match = _BOUNDARY.search(content_type)
    if match is None:
        return []
    boundary = re.escape((match[1] or match[2]).encode("latin-1", "replace"))
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + boundary + rb"(?:--)?[ \t]*(?=\r?\n|\Z)")
    # The text before the first delimiter and after the last one is not a part.
    texts = delimiter.split(document, _MAX_PARTS + 1)[1:]
    if len(texts) > _MAX_PARTS:
        raise OSError(f"the response to a batch has more than {_MAX_PARTS} parts")
    return [parse_part(text.partition(b"\n")[2]) for text in texts if text.strip()]


def parse_part(text: bytes) -> Part:
    """Parse headers and body, separated by an empty line. Malformed header lines are ignored."""
    end = _EMPTY_LINE.search(text)
    head, body = (text, b"") if end is None else (text[: end.start()], text[end.end() :])
    lines = [line.partition(":") for line in head[:_MAX_HEAD].decode("latin-1").split("\n")]
    headers = {name.strip().lower(): value.strip() for name, colon, value in lines if colon}
    return Part(headers, body)
