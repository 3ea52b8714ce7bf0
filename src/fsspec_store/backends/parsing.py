"""Documents that services answer with: parsed without holding up the event loop.

A parser holds Python's global lock until it returns, so a long document is given to it in pieces,
in a thread. Knows no service.
"""

from __future__ import annotations

import json
from email.parser import BytesParser
from typing import TYPE_CHECKING, Any, TypeVar
from xml.etree import ElementTree

from ..threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message

__all__ = ["parse_json", "parse_multipart", "parse_xml", "parsed"]

T = TypeVar("T")

#: Longer documents are parsed in a thread. A page of 1,000 keys has some 300 KiB.
_PARSED_HERE_BYTES = 512 * 2**10
#: Maximum size of a JSON document, which cannot be parsed in pieces. A page of 1,000 names of 1,024
#: characters, each of them escaped, has 6 MiB.
_MAX_JSON_BYTES = 16 * 2**20
#: Maximum size of the results of a batch. Those of 256 requests have some 200 KiB.
_MAX_MULTIPART_BYTES = 4 * 2**20
_PIECE_BYTES = 64 * 2**10
#: Maximum number of tags of an XML document. A page of 5,000 blobs with 50 properties and 100
#: entries of metadata each has 1,500,000.
_MAX_TAGS = 2_000_000


async def parsed(parse: Callable[[bytes], T], document: bytes) -> T:
    """Await ``parse(document)``, in a thread if the document is long."""
    if len(document) <= _PARSED_HERE_BYTES:
        return parse(document)
    return await in_thread(parse, document)


def parse_xml(document: bytes) -> ElementTree.Element:
    """The root element.

    Raises
    ------
    xml.etree.ElementTree.ParseError, LookupError
        When it is no XML, or in an unknown encoding; when it has more than 2,000,000 tags, or
        64 KiB without one.
    """
    # Each element takes some 200 bytes of memory, and a tag is parsed in one go.
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
    """The object that a JSON document is.

    Raises
    ------
    OSError
        When it is none, or of more than 16 MiB.
    """
    if len(document) > _MAX_JSON_BYTES:
        raise OSError(
            f"the service sent {len(document)} bytes of JSON, and at most {_MAX_JSON_BYTES} are "
            "parsed"
        )
    try:
        found = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise OSError(f"the service sent no JSON: {type(error).__name__}: {error}") from None
    if not isinstance(found, dict):
        raise OSError(f"the service sent JSON that is no object, but a {type(found).__name__}")
    return found


def parse_multipart(content_type: str, document: bytes) -> list[Message]:
    """The parts of a multipart document (RFC 2046, section 5.1), those within parts included.

    Parameters
    ----------
    content_type : str
        Of the response; names what is between the parts.
    document : bytes
        The response's body.

    Raises
    ------
    OSError
        When it has more than 4 MiB, or parts within parts without end.
    """
    if len(document) > _MAX_MULTIPART_BYTES:
        raise OSError(
            f"the service sent {len(document)} bytes in answer to a batch, and at most "
            f"{_MAX_MULTIPART_BYTES} are parsed"
        )
    head = f"Content-Type: {content_type}\r\n\r\n".encode("utf-8", "replace")
    try:
        return list(BytesParser().parsebytes(head + document).walk())
    except RecursionError as error:
        raise OSError("the service answered a batch with parts within parts") from error
