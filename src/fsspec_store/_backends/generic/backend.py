"""Every other fsspec protocol, through the methods each of its filesystems has.

Nothing is assumed that a filesystem does not promise, and its answers are checked (`reading`,
`lookups`). What its methods do not tell is in a table (`facts`). A caching layer is looked through
to the filesystem below it, but for the values of which it has copies.
"""

from __future__ import annotations

from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from fsspec.implementations.cached import CachingFileSystem
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from ..._core.leftovers import ABANDONED_AFTER, is_older
from ..._runtime.concurrency import for_each
from ..base import Backend
from ..pages import Page
from ..temporary_names import REFUSED, is_temporary
from .calls import Calls
from .copies import Copies
from .copy_folders import NotCopiedError
from .errors import NO_FILE, failure_of
from .folders import check_depth, children, holds_a_file, make_room, prune, temporary_files
from .lookups import info_of, is_missing, size_in
from .moving import write_and_move
from .reading import read
from .references import is_size_known
from .web import is_on_web

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from typing import Any

    from fsspec import AbstractFileSystem

    from ..._core.byte_requests import ByteRequest
    from ..._core.failures import Failure
    from ..._core.leftovers import Leftover
    from ..._http.settings import Settings

__all__ = ["GenericBackend"]

#: Bytes of one name on every common file system, the servers' own.
_MAX_NAME_BYTES = 255
#: A folder may go between being made and being written into; then it is made again.
_FOLDER_TRIES = 10


