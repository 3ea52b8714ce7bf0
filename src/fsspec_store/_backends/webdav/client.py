"""The client of a WebDAV server (RFC 4918): its requests, and what their responses mean."""

from __future__ import annotations

import asyncio
import re
import time
from functools import partial
from typing import TYPE_CHECKING
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
from ..._http.unexpected_responses import UnexpectedServerError, unexpected_response
from ..listed_details import etag, http_date
from ..pages import Details
from ..web_client.bodies import Body
from ..web_client.client import Location, WebClient
from ..web_client.redirects import Redirects
from ..web_client.session import request_options
from .session import check_options

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from ..._http.retrier import Budget
    from ..._http.retry_policy import RetryDecision
    from ..._http.settings import Settings

__all__ = ["LOCK_SECONDS", "Client", "entries_of"]

#: Maximum lifetime of a store's lock.
LOCK_SECONDS = 15
_DONE = (200, 201, 204)
#: Statuses of a locked file, also of one below a collection.
_LOCKED = (207, 423, 424)
_XML = {"Content-Type": "application/xml; charset=utf-8"}
_PROPFIND = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<propfind xmlns="DAV:"><prop><getcontentlength/><resourcetype/>{}</prop></propfind>'
)
_DETAILS = "<getlastmodified/><getetag/>"
_EXCLUSIVE = (
    b'<?xml version="1.0" encoding="utf-8"?><lockinfo xmlns="DAV:">'
    b"<lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>"
)
#: Responses to the release of a lock that is released already.
_RELEASED = (*_DONE, 400, 403, 409, 412, 423)


class Client(WebClient):
    """Sends requests with the options of a webdav4 filesystem."""

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        url, http = check_options(fs)
        self._compliance = ""
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
        if not self._compliance:
            response = await self.send("OPTIONS", "", accept=_DONE, receive=Body.drain)
            headers = response.headers.items() if response else ()
            self._compliance = ", ".join(value for name, value in headers if name.lower() == "dav")
            if not self._compliance:
                raise OSError(f"{unexpected_response('WebDAV')}: check base_url")
        return self._compliance

    async def entries(
        self, path: str, depth: int, details: dict[str, Details] | None = None
    ) -> dict[str, int | None]:
        """The sizes of a path and, with depth 1, of its members; see `entries_of`."""
        return await self.retry(partial(self._entries, path, depth, details))

    async def is_collection(self, path: str) -> bool | None:
        """Whether a path is a collection; ``None`` if nothing is there."""
        found = await self.entries(path, 0)
        return "/" in found if found else None

    async def delete(self, path: str) -> None:
        """Remove a file, or a collection and all below it (section 9.6)."""
        # A store whose response to LOCK was lost leaves a lock, which expires.
        give_up = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                await self.send("DELETE", path, accept=_DONE, receive=_done)
                return
            except StatusError as error:
                if error.response.status not in _LOCKED or time.monotonic() > give_up:
                    raise
            await asyncio.sleep(JITTER.uniform(0.5, 1))

    async def put(self, path: str, data: memoryview) -> bool:
        """One attempt to write a file; ``False`` if its collection is missing, or it is one."""
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

    async def move(self, source: str, target: str, overwrite: str) -> bool:
        """One attempt to rename a file (section 9.9); ``False`` if the target exists."""
        headers = {"Destination": self.location.url_of(target), "Overwrite": overwrite}
        # 404: an earlier attempt has moved the file.
        accept = (*_DONE, 404, 412) if overwrite == "F" else _DONE
        response = await self.once("MOVE", source, accept=accept, receive=_done, headers=headers)
        if response is None:
            raise FileNotFoundError(f"the temporary file of {target!r} was removed")
        # wsgidav cuts the destination off at these characters.
        if {"?", ";"}.intersection(target) and not await self._entries(target, 0):
            raise OSError(f"the server takes {target!r} for another name")
        return response.status in _DONE

    async def is_moved(self, source: str, target: str) -> bool:
        """Whether an earlier request has moved a temporary file; part of other attempts."""
        if await self._entries(source, 0):
            return False
        if await self._entries(target, 0):
            return True
        raise FileNotFoundError(f"the temporary file of {target!r} was removed")

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

    async def _entries(
        self, path: str, depth: int, details: dict[str, Details] | None = None
    ) -> dict[str, int | None]:
        """One attempt of `entries`; also part of other attempts, which hold a permit."""
        headers = _XML | {"Depth": str(depth)}
        data = Payload(_PROPFIND.format("" if details is None else _DETAILS).encode())
        receive = partial(_listing, details=details)
        try:
            response = await self.once(
                "PROPFIND", path, accept=(207,), receive=receive, headers=headers, data=data
            )
        except StatusError as error:
            # Apache, for a path below a file. The closest parent that exists shows whether it is.
            above = path.rpartition("/")[0]
            if error.response.status == 400 and above and "/" not in await self._entries(above, 0):
                return {}
            raise
        return response.body if response else {}


