"""Writes values such that each is visible all at once, and makes and removes collections.

A PUT replaces a file in place on most servers: readers see half of a value, and one that is
interrupted leaves half of it. The value is therefore written under a temporary name beside the key
and moved (RFC 4918, section 9.9). Servers that are known to do the same for each PUT need no MOVE:
Apache's mod_dav_fs and Nextcloud, which the ``DAV`` header of their response to OPTIONS names.

A MOVE onto a collection would remove everything below it (section 9.9.4), so that the first MOVE
does not overwrite. Only if the destination exists, and is a file, a second one does.

To create a key atomically, a writer holds an exclusive lock (section 7) during the MOVE.
``If-None-Match: *`` and ``Overwrite: F`` are no replacement: servers check them before they
write, and two requests at the same time may both succeed. A lock of a missing resource creates an
empty one (section 7.3), so that the locked resource is not the key, but a temporary name that
follows from the key.
"""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import asynccontextmanager
from functools import partial
from hashlib import blake2b
from math import ceil
from typing import TYPE_CHECKING

from ..._http.payloads import Body as Payload
from ..._http.retry_policy import JITTER
from ..temporary_names import temporary_name
from ..web_client.bodies import Body
from .properties import is_collection, propfind_once

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from ..cleanup import Cleanup
    from ..web_client.client import WebClient

__all__ = ["Writer"]

#: Parts of ``DAV`` headers of servers that write a PUT to a temporary file and rename that.
_WRITES_AT_ONCE = ("<http://apache.org/dav/propset/fs/", "nextcloud-")
_DONE = (200, 201, 204)
#: wsgidav cuts the decoded destination of a MOVE off at these characters.
_CUT_OFF = frozenset("?;")
_EXCLUSIVE = (
    b'<?xml version="1.0" encoding="utf-8"?><lockinfo xmlns="DAV:">'
    b"<lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>"
)
_LARGE_BYTES = 2**20
_MAX_LOCKED_SECONDS = 10.0


