"""WebDAV servers, by RFC 4918. webdav4's filesystem supplies the configuration only.

Most servers write a PUT in place: readers see half of a value. A value is therefore written under a
temporary name beside the key and moved. Apache and Nextcloud do the same for each PUT.

DELETE and MOVE also apply to a collection with all that is below it (sections 9.6 and 9.9): a key
is removed or replaced only after a PROPFIND shows that it is a file.

A key is created under an exclusive lock (section 7): servers check ``If-None-Match: *`` and
``Overwrite: F`` before they write, and two requests at the same time may both succeed. A lock of a
missing file creates an empty one (section 7.3), so that the locked file is not the key, but has a
temporary name that follows from the key.
"""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import aclosing
from functools import partial
from hashlib import blake2b
from math import ceil
from typing import TYPE_CHECKING

from ..._core.redaction import public_url
from ..._http.responses import StatusError, http_failure
from ..._http.retry_policy import JITTER
from ..._runtime.concurrency import for_each
from ..base import Backend
from ..cleanup import Cleanup
from ..pages import Page
from ..temporary_names import RESERVED_NAME, is_temporary, temporary_name
from ..web_client.folder_walk import walk
from ..web_client.reading import Reader
from .client import Client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from fsspec import AbstractFileSystem

    from ..._core.byte_requests import ByteRequest
    from ..._core.failures import Failure
    from ..._http.settings import Settings

__all__ = ["WebDAVBackend"]

_MAX_NAME_BYTES = 255
#: Parts of ``DAV`` headers of servers that write a PUT to a temporary file and rename that.
_WRITES_AT_ONCE = re.compile("<http://apache.org/dav/propset/fs/|nextcloud-")
_LARGE_BYTES = 2**20
_MAX_LOCKED_SECONDS = 10.0


