"""Generic backend: any fsspec filesystem, through its public methods.

Results are checked (`reading`, `lookups`), because fsspec does not specify them fully; known
differences between filesystems are in a table (`quirks`). With a caching layer, values are read
from its copies, and everything else is done on the filesystem below it.
"""

from __future__ import annotations

from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from fsspec.implementations.cached import CachingFileSystem
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from ..._core.leftovers import ABANDONED_AFTER, Leftover, is_older
from ..base import Backend
from ..local.backend import LocalBackend
from ..pages import Details, Page
from ..temporary_names import RESERVED_NAME, is_temporary
from .atomic_write import write_and_rename
from .cached_copies import CachedCopies
from .copy_folders import NotCopiedError
from .errors import NO_FILE, failure_of
from .folders import contains_file, modified, prepare_path, prune, temporary_files, walk
from .guards import is_on_web
from .lookups import info_of, is_missing, is_size_known, size_of
from .methods import Methods
from .reading import read
from .streams import open_in_parts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from fsspec import AbstractFileSystem

    from ..._core.byte_requests import ByteRequest
    from ..._core.failures import Failure
    from ..._core.streams import OpenValue
    from ..._http.settings import Settings

__all__ = ["GenericBackend"]

#: Maximum bytes of a name on common file systems, such as those of FTP and SFTP servers.
_MAX_NAME_BYTES = 255
#: Maximum number of attempts to write if the folder is removed between its creation and the write.
_FOLDER_ATTEMPTS = 10