class Writer:
    """Writes to one server.

    Parameters
    ----------
    client : WebClient
        Sends the requests.
    is_empty : callable
        Returns whether a collection has no files below it.
    cleanup : Cleanup
        Removes the temporary file of a write that failed.
    timeout : float
        Maximum time in seconds to lock and move a file, up to 10.
    """

    def __init__(
        self,
        client: WebClient,
        is_empty: Callable[[str], Awaitable[bool]],
        cleanup: Cleanup,
        timeout: float,
    ) -> None:
        self._client = client
        self._send = partial(client.send, receive=Body.drain)
        self._is_empty = is_empty
        self._cleanup = cleanup
        self._locked_seconds = min(timeout, _MAX_LOCKED_SECONDS)
        self._dav: str | None = None

    async def write(self, path: str, data: memoryview) -> None:
        """Replace a value."""
        dav = await self._get_dav()
        if any(name in dav for name in _WRITES_AT_ONCE):
            await self._put(path, data)
            return
        async with self._temporary(path, data) as temporary:
            if not await self._move(temporary, path):
                await self._make_room(path)
                await self._move(temporary, path, overwrite="T")

    async def create(self, path: str, data: memoryview) -> bool:
        """Write a value only if it is missing; return whether this call wrote it.

        Raises
        ------
        NotImplementedError
            When the server has no locks.
        """
        if "2" not in re.split("[ ,]+", await self._get_dav()):
            raise NotImplementedError("the server has no locks (class 2 of RFC 4918, section 18)")
        if not await self._make_room(path):
            return False
        async with self._temporary(path, data) as temporary:
            is_created = await self._move_locked(temporary, path)
            if not is_created:
                await self._cleanup.run(partial(self.delete, temporary))
        return is_created

    async def delete(self, path: str) -> None:
        """Remove a file, or a collection and all below it."""
        await self._send("DELETE", path, accept=_DONE)

    @asynccontextmanager
    async def _temporary(self, path: str, data: memoryview) -> AsyncGenerator[str, None]:
        """The path of a temporary file with a value, which is removed after an error."""
        temporary = _beside(path)
        try:
            await self._put(temporary, data)
            yield temporary
        except BaseException as error:
            await self._cleanup.run(partial(self.delete, temporary), error)
            raise

    async def _move_locked(self, source: str, path: str) -> bool:
        """Rename a temporary file under a lock; ``False`` if the key exists."""
        lock = _beside(path, blake2b(path.encode(), digest_size=8).hexdigest())
        clock = asyncio.get_running_loop().time
        # A lock whose response was lost expires before that.
        give_up = clock() + 3 * self._locked_seconds
        while True:
            try:
                async with asyncio.timeout(self._locked_seconds):
                    if await self._try_move_locked(lock, source, path):
                        return True
            except TimeoutError:
                # The server may have moved the file, with its response lost.
                if await is_collection(self._client, source) is None:
                    return True
            if not await self._make_room(path):
                return False
            if clock() > give_up:
                raise TimeoutError("the key is locked by another writer, or the server is too slow")
            await asyncio.sleep(JITTER.uniform(0.05, 0.2))

    async def _try_move_locked(self, lock: str, source: str, path: str) -> bool:
        """Lock and move; ``False`` if another writer holds the lock, or the key exists."""
        headers = {
            "Content-Type": "application/xml; charset=utf-8",
            "Depth": "0",
            # Longer than this function takes.
            "Timeout": f"Second-{ceil(1.5 * self._locked_seconds)}",
        }
        response = await self._send(
            "LOCK", lock, accept=(200, 201, 423), headers=headers, data=Payload(_EXCLUSIVE)
        )
        if response is not None and response.status == 423:
            return False
        token = response and response.headers.get("Lock-Token")
        if not token:
            raise OSError("the server granted no lock, or one without a token")
        try:
            return await self._move(source, path)
        finally:
            await self._cleanup.run(partial(self._unlock, lock, token), sys.exception())

    async def _unlock(self, lock: str, token: str) -> None:
        # Some servers keep the lock of a resource that is removed, and some create no resource.
        await self._send("DELETE", lock, accept=(*_DONE, 412, 423), headers={"If": f"({token})"})
        await self._send(
            "UNLOCK", lock, accept=(*_DONE, 400, 403, 409, 412), headers={"Lock-Token": token}
        )

    async def _make_room(self, path: str) -> bool:
        """Remove an empty collection in the place of a key; ``False`` if the key exists.

        It is renamed first: a file that is written in the meantime is not removed with it.
        """
        found = await is_collection(self._client, path)
        if not found:
            return found is None
        if await self._is_empty(path):
            moved = _beside(path)
            await self._move(f"{path}/", f"{moved}/")
            if await self._is_empty(moved):
                await self.delete(f"{moved}/")
                return True
            await self._move(f"{moved}/", f"{path}/")
        raise IsADirectoryError(f"{path!r} is a collection of the server, with keys below")

    async def _put(self, path: str, data: memoryview) -> None:
        collection = path.rpartition("/")[0]
        put = partial(self._send, "PUT", path, data=Payload(data))
        if data.nbytes > _LARGE_BYTES:
            # Without the collection the value is sent twice, or the server closes the connection.
            await self._make_collection(collection)
        response = await put(accept=(*_DONE, 409))
        if response is None or response.status == 409:
            await self._make_room(path)
            await self._make_collection(collection)
            if await put(accept=_DONE) is None:
                raise NotADirectoryError(f"a part of the path of {path!r} is a file")

    async def _make_collection(self, path: str) -> None:
        """Make a collection and the ones above it, unless they exist."""
        if not path:
            return
        # 405: it exists. 409: the one above is missing (RFC 4918, section 9.3.1). 403: another
        # writer makes it at the same time, or the PUT is denied as well.
        make = partial(self._send, "MKCOL", path + "/", accept=(*_DONE, 403, 405, 409))
        response = await make()
        if response is None or response.status == 409:
            await self._make_collection(path.rpartition("/")[0])
            await make()

    async def _move(self, source: str, target: str, *, overwrite: str = "F") -> bool:
        """Rename a temporary file; ``False`` if the target exists and is not to be overwritten."""
        headers = {"Destination": self._client.location.url_of(target), "Overwrite": overwrite}
        attempts = 0

        async def attempt() -> bool:
            nonlocal attempts
            attempts += 1
            # An earlier attempt has moved it. Without the source some servers remove the target.
            if attempts > 1 and await propfind_once(self._client, source, 0) is None:
                return True
            response = await self._client.once(
                "MOVE", source, accept=(*_DONE, 412), receive=Body.drain, headers=headers
            )
            if response is None:
                raise FileNotFoundError(f"the temporary file of {target!r} was removed")
            if _CUT_OFF.intersection(target) and not await propfind_once(self._client, target, 0):
                raise OSError(f"the server takes {target!r} for another name")
            return response.status != 412

        return await self._client.retry(attempt)

    async def _get_dav(self) -> str:
        """The ``DAV`` header of the server, which may be repeated. It is requested once."""
        if self._dav is None:
            response = await self._send("OPTIONS", "", accept=_DONE)
            headers = response.headers.items() if response else ()
            self._dav = ", ".join(value for name, value in headers if name.lower() == "dav")
        return self._dav


def _beside(path: str, token: str | None = None) -> str:
    """The path of a temporary name in the same collection."""
    return path[: path.rfind("/") + 1] + temporary_name(token)