class WebDAVBackend(Backend):
    """Files of a WebDAV server, by paths relative to the base URL."""

    hides_missing_keys = False
    #: Servers check conditions before they write, and ETags may stay the same.
    supports_replace = False

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        super().__init__(fs, settings)
        self._client = Client(fs, settings)
        self._reader = Reader(self._client, settings.reads)
        self._cleanup = Cleanup()

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        try:
            return await self._reader.read(path, request)
        except StatusError as error:
            # A GET of a collection (section 9.4).
            if error.response.status == 405:
                return None
            raise

    async def size(self, path: str) -> int | None:
        found = await self._client.entries(path, 0)
        if not found or found[0].is_collection:
            return None
        # The property is optional (section 15.4).
        return found[0].size if found[0].size is not None else await self._reader.size(path)

    async def write(self, path: str, data: memoryview) -> None:
        if _WRITES_AT_ONCE.search(await self._client.compliance()):
            await self._put(path, data)
        else:
            await self._put_and_move(path, data, self._move)

    async def create(self, path: str, data: memoryview) -> bool:
        if "2" not in re.split("[ ,]+", await self._client.compliance()):
            self.supports_atomic_create = False
            raise NotImplementedError("the server has no locks (class 2 of RFC 4918, section 18)")
        is_missing = await self._make_room(path)
        return is_missing and await self._put_and_move(path, data, self._move_locked)

    async def remove(self, path: str) -> None:
        if await self._client.is_collection(path) is False:
            await self._client.delete(path)

    async def remove_below(self, directory: str, *, limit: int, is_root: bool) -> None:
        if is_root:
            page = await self._list_folder(directory)
            paths = [path for path, _ in page.objects] + [f"{path}/" for path in page.prefixes]
            await for_each(self._client.delete, [*paths, *page.temporary], limit=limit)
        elif await self._client.is_collection(directory):
            await self._client.delete(directory)

    def pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        return walk(
            directory,
            name_prefix,
            recursive=recursive,
            list_folder=self._list_folder,
            url_of=lambda path: public_url(self._client.location.url_of(path)),
        )

    async def _list_folder(self, directory: str) -> Page:
        """The direct children of a directory, with full paths."""
        # Many servers refuse to list all descendants at once (section 9.1).
        base = self._client.base
        below = [
            entry._replace(path=entry.path.removeprefix(base))
            for entry in await self._client.entries(directory, 1) or ()
            if entry.path != (base + directory)[:-1]
        ]
        files = [(entry.path, entry.size) for entry in below if not entry.is_collection]
        return Page(
            [file for file in files if not is_temporary(file[0])],
            [entry.path for entry in below if entry.is_collection],
            [path for path, _ in files if is_temporary(path)],
        )

    async def _is_empty(self, path: str) -> bool:
        """Whether there is no file below a collection."""
        async with aclosing(self.pages(f"{path}/", "", recursive=True)) as pages:
            async for page in pages:
                if page.objects or page.temporary:
                    return False
        return True

    async def _make_room(self, path: str) -> bool:
        """Remove an empty collection in the place of a key; ``False`` if the key exists.

        It is renamed first: a file that is written in the meantime is not removed with it.
        """
        found = await self._client.is_collection(path)
        if not found:
            return found is None
        if await self._is_empty(path):
            moved = _beside(path)
            await self._client.move(f"{path}/", f"{moved}/")
            if await self._is_empty(moved):
                await self._client.delete(f"{moved}/")
                return True
            await self._client.move(f"{moved}/", f"{path}/")
        raise IsADirectoryError(f"{path!r} is a collection of the server, with keys below")

    async def _put(self, path: str, data: memoryview) -> None:
        collection = path.rpartition("/")[0]
        if data.nbytes > _LARGE_BYTES:
            # Without the collection the value is sent twice, or the server closes the connection.
            await self._client.make_collection(collection)
        if not await self._client.put(path, data):
            await self._make_room(path)
            await self._client.make_collection(collection)
            if not await self._client.put(path, data):
                raise NotADirectoryError(f"a part of the path of {path!r} is a file")

    async def _put_and_move(
        self, path: str, data: memoryview, move: Callable[[str, str], Awaitable[bool]]
    ) -> bool:
        """Write a temporary file, which is removed unless ``move(temporary, path)`` is true."""
        temporary = _beside(path)
        is_moved = False
        try:
            await self._put(temporary, data)
            is_moved = await move(temporary, path)
            return is_moved
        finally:
            if not is_moved:
                delete = partial(self._client.delete, temporary)
                await self._cleanup.run(delete, sys.exception())

    async def _move(self, source: str, path: str) -> bool:
        """Rename a temporary file, and replace a key, but no collection."""
        if not await self._client.move(source, path):
            await self._make_room(path)
            await self._client.move(source, path, "T")
        return True

    async def _move_locked(self, source: str, path: str) -> bool:
        """Rename a temporary file under a lock; ``False`` if the key exists."""
        lock = _beside(path, blake2b(path.encode(), digest_size=8).hexdigest())
        seconds = min(self.settings.policy.timeout, _MAX_LOCKED_SECONDS)
        clock = asyncio.get_running_loop().time
        give_up = clock() + 3 * seconds
        while True:
            token = None
            try:
                # A lock expires later, and one whose response was lost before `give_up`.
                async with asyncio.timeout(seconds):
                    token = await self._client.lock(lock, ceil(1.5 * seconds))
                    if token and await self._client.move(source, path):
                        return True
            except TimeoutError:
                # The server may have moved the file, with its response lost.
                if await self._client.is_collection(source) is None:
                    return True
            finally:
                if token:
                    unlock = partial(self._client.unlock, lock, token)
                    await self._cleanup.run(unlock, sys.exception())
            if not await self._make_room(path):
                return False
            if clock() > give_up:
                raise TimeoutError("the key is locked by another writer, or the server is too slow")
            await asyncio.sleep(JITTER.uniform(0.05, 0.2))

    def check_path(self, path: str) -> str | None:
        # The names are those of files.
        if any(len(name.encode()) > _MAX_NAME_BYTES for name in path.split("/")):
            return f"names have at most {_MAX_NAME_BYTES} bytes"
        return RESERVED_NAME if is_temporary(path) else None

    def failure(self, error: Exception) -> Failure:
        return http_failure(error)

    def close(self) -> None:
        self._cleanup.close()
        self._client.close()

    async def aclose(self) -> None:
        await self._cleanup.aclose()
        await self._client.aclose()


def _beside(path: str, token: str | None = None) -> str:
    """The path of a temporary name in the same collection."""
    return path[: path.rfind("/") + 1] + temporary_name(token)
