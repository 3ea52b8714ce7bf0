"""The client of a WebDAV server (RFC 4918): its requests, and what their responses mean."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote
from xml.etree.ElementTree import ParseError

from aiohttp import ClientPayloadError

from ..._core.redaction import request_secrets
from ..._http.content_range import stated_size
from ..._http.origins import origin_of
from ..._http.parsing import parse_xml, parsed
from ..._http.payloads import Body as Payload
from ..._http.responses import StatusError, retry_decision_of_error
from ..._http.retry_policy import JITTER, TRANSIENT
from ..._http.unexpected_responses import (
    UnexpectedServerError,
    is_html_page,
    unexpected_response,
)
from ..web_client.bodies import Body
from ..web_client.client import Location, WebClient
from ..web_client.redirects import Redirects
from ..web_client.session import request_options
from .session import check_options

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from fsspec import AbstractFileSystem

    from ..._http.retrier import Budget
    from ..._http.retry_policy import RetryDecision
    from ..._http.settings import Settings

__all__ = ["LOCK_SECONDS", "Client", "Entry", "entries_of"]

#: Maximum lifetime of a store's lock.
LOCK_SECONDS = 15
_DONE = (200, 201, 204)
#: Statuses of a locked file, also of one below a collection.
_LOCKED = (207, 423, 424)
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
    """A file or a collection."""

    is_collection: bool
    #: In bytes; ``None`` for collections, and where the server does not state it.
    size: int | None


class Client(WebClient):
    """Sends requests with the options of a webdav4 filesystem."""

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        url, http = check_options(fs)
        self._compliance: str | None = None
        location = Location("", str(url.with_user(None)).rstrip("/"), "")
        service = f"{url.scheme}://{url.host}:{url.port}"
        options = request_options(http)
        headers = options.pop("headers")
        #: Credentials, which a response may repeat.
        self.secrets = request_secrets(str(url), headers)
        self.secrets |= request_secrets(str(options["proxy"]), {})
        redirects = Redirects(url, {origin_of(url)}, headers, options)
        super().__init__(http, service, location, redirects, settings, _retry_decision)

    async def compliance(self) -> str:
        """The ``DAV`` header of the server, which may be repeated; requested once."""
        if self._compliance is None:
            response = await self.send("OPTIONS", "", accept=_DONE, receive=Body.drain)
            headers = response.headers.items() if response else ()
            found = ", ".join(value for name, value in headers if name.lower() == "dav")
            if not found:
                # Section 18.
                raise OSError(f"{unexpected_response('WebDAV')}: check base_url")
            self._compliance = found
        return self._compliance

    async def entries(self, path: str, depth: int) -> dict[str, Entry]:
        """A file or collection, with the name ``""``, and with depth 1 its direct members.

        Empty if it is missing.
        """
        return await self.retry(partial(self._entries, path, depth))

    async def is_collection(self, path: str) -> bool | None:
        """Whether a path is a collection; ``None`` if nothing is there."""
        found = (await self.entries(path, 0)).get("")
        return found and found.is_collection

    async def delete(self, path: str) -> None:
        """Remove a file, or a collection and all below it (section 9.6)."""
        clock = asyncio.get_running_loop().time
        give_up = clock() + LOCK_SECONDS
        while True:
            try:
                await self.send("DELETE", path, accept=_DONE, receive=_done)
                return
            except StatusError as error:
                # A store whose response to LOCK was lost leaves a lock, which expires.
                if error.response.status not in _LOCKED or clock() > give_up:
                    raise
            await asyncio.sleep(JITTER.uniform(0.5, 1))

    async def put(self, path: str, data: memoryview) -> bool:
        """Write a file; ``False`` if the collection is missing, or the path is a collection."""
        return await self.retry(partial(self.put_once, path, data))

    async def put_once(self, path: str, data: memoryview) -> bool:
        """One attempt of `put`."""
        accept, body = (*_DONE, 409), Payload(data)
        response = await self.once("PUT", path, accept=accept, receive=_done, data=body)
        return response is not None and response.status != 409

    async def make_collection(self, path: str) -> None:
        """Make a collection and the ones above it, unless they exist (section 9.3.1)."""
        # 405: it exists. 403: another writer makes it at the same time, or a PUT is denied as well.
        accept = (*_DONE, 403, 405, 409)
        make = partial(self.send, "MKCOL", f"{path}/", accept=accept, receive=_done)
        response = await make() if path else None
        if path and (response is None or response.status == 409):
            await self.make_collection(path.rpartition("/")[0])
            await make()

    async def move(self, source: str, target: str, budget: Budget | None = None) -> bool:
        """Rename a file (section 9.9); ``False`` if the target exists."""
        is_repeated = False

        async def attempt() -> bool:
            nonlocal is_repeated
            was_repeated, is_repeated = is_repeated, True
            is_done = await self.move_once(source, target, "F", may_be_missing=was_repeated)
            # An earlier attempt may have moved it.
            return is_done or (was_repeated and await self.is_moved(source, target))

        return await self.retry(attempt, budget=budget)

    async def move_once(
        self, source: str, target: str, overwrite: str, *, may_be_missing: bool = False
    ) -> bool:
        """One attempt of `move`. With ``overwrite="T"`` it replaces the target."""
        headers = {"Destination": self.location.url_of(target), "Overwrite": overwrite}
        accept = (*_DONE, 412) if overwrite == "F" else _DONE
        response = await self.once("MOVE", source, accept=accept, receive=_done, headers=headers)
        if response is None and not may_be_missing:
            raise FileNotFoundError(f"the temporary file of {target!r} was removed")
        if _CUT_OFF.intersection(target) and not await self._entries(target, 0):
            raise OSError(f"the server takes {target!r} for another name")
        return response is not None and response.status != 412

    async def is_moved(self, source: str, target: str) -> bool:
        """Whether an earlier request has moved a temporary file; part of other attempts."""
        if await self._entries(source, 0):
            return False
        if not await self._entries(target, 0):
            raise FileNotFoundError(f"the temporary file of {target!r} was removed")
        return True

    async def lock(self, path: str, seconds: int, budget: Budget) -> str | None:
        """Lock a path and return the token (section 9.10); ``None`` if it is locked."""
        headers = _XML | {"Depth": "0", "Timeout": f"Second-{seconds}"}
        accept, data = (200, 201, 423), Payload(_EXCLUSIVE)
        attempt = partial(self.once, "LOCK", path, headers=headers, data=data)
        response = await self.retry(partial(attempt, accept=accept, receive=_done), budget=budget)
        return None if response is None else response.headers.get("Lock-Token")

    async def unlock(self, path: str, token: str) -> None:
        """Remove the file of a lock, and release the lock."""
        # Some servers keep the lock of a file that is removed, and some create no file.
        for method, headers in ("DELETE", {"If": f"({token})"}), ("UNLOCK", {"Lock-Token": token}):
            await self.send(method, path, accept=_RELEASED, receive=_done, headers=headers)

    async def _entries(self, path: str, depth: int) -> dict[str, Entry]:
        """One attempt of `entries`; also part of other attempts, which hold a permit."""

        async def receive(body: Body) -> dict[str, Entry]:
            parse = partial(entries_of, path=body.url.raw_path)
            return await parsed(parse, await body.read())

        headers, data = _XML | {"Depth": str(depth)}, Payload(_PROPFIND)
        try:
            response = await self.once(
                "PROPFIND", path, accept=(207,), receive=receive, headers=headers, data=data
            )
        except StatusError as error:
            # Apache, for a path below a file. The closest parent that exists shows whether it is.
            parent = path.rpartition("/")[0]
            if error.response.status == 400 and parent:
                above = (await self._entries(parent, 0)).get("")
                if not above or not above.is_collection:
                    return {}
            raise
        return {} if response is None else response.body


async def _done(body: Body) -> None:
    """Read the response to a request that has no result; ``OSError`` for a page of a proxy."""
    is_page = "html" in body.headers.get("Content-Type", "")
    # Apache sends pages with 201.
    if body.status == 200 and is_page and await body.read(end=1):
        raise UnexpectedServerError("WebDAV", body.status, body.headers)
    await body.drain()


def entries_of(document: bytes, path: str) -> dict[str, Entry]:
    """Parse the response to PROPFIND for a path: its own entry, and its members by their names.

    What is neither of both is left out: some servers list all descendants.

    Raises
    ------
    aiohttp.ClientPayloadError
        When the document is not XML: rclone, if a file is removed while it is listed.
    OSError
        When it is the response to another request, no listing, or states an error.
    """
    if is_html_page(document):
        raise OSError(unexpected_response("WebDAV"))
    try:
        root = parse_xml(document)
    except (ParseError, LookupError) as error:
        raise ClientPayloadError(f"the response to PROPFIND is not XML: {error}") from None
    own = _decoded(path)
    found: dict[str, Entry | None] = {}
    for response in root.iter("{DAV:}response"):
        href = _decoded(response.findtext("{DAV:}href", "").strip())
        name = href.removeprefix(own)
        if href.startswith(own) and "/" not in name[:-1] and name not in ("./", "../"):
            found[name[:-1]] = _entry(response, href)
    if "" not in found:
        raise OSError(
            f"the response to PROPFIND has no entry for {own!r}: it may belong to another request"
        )
    return {name: entry for name, entry in found.items() if entry and found[""]}


def _decoded(url: str) -> str:
    """The decoded path of a URL or a path (section 8.3), with ``/`` at its end."""
    path = re.sub("^https?://[^/]*", "", url, flags=re.IGNORECASE)
    # Some servers double slashes.
    return re.sub("/{2,}", "/", unquote(path) + "/")


def _entry(response: Element, path: str) -> Entry | None:
    """The entry of one response; ``None`` if it is missing meanwhile."""
    for propstat in response.iter("{DAV:}propstat"):
        if " 200" in propstat.findtext("{DAV:}status", ""):
            if propstat.find("{DAV:}prop/{DAV:}resourcetype/{DAV:}collection") is not None:
                return Entry(is_collection=True, size=None)
            size = propstat.findtext("{DAV:}prop/{DAV:}getcontentlength")
            return Entry(False, stated_size(size, "getcontentlength") if size else None)
    status = response.findtext("{DAV:}status", "no status")
    if " 404" in status:
        return None
    raise OSError(f"the server does not list {path!r} ({status})")


def _retry_decision(error: Exception) -> RetryDecision | None:
    # Another writer holds a lock for a short time.
    if isinstance(error, StatusError) and error.response.status in _LOCKED:
        return TRANSIENT
    return retry_decision_of_error(error)