class GenericBackend(Backend):
    """Objects of any fsspec filesystem, by its own paths."""

    supports_atomic_create = False
    supports_replace = False
    default_concurrency = 32

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        super().__init__(fs, settings)
        self._copies = Copies(fs) if isinstance(fs, CachingFileSystem) else None
        is_layer = self._copies is not None
        self._calls = Calls(fs.fs if is_layer else fs, settings.policy, blocking=is_layer)
        self._facts = self._calls.facts
        # Size and bytes of the filesystem below are not those of the values.
        self._compressed = self._copies is not None and self._copies.compressed
        self.supports_writes = self._facts.writes and not self._compressed
        self.supports_deletes = self.supports_writes and self._facts.deletes
        self.supports_listing = self._facts.lists
        self.has_secret_paths = is_on_web(fs)

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        if self._copies is None:
            return await read(self._calls, path, request)
        try:
            return await self._calls.run(self._copies.read, path, request)  # type: ignore[no-any-return]
        except NotCopiedError:
            # Its writers never pause, or it has no size or version.
            if self._compressed:
                raise
            return await read(self._calls, path, request)
        except NO_FILE:
            # So says the layer, perhaps of another error.
            if not self._compressed:
                return await read(self._calls, path, request)
            info = await info_of(self._calls, path)
            if info is None or info["type"] != "file":
                return None
            raise

    async def size(self, path: str) -> int | None:
        info = await info_of(self._calls, path)
        if info is None or info["type"] != "file":
            return None
        if self._compressed:
            data = await self.read(path, None)
            return None if data is None else len(data)
        return await size_in(self._calls, path, info)

    async def write(self, path: str, data: memoryview) -> None:
        try:
            await self._write(path, data)
        finally:
            # Also a write that failed, or was cancelled, may have changed the value.
            await self._forget_copy(path)

    async def _write(self, path: str, data: memoryview) -> None:
        content = bytes(data)
        for attempt in range(_FOLDER_TRIES):
            try:
                if self._facts.moves:
                    await self._calls.run(write_and_move, path, content)
                else:
                    await self._calls.call("pipe_file", path, content)
                break
            except Exception as error:
                if attempt == _FOLDER_TRIES - 1:
                    raise
                # Once more in any case: whoever stood in the way may have gone meanwhile.
                if not await make_room(self._calls, path, error) and attempt > 0:
                    raise

    async def remove(self, path: str) -> None:
        try:
            await self._remove(path)
        finally:
            await self._forget_copy(path)

    async def _remove(self, path: str) -> None:
        # Looked at first: a filesystem may take a folder's path for the folder's removal. FTP does
        # not, and would list all the folder for it.
        if self._facts.flat or self._facts.ftp or await self.size(path) is not None:
            try:
                # rm_file and not rm, which takes "*" and "[" in a key for a pattern.
                await self._calls.call("rm_file", path)
            except Exception as error:
                if not await is_missing(self._calls, path, error):
                    raise

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        await for_each(self.remove, paths, limit=limit)

    async def remove_below(self, directory: str, *, limit: int, is_root: bool) -> None:
        await super().remove_below(directory, limit=limit, is_root=is_root)
        async with aclosing(self.leftovers(directory)) as leftovers:
            async for leftover in leftovers:
                if is_older(leftover, ABANDONED_AFTER):
                    await self.remove_leftover(leftover)
        if not self._facts.flat:
            await prune(self._calls, directory.rstrip("/"), itself=False)

    async def remove_empty_folders(self, directory: str, root: str) -> None:
        fs = self._calls.fs
        while isinstance(fs, DirFileSystem):
            fs = fs.fs
        # Only where rmdir refuses a folder that holds something: pyarrow's removes what is in it.
        if not (self._facts.moves or isinstance(fs, LocalFileSystem)):
            return
        folder = directory.rstrip("/")
        with suppress(Exception):
            while len(folder) > len(root.rstrip("/")):
                await self._calls.call("rmdir", folder)
                folder = folder.rpartition("/")[0]

    async def pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        root = directory.rstrip("/")
        waiting = [root]
        seen = {root}
        while waiting:
            folder = waiting.pop()
            objects: list[tuple[str, int | None]] = []
            prefixes: list[str] = []
            for path, info in await children(self._calls, folder):
                if not path.startswith(directory + name_prefix):
                    continue
                if info["type"] == "file":
                    objects.append((path, self._listed_size(path, info)))
                elif recursive or self._facts.flat or await holds_a_file(self._calls, path):
                    prefixes.append(path)
            if recursive:
                new = [path for path in prefixes if path not in seen]
                seen.update(new)
                for path in new:
                    check_depth(path, root)
                waiting.extend(new)
                yield Page(objects)
            else:
                yield Page(objects, prefixes)
            name_prefix = ""

    async def leftovers(self, directory: str) -> AsyncGenerator[Leftover, None]:
        if self._facts.moves:
            for leftover in await temporary_files(self._calls, directory.rstrip("/")):
                yield leftover

    async def remove_leftover(self, leftover: Leftover) -> None:
        try:
            await self._calls.call("rm_file", leftover.key)
        except Exception as error:
            if not await is_missing(self._calls, leftover.key, error):
                raise

    def check_root(self, root: str) -> str | None:
        if self._facts.connected and not root and not self.fs.root_marker:
            return "name a folder: the server's root cannot be told from the folder of the login"
        return None

    def check_path(self, path: str) -> str | None:
        if self._facts.refuses and self._facts.refuses in path:
            return f"the filesystem takes {self._facts.refuses!r} for something else"
        if not self._facts.connected:
            return None
        if "\r" in path or "\n" in path:
            return "the protocol ends a line there"
        if max(len(segment.encode()) for segment in path.split("/")) > _MAX_NAME_BYTES:
            return f"a file's name has at most {_MAX_NAME_BYTES} bytes"
        if is_temporary(path):
            return REFUSED
        return None

    def failure(self, error: Exception) -> Failure:
        return failure_of(error)

    def close(self) -> None:
        self._calls.release()

    def _listed_size(self, path: str, info: Mapping[str, Any]) -> int | None:
        size = info.get("size")
        if size is None or self._compressed or not is_size_known(self._calls, path):
            return None
        return int(size)

    async def _forget_copy(self, path: str) -> None:
        if self._copies is not None:
            await self._calls.run(self._copies.forget, path)