class GenericBackend(Backend):
    """Objects of any fsspec filesystem, by its paths."""

    supports_atomic_create = False
    supports_replace = False
    default_concurrency = 32

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        super().__init__(fs, settings)
        self._copies = CachedCopies(fs) if isinstance(fs, CachingFileSystem) else None
        is_layer = self._copies is not None
        self._methods = Methods(fs.fs if is_layer else fs, settings.policy, blocking=is_layer)
        self._quirks = self._methods.quirks
        # fsspec's filesystem writes in place. Its subclasses may have other paths.
        is_local = type(self._methods.fs) is LocalFileSystem
        self._local = LocalBackend(self._methods.fs, settings) if is_local else None
        # The filesystem below has the compressed sizes and bytes.
        self._compressed = self._copies is not None and self._copies.compressed
        self.supports_writes = self._quirks.writes and not self._compressed
        self.supports_deletes = self.supports_writes and self._quirks.deletes
        self.supports_listing = self._quirks.lists
        self.has_secret_paths = is_on_web(fs)

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        if self._copies is None:
            return await read(self._methods, path, request)
        try:
            return await self._methods.run(self._copies.read, path, request)  # type: ignore[no-any-return]
        except NotCopiedError:
            # The value changes all the time, or has no size or version.
            if self._compressed:
                raise
            return await read(self._methods, path, request)
        except NO_FILE:
            # The layer raises it for other errors as well.
            if not self._compressed:
                return await read(self._methods, path, request)
            info = await info_of(self._methods, path)
            if info is None or info["type"] != "file":
                return None
            raise

    async def open_value(self, path: str, start: int, version: str | None) -> OpenValue | None:
        if self._copies is None and version is None:
            part_bytes = self.settings.reads.size
            opened = await open_in_parts(self._methods, path, start, part_bytes)
            if opened is not None:
                return opened
        return await super().open_value(path, start, version)

    async def size(self, path: str) -> int | None:
        info = await info_of(self._methods, path)
        if info is None or info["type"] != "file":
            return None
        if self._compressed:
            data = await self.read(path, None)
            return None if data is None else len(data)
        return await size_of(self._methods, path, info)

    async def write(self, path: str, data: memoryview) -> None:
        try:
            await self._write(path, data)
        finally:
            # A write that failed or was cancelled may have changed the value, too.
            await self._remove_copy(path)

    async def _write(self, path: str, data: memoryview) -> None:
        if self._local is not None:
            await self._local.write(path, data)
            return
        for attempt in range(_FOLDER_ATTEMPTS):
            try:
                if self._quirks.atomic_rename:
                    await self._methods.run(write_and_rename, path, data)
                else:
                    await self._methods.call("pipe_file", path, bytes(data))
                break
            except Exception as error:
                if attempt == _FOLDER_ATTEMPTS - 1:
                    raise
                # Always a second attempt: the obstacle may have been removed meanwhile.
                if not await prepare_path(self._methods, path, error) and attempt > 0:
                    raise

    async def remove(self, path: str) -> None:
        try:
            # Checked first: a filesystem may remove a folder at this path. FTP does not, and the
            # check would list its parent folder.
            if self._quirks.flat or self._quirks.ftp or await self.size(path) is not None:
                await self._remove_file(path)
        finally:
            await self._remove_copy(path)

    async def _remove_file(self, path: str) -> None:
        try:
            # rm_file instead of rm, which interprets "*" and "[" in a key as a pattern.
            await self._methods.call("rm_file", path)
        except Exception as error:
            if not await is_missing(self._methods, path, error):
                raise

    async def remove_below(self, directory: str, *, limit: int, is_root: bool) -> None:
        await super().remove_below(directory, limit=limit, is_root=is_root)
        async with aclosing(self.leftovers(directory)) as leftovers:
            async for leftover in leftovers:
                if is_older(leftover, ABANDONED_AFTER):
                    await self.remove_leftover(leftover)
        if not self._quirks.flat:
            await prune(self._methods, directory.rstrip("/"), itself=False)

    async def remove_empty_folders(self, directory: str, root: str) -> None:
        fs = self._methods.fs
        while isinstance(fs, DirFileSystem):
            fs = fs.fs
        # Only where rmdir rejects a folder that is not empty: pyarrow's removes the contents.
        if not (self._quirks.atomic_rename or isinstance(fs, LocalFileSystem)):
            return
        folder = directory.rstrip("/")
        with suppress(Exception):
            while len(folder) > len(root.rstrip("/")):
                await self._methods.call("rmdir", folder)
                folder = folder.rpartition("/")[0]

    def pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        return self._pages(directory, name_prefix, recursive)

    def detailed_pages(
        self,
        directory: str,
        name_prefix: str,
        *,
        recursive: bool = True,
        start_after: str = "",
        page_size: int | None = None,
    ) -> AsyncGenerator[Page, None]:
        return self._pages(directory, name_prefix, recursive, has_details=True)

    async def _pages(
        self, directory: str, name_prefix: str, recursive: bool, *, has_details: bool = False
    ) -> AsyncGenerator[Page, None]:
        async with aclosing(walk(self._methods, directory, name_prefix)) as folders:
            async for found in folders:
                files = [(path, info) for path, info in found if info["type"] == "file"]
                objects = [(path, self._listed_size(path, info)) for path, info in files]
                details = {}
                if has_details:
                    details = {path: Details(modified(info)) for path, info in files}
                if recursive:
                    yield Page(objects, details=details)
                    continue
                prefixes = [
                    path
                    for path, info in found
                    if info["type"] == "directory"
                    and (self._quirks.flat or await contains_file(self._methods, path))
                ]
                yield Page(objects, prefixes, details=details)
                return

    async def leftovers(self, directory: str) -> AsyncGenerator[Leftover, None]:
        if self._local is not None:
            async for leftover in self._local.leftovers(directory):
                yield leftover
        elif self._quirks.atomic_rename:
            async for leftover in temporary_files(self._methods, directory):
                yield leftover

    async def remove_leftover(self, leftover: Leftover) -> None:
        await self._remove_file(leftover.key)

    def check_root(self, root: str) -> str | None:
        if self._quirks.single_connection and not root and not self.fs.root_marker:
            return "name a folder: the server's root and the login folder have the same path"
        return None

    def check_path(self, path: str) -> str | None:
        if self._local is not None:
            return self._local.check_path(path)
        if self._quirks.reserved and self._quirks.reserved in path:
            return f"the filesystem interprets {self._quirks.reserved!r} in a path"
        if not self._quirks.single_connection:
            return None
        if "\r" in path or "\n" in path:
            return "the protocol does not support line breaks in names"
        if max(len(segment.encode()) for segment in path.split("/")) > _MAX_NAME_BYTES:
            return f"a file's name has at most {_MAX_NAME_BYTES} bytes"
        if is_temporary(path):
            return RESERVED_NAME
        return None

    def failure(self, error: Exception) -> Failure:
        return failure_of(error)

    def close(self) -> None:
        self._methods.release()

    def _listed_size(self, path: str, info: Mapping[str, Any]) -> int | None:
        size = info.get("size")
        if size is None or self._compressed or not is_size_known(self._methods, path):
            return None
        return int(size)

    async def _remove_copy(self, path: str) -> None:
        if self._copies is not None:
            await self._methods.run(self._copies.remove, path)
