"""The client of a WebDAV server (RFC 4918): its requests, and what their responses mean."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import ParseError

from ..._http.content_range import stated_size
from ..._http.origins import origin_of
from ..._http.parsing import parse_xml, parsed
from ..._http.payloads import Body as Payload
from ..._http.responses import StatusError, retry_decision_of_error
from ..._http.retry_policy import TRANSIENT
from ..web_client.bodies import Body
from ..web_client.client import Location, WebClient
from ..web_client.redirects import Redirects
from ..web_client.session import request_options
from .session import check_options

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from fsspec import AbstractFileSystem

    from ..._http.retry_policy import RetryDecision
    from ..._http.settings import Settings

__all__ = ["Client", "Entry", "entries_of"]

_DONE = (200, 201, 204)
_XML = {"Content-Type": "application/xml; charset=utf-8"}
_PROPFIND = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<propfind xmlns="DAV:"><prop><getcontentlength/><resourcetype/></prop></propfind>'
)
_EXCLUSIVE = (
    b'<?xml version="1.0" encoding="utf-8"?><lockinfo xmlns="DAV:">'
    b"<lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>"
)
#: Responses to the release of a lock that is released already.
_RELEASED = (*_DONE, 400, 403, 409, 412, 423)
#: wsgidav cuts the decoded destination of a MOVE off at these characters.
_CUT_OFF = frozenset("?;")


class Entry(NamedTuple):
    """A file or a collection: the path of its URL, decoded, without ``/`` at its end."""

    path: str
    is_collection: bool
    #: In bytes; ``None`` for collections, and where the server does not state it.
    size: int | None


class Client(WebClient):
    """Sends requests with the options of a webdav4 filesystem."""

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        url, http = check_options(fs)
        #: Path of the base URL, with ``/`` at its end.
        self.base = url.path.rstrip("/") + "/"
        self._compliance: str | None = None
        location = Location("", str(url.with_user(None)).rstrip("/"), "")
        service = f"{url.scheme}://{url.host}:{url.port}"
        options = request_options(http)
        redirects = Redirects(url, {origin_of(url)}, options.pop("headers"), options)
        super().__init__(http, service, location, redirects, settings, _retry_decision)

    async def compliance(self) -> str:
        """The ``DAV`` header of the server, which may be repeated; requested once."""
        if self._compliance is None:
            response = await self.send("OPTIONS", "", accept=_DONE, receive=Body.drain)
            headers = response.headers.items() if response else ()
            self._compliance = ", ".join(value for name, value in headers if name.lower() == "dav")
        return self._compliance

    async def entries(self, path: str, depth: int) -> list[Entry] | None:
        """A file or collection and, with depth 1, its members; ``None`` if it is missing."""
        return await self.retry(lambda: self._entries(path, depth))

    async def is_collection(self, path: str) -> bool | None:
        """Whether a path is a collection; ``None`` if nothing is there."""
        found = await self.entries(path, 0)
        return found[0].is_collection if found else None

    async def delete(self, path: str) -> None:
        """Remove a file, or a collection and all below it (section 9.6)."""
        await self.send("DELETE", path, accept=_DONE, receive=Body.drain)

    async def put(self, path: str, data: memoryview) -> bool:
        """Write a file; ``False`` if the collection is missing, or the path is a collection."""
        accept, body = (*_DONE, 409), Payload(data)
        response = await self.send("PUT", path, accept=accept, receive=Body.drain, data=body)
        return response is not None and response.status != 409

    async def make_collection(self, path: str) -> None:
        """Make a collection and the ones above it, unless they exist (section 9.3.1)."""
        # 405: it exists. 403: another writer makes it at the same time, or a PUT is denied as well.
        accept = (*_DONE, 403, 405, 409)
        make = partial(self.send, "MKCOL", f"{path}/", accept=accept, receive=Body.drain)
        response = await make() if path else None
        if path and (response is None or response.status == 409):
            await self.make_collection(path.rpartition("/")[0])
            await make()

    async def move(self, source: str, target: str, overwrite: str = "F") -> bool:
        """Rename a file or collection (section 9.9); ``False`` if the target exists."""
        headers = {"Destination": self.location.url_of(target), "Overwrite": overwrite}
        is_sent = False

        async def attempt() -> bool:
            nonlocal is_sent
            # An earlier attempt has moved it. Without the source some servers remove the target.
            if is_sent and await self._entries(source, 0) is None:
                return True
            is_sent = True
            response = await self.once(
                "MOVE", source, accept=(*_DONE, 412), receive=Body.drain, headers=headers
            )
            if response is None:
                raise FileNotFoundError(f"the temporary file of {target!r} was removed")
            if _CUT_OFF.intersection(target) and not await self._entries(target, 0):
                raise OSError(f"the server takes {target!r} for another name")
            return response.status != 412

        return await self.retry(attempt)

    async def lock(self, path: str, seconds: int) -> str | None:
        """Lock a path and return the token (section 9.10); ``None`` if it is locked."""
        headers = _XML | {"Depth": "0", "Timeout": f"Second-{seconds}"}
        accept, body = (200, 201, 423), Payload(_EXCLUSIVE)
        response = await self.send(
            "LOCK", path, accept=accept, receive=Body.drain, headers=headers, data=body
        )
        return None if response is None else response.headers.get("Lock-Token")

    async def unlock(self, path: str, token: str) -> None:
        """Remove the file of a lock, and release the lock."""
        # Some servers keep the lock of a file that is removed, and some create no file.
        for method, headers in ("DELETE", {"If": f"({token})"}), ("UNLOCK", {"Lock-Token": token}):
            await self.send(method, path, accept=_RELEASED, receive=Body.drain, headers=headers)

    async def _entries(self, path: str, depth: int) -> list[Entry] | None:
        """One attempt of `entries`; also part of other attempts, which hold a permit."""
        headers, body = _XML | {"Depth": str(depth)}, Payload(_PROPFIND)
        try:
            response = await self.once(
                "PROPFIND", path, accept=(207,), receive=Body.read, headers=headers, data=body
            )
        except StatusError as error:
            # Apache, for a path below a file. The closest parent that exists shows whether it is.
            parent = path.rpartition("/")[0]
            if error.response.status == 400 and parent:
                above = await self._entries(parent, 0)
                if not above or not above[0].is_collection:
                    return None
            raise
        return None if response is None else await parsed(entries_of, response.body)


def entries_of(document: bytes) -> list[Entry]:
    """Parse the response to PROPFIND; ``OSError`` if it is none, or states an error."""
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
    href = urlsplit(response.findtext("{DAV:}href", "").strip())
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


def _retry_decision(error: Exception) -> RetryDecision | None:
    # Another writer holds a lock for a short time, of a file or below a collection.
    if isinstance(error, StatusError) and error.response.status in (207, 423, 424):
        return TRANSIENT
    return retry_decision_of_error(error)
