"""Writes values such that each is visible all at once, and makes and removes collections.

A PUT replaces a file in place on most servers: readers see half of a value, and one that is
interrupted leaves half of it. The value is therefore written under a temporary name beside the key
and moved (RFC 4918, section 9.9). Servers that are known to do the same for each PUT need no MOVE:
Apache's mod_dav_fs and Nextcloud, which the ``DAV`` header of their response to OPTIONS names.

A MOVE onto a collection would remove everything below it (section 9.9.4), so that the first MOVE
does not overwrite. Only if the destination exists, and is a file, a second one does.

To create a key atomically, a writer holds an exclusive lock (section 7) between the check and the
MOVE. ``If-None-Match: *`` and ``Overwrite: F`` are no replacement: servers check them before they
write, and two requests at the same time may both succeed. A lock of a missing resource creates an
empty one (section 7.3), so that the locked resource is not the key, but a temporary name that
follows from the key.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from hashlib import blake2b
from math import ceil
from typing import TYPE_CHECKING

from ..._http.payloads import Body as Payload
from ..._http.responses import StatusError
from ..temporary_names import temporary_name
from .properties import propfind_once

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from ..._http.messages import Response
    from ..._http.retry_policy import RetryPolicy
    from ..cleanup import Cleanup
    from ..web_client.bodies import Body
    from ..web_client.client import WebClient

__all__ = ["Writer"]

#: Parts of ``DAV`` headers of servers that write a PUT to a temporary file and rename that.
_WRITES_AT_ONCE = ("<http://apache.org/dav/propset/fs/", "nextcloud-")
_DONE = (200, 201, 204)
_LARGE_BYTES = 2**20
#: wsgidav cuts the decoded destination of a MOVE off at these characters.
_CUT_OFF = frozenset("?;")
_EXCLUSIVE = (
    b'<?xml version="1.0" encoding="utf-8"?><lockinfo xmlns="DAV:">'
    b"<lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>"
)


class Writer:
    """Writes to one server.

    Parameters
    ----------
    client : WebClient
        Sends the requests.
    is_collection : callable
        Returns whether a path is a collection, ``None`` if nothing is there.
    is_empty : callable
        Returns whether a collection has no files below it.
    cleanup : Cleanup
        Removes the temporary file of a write that failed.
    policy : RetryPolicy
        Timeouts.
    """

    def __init__(
        self,
        client: WebClient,
        is_collection: Callable[[str], Awaitable[bool | None]],
        is_empty: Callable[[str], Awaitable[bool]],
        cleanup: Cleanup,
        policy: RetryPolicy,
    ) -> None:
        self._client = client
        self._is_collection = is_collection
        self._is_empty = is_empty
        self._cleanup = cleanup
        self._timeout = policy.timeout
        self._compliance: str | None = None

    async def write(self, path: str, data: memoryview) -> None:
        """Replace a value."""
        compliance = await self._get_compliance()
        if any(name in compliance for name in _WRITES_AT_ONCE):
            await self._put(path, data)
            return
        temporary = beside(path, temporary_name())
        try:
            await self._put(temporary, data)
            if await self._move(temporary, path, overwrite=False):
                return
            if await self._is_collection(f"{path}/"):
                await self._remove_empty(path)
            elif _CUT_OFF.intersection(path) and await self._is_collection(path) is None:
                raise OSError(f"the server takes {path!r} for another name, which exists")
            await self._move(temporary, path, overwrite=True)
        except BaseException as error:
            await self._cleanup.run(partial(self.delete, temporary), error)
            raise

    async def create(self, path: str, data: memoryview) -> bool:
        """Write a value only if it is missing; return whether this call wrote it.

        Raises
        ------
        NotImplementedError
            When the server has no locks.
        """
        if "2" not in re.split(r"[ ,]+", await self._get_compliance()):
            raise NotImplementedError("the server has no locks (class 2 of RFC 4918, section 18)")
        if await self._is_collection(path) is False:
            return False
        temporary = beside(path, temporary_name())
        error: BaseException | None = None
        is_moved = False
        try:
            await self._put(temporary, data)
            is_moved = await self._move_locked(temporary, path)
            if not is_moved and await self._is_collection(f"{path}/"):
                await self._remove_empty(path)
                is_moved = await self._move_locked(temporary, path)
        except BaseException as raised:
            error = raised
            raise
        finally:
            if not is_moved:
                await self._cleanup.run(partial(self.delete, temporary), error)
        return is_moved

    async def _move_locked(self, source: str, path: str) -> bool:
        """Rename a temporary file to a missing key; ``False`` if the key exists."""
        lock = beside(path, temporary_name(blake2b(path.encode(), digest_size=8).hexdigest()))
        token = await self._lock(lock, path)
        if token is None:
            return False
        error: BaseException | None = None
        try:
            # Well before the lock expires.
            try:
                async with asyncio.timeout(self._timeout / 2):
                    return await self._move(source, path, overwrite=False)
            except TimeoutError:
                # The server may have moved the file, with its response lost.
                if await self._is_collection(source) is None:
                    return True
                raise
        except BaseException as raised:
            error = raised
            raise
        finally:
            await self._cleanup.run(partial(self._unlock, lock, token), error)

    async def _lock(self, lock: str, path: str) -> str | None:
        """The token of an exclusive lock; ``None`` if the key exists before it is granted."""
        headers = {
            "Content-Type": "application/xml; charset=utf-8",
            "Depth": "0",
            "Timeout": f"Second-{ceil(self._timeout)}",
        }

        async def attempt() -> str | None:
            try:
                response = await self._client.once(
                    "LOCK",
                    lock,
                    accept=(200, 201),
                    receive=_nothing,
                    headers=headers,
                    data=Payload(_EXCLUSIVE),
                )
            except StatusError as error:
                found = await propfind_once(self._client, path, 0)
                if error.response.status == 423 and found and not found[0].is_collection:
                    return None
                raise
            token = None if response is None else response.headers.get("Lock-Token")
            if token is None:
                raise OSError("the server granted a lock without a token")
            return token

        return await self._client.retry(attempt)

    async def _unlock(self, lock: str, token: str) -> None:
        # Some servers keep the lock of a resource that is removed, and some create no resource.
        await self._send("DELETE", lock, accept=(*_DONE, 412, 423), headers={"If": f"({token})"})
        await self._send(
            "UNLOCK", lock, accept=(*_DONE, 400, 403, 409, 412), headers={"Lock-Token": token}
        )

    async def _remove_empty(self, path: str) -> None:
        """Remove a collection without files, in the place of a key.

        It is renamed first: a file that is written in the meantime is not removed with it.
        """
        moved = beside(path, temporary_name())
        if await self._is_empty(path):
            await self._move(f"{path}/", f"{moved}/", overwrite=False)
            if await self._is_empty(moved):
                await self.delete(f"{moved}/")
                return
            await self._move(f"{moved}/", f"{path}/", overwrite=False)
        raise IsADirectoryError(f"{path!r} is a collection of the server, with keys below")

    async def delete(self, path: str) -> None:
        """Remove a file, or a collection and all below it."""
        await self._send("DELETE", path, accept=_DONE)

    async def _put(self, path: str, data: memoryview) -> None:
        accept = (*_DONE, 409)
        put = partial(self._send, "PUT", path, data=data)
        if data.nbytes > _LARGE_BYTES:
            # Without the collection the value would be sent twice.
            await self._make_collection(path.rpartition("/")[0])
        response = await put(accept=accept)
        if response is None or response.status == 409:
            if await self._is_collection(f"{path}/"):
                await self._remove_empty(path)
            else:
                await self._make_collection(path.rpartition("/")[0])
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

    async def _move(self, source: str, target: str, *, overwrite: bool) -> bool:
        """Rename a temporary file; ``False`` if it must not overwrite a file that exists.

        A retry after a lost response needs the source: without it some servers remove the target.
        """
        headers = {
            "Destination": self._client.location.url_of(target),
            "Overwrite": "T" if overwrite else "F",
        }
        is_sent = False

        async def attempt() -> bool:
            nonlocal is_sent
            if is_sent and await propfind_once(self._client, source, 0) is None:
                return True
            is_sent = True
            response = await self._client.once(
                "MOVE", source, accept=(*_DONE, 412), receive=_nothing, headers=headers
            )
            if response is None:
                raise FileNotFoundError(f"the temporary file of {target!r} was removed")
            if response.status == 412:
                return False
            if _CUT_OFF.intersection(target) and not await propfind_once(self._client, target, 0):
                raise OSError(f"the server stored {target!r} under another name")
            return True

        return await self._client.retry(attempt)

    async def _get_compliance(self) -> str:
        """The ``DAV`` header of the server, requested once."""
        if self._compliance is None:
            response = await self._send("OPTIONS", "", accept=_DONE)
            headers = {} if response is None else response.headers
            # The header may be repeated.
            found = [value for name, value in headers.items() if name.lower() == "dav"]
            self._compliance = ", ".join(found)
        return self._compliance

    async def _send(
        self,
        method: str,
        path: str,
        *,
        accept: Collection[int],
        headers: Mapping[str, str] | None = None,
        data: memoryview | None = None,
    ) -> Response[None] | None:
        return await self._client.retry(
            lambda: self._client.once(
                method,
                path,
                accept=accept,
                receive=_nothing,
                headers=headers or {},
                data=None if data is None else Payload(data),
            )
        )


def beside(path: str, name: str) -> str:
    """The path of another name in the same collection."""
    return path[: path.rfind("/") + 1] + name


async def _nothing(body: Body) -> None:
    await body.drain()
