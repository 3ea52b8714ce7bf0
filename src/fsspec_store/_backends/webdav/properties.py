"""The properties of files and collections: PROPFIND and its response (RFC 4918, section 9.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import ParseError

from ..._http.content_range import stated_size
from ..._http.parsing import parse_xml, parsed
from ..._http.payloads import Body as Payload
from ..._http.responses import StatusError
from ..web_client.bodies import Body

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from ..web_client.client import WebClient

__all__ = ["Entry", "entries_of", "is_collection", "propfind", "propfind_once"]

_REQUEST = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<propfind xmlns="DAV:"><prop><getcontentlength/><resourcetype/></prop></propfind>'
)


class Entry(NamedTuple):
    """A file or a collection: the path of its URL, decoded, without ``/`` at its end."""

    path: str
    is_collection: bool
    #: In bytes; ``None`` for collections, and where the server does not state it.
    size: int | None


async def is_collection(client: WebClient, path: str) -> bool | None:
    """Whether a path is a collection; ``None`` if nothing is there."""
    found = await propfind(client, path, 0)
    return found[0].is_collection if found else None


async def propfind(client: WebClient, path: str, depth: int) -> list[Entry] | None:
    """A file or collection and, with depth 1, its members; ``None`` if it is missing."""
    return await client.retry(lambda: propfind_once(client, path, depth))


async def propfind_once(client: WebClient, path: str, depth: int) -> list[Entry] | None:
    """As `propfind`, without retries: for an attempt, which holds the permit of a request."""
    headers = {"Content-Type": "application/xml; charset=utf-8", "Depth": str(depth)}
    try:
        response = await client.once(
            "PROPFIND",
            path,
            accept=(207,),
            receive=Body.read,
            headers=headers,
            data=Payload(_REQUEST),
        )
    except StatusError as error:
        # Apache, for a path below a file. The closest parent that exists decides whether it is one.
        parent = path.rpartition("/")[0]
        if error.response.status != 400 or not parent:
            raise
        above = await propfind_once(client, parent, 0)
        if above and above[0].is_collection:
            raise
        return None
    return None if response is None else await parsed(entries_of, response.body)


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
    found = map(_entry, root.iter("{DAV:}response"))
    return [entry for entry in found if entry is not None]


def _entry(response: Element) -> Entry | None:
    """The entry of one response; ``None`` if it is missing meanwhile."""
    # An absolute URL or a path (RFC 4918, section 8.3). Some servers double slashes.
    href = urlsplit((response.findtext("{DAV:}href") or "").strip())
    path = re.sub("/{2,}", "/", unquote(href.path)).rstrip("/")
    for propstat in response.iter("{DAV:}propstat"):
        if " 200" in propstat.findtext("{DAV:}status", ""):
            if propstat.find("{DAV:}prop/{DAV:}resourcetype/{DAV:}collection") is not None:
                return Entry(path, is_collection=True, size=None)
            size = propstat.findtext("{DAV:}prop/{DAV:}getcontentlength")
            return Entry(path, False, stated_size(size, "getcontentlength") if size else None)
    status = response.findtext("{DAV:}status", "no status")
    if " 404" in status:
        return None
    raise OSError(f"the server does not list {path!r} ({status})")
