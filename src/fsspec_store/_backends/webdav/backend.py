"""WebDAV servers, by RFC 4918. webdav4's filesystem supplies the configuration only.

A value is written under a temporary name and moved: most servers write a PUT in place. A key is
removed or replaced only after a PROPFIND shows that it is no collection, of which DELETE and MOVE
remove all that is below.

A key is created under an exclusive lock: servers check ``Overwrite: F`` before they write. A lock
of a missing file creates an empty one (section 7.3). The locked file is therefore not the key, but
has a temporary name that follows from the key.
"""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from math import ceil
from typing import TYPE_CHECKING, Any

from yarl import URL

from ..._http.origins import origin_of
from ..._http.responses import StatusError, http_failure
from ..._http.retrier import Budget
from ..._http.retry_policy import JITTER
from ..._runtime.concurrency import for_each
from ..base import Backend
from ..cleanup import Cleanup
from ..pages import Details, Page
from ..temporary_names import RESERVED_NAME, is_temporary, temporary_name
from ..traits import Traits
from ..web_client.folder_walk import walk
from ..web_client.reading import Reader
from .client import LOCK_SECONDS, Client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine

    from fsspec import AbstractFileSystem

    from ..._core.byte_requests import ByteRequest
    from ..._core.failures import Failure
    from ..._http.settings import Settings

__all__ = ["WebDAVBackend"]

_MAX_NAME_BYTES = 255
#: Parts of ``DAV`` headers of servers that write a PUT to a temporary file and rename that.
_WRITES_AT_ONCE = re.compile("<http://apache.org/dav/propset/fs/|nextcloud-")
_LARGE_BYTES = 2**20
#: Responses of a gateway to a request that its server may still process.
_OF_GATEWAYS = frozenset({502, 504, *range(520, 525)})
_ADVICE = {
    409: "; a folder above is missing, or is a file: check base_url and the key",
    **dict.fromkeys((423, 424), "; another program holds a lock: try again later"),
}


@dataclass
class _Temporary:
    """A temporary file, and whether it was moved, or a MOVE of it may be processed later.

    If the file is removed then, rclone removes the destination of the MOVE.
    """

    path: str
    stays: bool = False