async def _listing(body: Body, details: dict[str, Details] | None) -> dict[str, int | None]:
    parse = partial(entries_of, path=body.url.raw_path, details=details)
    return await parsed(parse, await body.read())


async def _done(body: Body) -> None:
    """Read a response without a result; ``OSError`` for a page of a proxy, which has status 200."""
    is_page = "html" in body.headers.get("Content-Type", "")
    if body.status == 200 and is_page and await body.read(end=1):
        raise UnexpectedServerError("WebDAV", body.status, body.headers)
    await body.drain()


def entries_of(
    document: bytes, path: str, details: dict[str, Details] | None = None
) -> dict[str, int | None]:
    """Parse the response to PROPFIND: sizes of a path and its direct members, by name.

    The name of the path is ``""``. Names of collections end in ``/``. What is missing, and what a
    server lists elsewhere, is left out. A size is ``None`` if it is not stated. Details of files
    are added to ``details``, by name.
    """
    try:
        root = parse_xml(document)
    except (ParseError, LookupError) as error:
        # Also of rclone when a listed file is removed: the request is retried.
        raise ClientPayloadError(f"the response to PROPFIND is not XML: {error}") from None
    own, is_of_path = _path(path), False
    found: dict[str, int | None] = {}
    for response in root.iter("{DAV:}response"):
        href = _path(response.findtext("{DAV:}href", ""))
        name = href.removeprefix(own)[:-1]
        if not href.startswith(own) or "/" in name or name in (".", ".."):
            continue
        is_of_path |= not name
        status = response.findtext("{DAV:}status", "no status")
        if any(" 200" in (each.text or "") for each in response.iter("{DAV:}status")):
            if response.find(".//{DAV:}resourcetype/{DAV:}collection") is not None:
                found[f"{name}/"] = None
            else:
                size = response.findtext(".//{DAV:}getcontentlength")
                found[name] = stated_size(size, "getcontentlength") if size else None
                if details is not None:
                    details[name] = Details(
                        http_date(response.findtext(".//{DAV:}getlastmodified")),
                        etag(response.findtext(".//{DAV:}getetag")),
                    )
        elif " 404" not in status:
            raise OSError(f"the server does not list {href!r} ({status})")
    if not is_of_path:
        raise OSError(f"the response to PROPFIND may belong to another path: it lacks {own!r}")
    return found


def _path(url: str) -> str:
    """The decoded path of a URL or a path (section 8.3), with ``/`` at its end."""
    path = re.sub("^https?://[^/]*", "", url.strip(), flags=re.IGNORECASE)
    # Some servers double slashes.
    return re.sub("/{2,}", "/", unquote(path) + "/")


def _retry_decision(error: Exception) -> RetryDecision | None:
    # Another writer holds a lock for a short time.
    if isinstance(error, StatusError) and error.response.status in _LOCKED:
        return TRANSIENT
    return retry_decision_of_error(error)
