"""The properties of files and collections: PROPFIND and its response (RFC 4918, section 9.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import ParseError

from ..._http.content_range import stated_size
from ..._http.messages import Response
from ..._http.parsing import parse_xml, parsed
from ..._http.payloads import Body as Payload
from ..._http.responses import StatusError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from ..web_client.bodies import Body
    from ..web_client.client import WebClient

__all__ = ["Entry", "entries_of", "propfind", "propfind_once"]

_REQUEST = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<propfind xmlns="DAV:"><prop><getcontentlength/><resourcetype/></prop></propfind>'
)
_HEADERS = {"Content-Type": "application/xml; charset=utf-8"}
_SLASHES = re.compile("/{2,}")


class Entry(NamedTuple):
    """A file or a collection: the path of its URL, decoded, without ``/`` at its end."""

    path: str
    is_collection: bool
    #: In bytes; ``None`` for collections, and where the server does not state it.
    size: int | None


async def propfind(client: WebClient, path: str, depth: int) -> list[Entry] | None:
    """A file or collection and, with depth 1, its members; ``None`` if it is missing.

    Some servers redirect the path of a collection without ``/`` at its end, which is ``None`` too.
    """
    return await client.retry(lambda: propfind_once(client, path, depth))


async def propfind_once(client: WebClient, path: str, depth: int) -> list[Entry] | None:
    """As `propfind`, without retries: for an attempt, which holds the permit of a request."""
    response = await client.once(
        "PROPFIND",
        path,
        # 400: Apache, for a path below a file.
        accept=(207, 400),
        receive=_whole,
        headers=_HEADERS | {"Depth": str(depth)},
        data=Payload(_REQUEST),
    )
    if response is not None and response.status == 400:
        # The closest parent that exists decides whether it is one.
        parent = path.rstrip("/").rpartition("/")[0]
        above = await propfind_once(client, parent, 0) if parent else None
        if not parent or (above and above[0].is_collection):
            raise StatusError(Response(400, response.headers, b""))
        return None
    return None if response is None else await parsed(entries_of, response.body)


async def _whole(body: Body) -> bytes:
    return await body.read()


def entries_of(document: bytes) -> list[Entry]:
    """Parse the response to PROPFIND.

    Raises
    ------
    OSError
        When it is not such a response, or the server states an error for one of the entries.
    """
    try:
        root = parse_xml(document)
    except (ParseError, LookupError) as error:
        raise OSError(f"the response to PROPFIND is not XML: {error}") from None
    if root.tag != "{DAV:}multistatus":
        raise OSError("unexpected response: the server does not speak WebDAV")
    found = (_entry(response) for response in root.iter("{DAV:}response"))
    return [entry for entry in found if entry is not None]


def _entry(response: Element) -> Entry | None:
    """The entry of one response; ``None`` if it is missing meanwhile."""
    # An absolute URL or a path (RFC 4918, section 8.3). Some servers double slashes.
    href = urlsplit((response.findtext("{DAV:}href") or "").strip())
    path = _SLASHES.sub("/", unquote(href.path))
    for propstat in response.iter("{DAV:}propstat"):
        prop = propstat.find("{DAV:}prop")
        if prop is None or " 200" not in (propstat.findtext("{DAV:}status") or ""):
            continue
        is_collection = prop.find("{DAV:}resourcetype/{DAV:}collection") is not None
        size = None if is_collection else prop.findtext("{DAV:}getcontentlength")
        return Entry(
            path.rstrip("/"),
            is_collection,
            None if not size else stated_size(size, "getcontentlength"),
        )
    status = response.findtext("{DAV:}status") or "no status"
    if " 404" in status:
        return None
    raise OSError(f"the server does not list {path!r} ({status})")