class WebDAVBackend(Backend):
    """Files of a WebDAV server, by paths relative to the base URL."""

    hides_missing_keys = False
    #: Servers check conditions before they write, and ETags may stay the same.
    supports_replace = False
    traits = Traits(longest_key=f"{_MAX_NAME_BYTES} bytes in a segment")

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        super().__init__(fs, settings)
        self._client = Client(fs, settings)
        # ETags may stay the same when bytes change: a value is never read in parts.
        self._reader = Reader(self._client, settings.reads._replace(above=sys.maxsize))
        self._cleanup = Cleanup()

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        try:
            return await self._reader.read(path, request)
        except StatusError as error:
            # A GET of a collection (section 9.4).
            if error.response.status == 405:
                return None
            raise

    @property
    def address(self) -> str | None:
        return str(origin_of(URL(self._client.location.url)))

    async def size(self, path: str) -> int | None:
        return await self._size(path)

    async def stat(self, path: str) -> tuple[int, Details] | None:
        details: dict[str, Details] = {}
        size = await self._size(path, details)
        return None if size is None else (size, details.get("", Details()))

    async def _size(self, path: str, details: dict[str, Details] | None = None) -> int | None:
        found = await self._client.entries(path, 0, details)
        if "" not in found:
            return None
        # The property is optional (section 15.4).
        return found[""] if found[""] is not None else await self._reader.size(path)

    async def write(self, path: str, data: memoryview) -> None:
        if _WRITES_AT_ONCE.search(await self._client.compliance()):
            await self._put(path, data)
        else:
            await self._put_and_move(path, data, partial(self._move, data))

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
            found = await self._client.entries(directory, 1)
            paths = [directory + name for name in found if name.strip("/")]
            await for_each(self._client.delete, paths, limit=limit)
        elif await self._client.is_collection(directory):
            await self._client.delete(directory)

    def pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        return self._walk(directory, name_prefix, recursive, self._list_folder)

    def detailed_pages(
        self,
        directory: str,
        name_prefix: str,
        *,
        recursive: bool = True,
        start_after: str = "",
        page_size: int | None = None,
    ) -> AsyncGenerator[Page, None]:
        return self._walk(directory, name_prefix, recursive, self._list_folder_in_detail)

    def _walk(
        self,
        directory: str,
        name_prefix: str,
        recursive: bool,
        list_folder: Callable[[str], Coroutine[Any, Any, Page]],
    ) -> AsyncGenerator[Page, None]:
        return walk(
            directory,
            name_prefix,
            recursive=recursive,
            list_folder=list_folder,
            url_of=self._client.location.url_of,
        )

    async def _list_folder_in_detail(self, directory: str) -> Page:
        details: dict[str, Details] = {}
        page = await self._list_folder(directory, details)
        return page._replace(details={directory + name: each for name, each in details.items()})

    async def _list_folder(self, directory: str, details: dict[str, Details] | None = None) -> Page:
        """The direct children of a directory, with full paths."""
        # Many servers refuse to list all descendants at once (section 9.1).
        found = await self._client.entries(directory, 1, details)
        below = [(directory + name, size) for name, size in found.items() if name.strip("/")]
        files = [each for each in below if not each[0].endswith("/")]
        return Page(
            [each for each in files if not is_temporary(each[0])],
            [path[:-1] for path, _ in below if path.endswith("/")],
            [path for path, _ in files if is_temporary(path)],
        )

    async def _make_room(self, path: str) -> bool:
        """Remove an empty collection in the place of a key; ``False`` if the key exists."""
        found = await self._client.is_collection(path)
        if found:
            async with aclosing(self.pages(f"{path}/", "", recursive=True)) as pages:
                async for page in pages:
                    if page.objects or page.temporary:
                        raise IsADirectoryError(f"{path!r} is a collection, with keys below")
            # A file that is written meanwhile is lost. Renamed first, it might never be found.
            await self._client.delete(f"{path}/")
        return found is not False

    async def _put(self, path: str, data: memoryview) -> None:
        collection = path.rpartition("/")[0]
        put = partial(self._client.retry, partial(self._client.put, path, data))
        if data.nbytes > _LARGE_BYTES:
            # Without the collection the value is sent twice, or the server closes the connection.
            await self._client.make_collection(collection)
        if not await put():
            await self._make_room(path)
            await self._client.make_collection(collection)
            if not await put():
                raise NotADirectoryError(f"a folder of {path!r} is a file, or base_url is missing")

    async def _put_and_move(
        self, path: str, data: memoryview, move: Callable[[_Temporary, str], Awaitable[bool]]
    ) -> bool:
        """Write a temporary file, which is removed unless ``move(temporary, path)`` is true."""
        temporary = _Temporary(_beside(path))
        try:
            await self._put(temporary.path, data)
            temporary.stays = is_moved = await move(temporary, path)
            return is_moved
        finally:
            if not temporary.stays:
                delete = partial(self._client.delete, temporary.path)
                await self._cleanup.run(delete, sys.exception())

    async def _move(self, data: memoryview, temporary: _Temporary, path: str) -> bool:
        """Rename a temporary file, and replace a key, but no collection."""
        client, in_doubt = self._client, False

        async def attempt(overwrite: str) -> bool:
            nonlocal in_doubt
            if in_doubt and await client.is_moved(temporary.path, path):
                return True
            if in_doubt and overwrite == "T":
                # The earlier request, which may be processed later, moves the same value.
                again = _beside(path)
                if not await client.put(again, data):
                    raise FileNotFoundError(f"the collection of {path!r} was removed")
                temporary.path, in_doubt = again, False
            temporary.stays = overwrite == "T"
            try:
                return await client.move(temporary.path, path, overwrite)
            except Exception as error:
                status = error.response.status if isinstance(error, StatusError) else None
                in_doubt = in_doubt or status is None or status in _OF_GATEWAYS
                temporary.stays &= in_doubt
                raise

        if not await client.retry(partial(attempt, "F")):
            await self._make_room(path)
            await client.retry(partial(attempt, "T"))
        return True

    async def _move_locked(self, temporary: _Temporary, path: str) -> bool:
        """Rename a temporary file under a lock; ``False`` if the key exists."""
        source, client = temporary.path, self._client
        lock = _beside(path, blake2b(path.encode(), digest_size=8).hexdigest())
        timeout = self.settings.policy.timeout
        seconds = min(timeout, LOCK_SECONDS / 1.5)
        clock = asyncio.get_running_loop().time
        give_up = clock() + 3 * seconds
        while True:
            token, budget = None, Budget()
            problem = "another writer holds the lock of the key"
            # No retry starts after `seconds`.
            budget.elapsed = 2 * timeout - seconds
            try:
                # The lock expires later, and one whose response was lost before `give_up`.
                async with asyncio.timeout(seconds):
                    token = await client.lock(lock, ceil(1.5 * seconds), budget)
                    move = partial(client.move, source, path, "F")
                    if token is not None and await client.retry(move, budget=budget):
                        return True
            except TimeoutError:
                problem = f"no response within {seconds:g} s"
            finally:
                if token is not None:
                    unlock = partial(client.unlock, lock, token)
                    await self._cleanup.run(unlock, sys.exception())
            if not await self._make_room(path):
                # An earlier request may have moved the file.
                return await client.retry(partial(client.is_moved, source, path))
            if clock() > give_up:
                raise TimeoutError(problem)
            await asyncio.sleep(JITTER.uniform(0.05, 0.2))

    def check_path(self, path: str) -> str | None:
        # The names are those of files.
        if any(len(name.encode()) > _MAX_NAME_BYTES for name in path.split("/")):
            return f"names have at most {_MAX_NAME_BYTES} bytes"
        return RESERVED_NAME if is_temporary(path) else None

    def failure(self, error: Exception) -> Failure:
        return http_failure(error)

    def reason(self, error: Exception) -> str:
        status = error.response.status if isinstance(error, StatusError) else 0
        return f"{self._client.location.url}: {super().reason(error)}{_ADVICE.get(status, '')}"

    def secrets(self) -> set[str]:
        return super().secrets() | self._client.secrets

    def close(self) -> None:
        self._cleanup.close()
        self._client.close()

    async def aclose(self) -> None:
        await self._cleanup.aclose()
        await self._client.aclose()


def _beside(path: str, token: str | None = None) -> str:
    """The path of a temporary name in the same collection."""
    return path[: path.rfind("/") + 1] + temporary_name(token)
