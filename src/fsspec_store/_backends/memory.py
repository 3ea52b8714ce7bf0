"""Memory backend: fsspec's in-memory filesystem, through its dictionary of files.

Operations on the dictionary are atomic, faster than a switch to a thread, and allow a key and keys
below it at the same time.
"""

from __future__ import annotations

import threading
from contextlib import aclosing
from functools import partial
from heapq import merge
from math import inf
from typing import TYPE_CHECKING, Any

from fsspec.implementations.memory import MemoryFile

from .._core.failures import (
    ChangedWhileReadError,
    Failure,
    RangeNotSatisfiableError,
    builtin_failure,
)
from .._core.ranges import bounds
from .._core.streams import OpenValue, ValueWriter, in_memory
from .._core.versions import content_version
from .._runtime.forks import free_in_child
from .._runtime.threads import pause
from .base import Backend
from .collected import CollectedValue
from .pages import Details, Page
from .traits import Traits

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from .._core.byte_requests import ByteRequest

__all__ = ["MemoryBackend"]

_PAGE_SIZE = 1000

#: Held during each change, so that compare and swap is atomic.
_writing = free_in_child(threading.Lock())


class MemoryBackend(Backend):
    """Values of ``MemoryFileSystem.store``, by paths such as ``/folder/key``."""

    #: Each partial listing would scan the whole dictionary.
    fans_out = False
    runs_in_place = True
    lists_in_order = True
    streams = True
    traits = Traits("digest of the value", largest_copy=inf)

    fs: Any

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        file = self.fs.store.get(path)
        if file is None:
            return None
        # A copy: an exported buffer would prevent other users of fsspec from appending to the file.
        data: bytes = file.getvalue()
        if request is None:
            return data
        start, end = bounds(request, len(data))
        return memoryview(data)[start:end]

    async def size(self, path: str) -> int | None:
        file = self.fs.store.get(path)
        return None if file is None else int(file.getbuffer().nbytes)

    async def stat(self, path: str) -> tuple[int, Details] | None:
        file = self.fs.store.get(path)
        return None if file is None else (int(file.getbuffer().nbytes), Details(file.modified))

    async def write(self, path: str, data: memoryview) -> None:
        file = MemoryFile(self.fs, path, bytes(data))
        with _writing:
            self.fs.store[path] = file

    async def create(self, path: str, data: memoryview) -> bool:
        file = MemoryFile(self.fs, path, bytes(data))
        with _writing:
            return self.fs.store.setdefault(path, file) is file

    async def read_version(self, path: str) -> tuple[bytes | memoryview, str] | None:
        file = self.fs.store.get(path)
        if file is None:
            return None
        data: bytes = file.getvalue()
        return data, content_version(data)

    async def replace(self, path: str, data: memoryview, version: str) -> bool:
        file = MemoryFile(self.fs, path, bytes(data))
        with _writing:
            old = self.fs.store.get(path)
            if old is None or content_version(old.getvalue()) != version:
                return False
            self.fs.store[path] = file
            return True

    async def copy(self, source_path: str, path: str, version: str | None = None) -> bool:
        data = await self.read(source_path, None)
        if data is None:
            return False
        if version is not None and content_version(data) != version:
            raise ChangedWhileReadError
        await self.write(path, memoryview(data))
        return True

    async def open_value(self, path: str, start: int, version: str | None) -> OpenValue | None:
        file = self.fs.store.get(path)
        if file is None:
            return None
        data: bytes = file.getvalue()
        if version is not None and content_version(data) != version:
            raise ChangedWhileReadError
        if start > len(data):
            raise RangeNotSatisfiableError(len(data))
        part_bytes = self.settings.reads.size
        return in_memory(data, part_bytes=part_bytes, version=version, modified=file.modified)

    def open_writer(self, path: str, size: int | None) -> ValueWriter:
        return CollectedValue(partial(self.write, path), max_bytes=None)

    async def remove(self, path: str) -> None:
        await self.remove_many([path], limit=1)

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        with _writing:
            for path in paths:
                self.fs.store.pop(path, None)

    async def pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        limit = page_size or _PAGE_SIZE
        objects: list[tuple[str, int | None]] = []
        prefixes: list[str] = []
        seen: set[str] = set()
        # A snapshot: other threads may write during the listing.
        paths = list(self.fs.store)
        runs: list[list[str]] = []
        # Other tasks of the loop run between two parts.
        for start in range(0, len(paths), _PAGE_SIZE):
            await pause(0)
            part = paths[start : start + _PAGE_SIZE]
            runs.append(sorted(path for path in part if path.startswith(directory + name_prefix)))
        for number, path in enumerate(merge(*runs), start=1):
            if number % _PAGE_SIZE == 0:
                await pause(0)
            file = self.fs.store.get(path)
            if file is None:
                continue
            name, below, _ = path[len(directory) :].partition("/")
            if not below or recursive:
                objects.append((path, file.getbuffer().nbytes))
            elif name not in seen:
                seen.add(name)
                prefixes.append(directory + name)
            if len(objects) + len(prefixes) >= limit:
                yield Page(objects, prefixes)
                objects, prefixes = [], []
        yield Page(objects, prefixes)

    async def detailed_pages(
        self,
        directory: str,
        name_prefix: str,
        *,
        recursive: bool = True,
        start_after: str = "",
        page_size: int | None = None,
    ) -> AsyncGenerator[Page, None]:
        pages = self.pages(directory, name_prefix, recursive=recursive, page_size=page_size)
        async with aclosing(pages):
            async for page in pages:
                files = {path: self.fs.store.get(path) for path, _ in page.objects}
                details = {
                    path: Details(file.modified) for path, file in files.items() if file is not None
                }
                yield page._replace(details=details)

    def failure(self, error: Exception) -> Failure:
        return builtin_failure(error)
