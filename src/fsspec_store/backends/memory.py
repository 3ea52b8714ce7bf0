"""fsspec's in-memory filesystem, whose files are the values of one dictionary.

Operations on the dictionary itself hold both a key and keys below it, are atomic, and take less
time than handing them to a thread would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsspec.implementations.memory import MemoryFile

from ..ranges import is_out_of_range, resolve
from .base import Backend, Failure, Page, RangeNotSatisfiableError, builtin_failure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from ..byte_requests import ByteRequest

__all__ = ["MemoryBackend"]

_PAGE_SIZE = 1000


class MemoryBackend(Backend):
    """Values of ``MemoryFileSystem.store``, by paths such as ``/folder/key``."""

    fs: Any

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        file = self.fs.store.get(path)
        if file is None:
            return None
        # The bytes are copied: a file that fsspec's users may append to must not be pinned.
        data: bytes = file.getvalue()
        if request is None:
            return data
        if is_out_of_range(request, len(data)):
            raise RangeNotSatisfiableError(len(data))
        start, end = resolve(request, len(data))
        return memoryview(data)[start:end]

    async def size(self, path: str) -> int | None:
        file = self.fs.store.get(path)
        return None if file is None else int(file.getbuffer().nbytes)

    async def write(self, path: str, data: memoryview) -> None:
        self.fs.store[path] = MemoryFile(self.fs, path, bytes(data))

    async def create(self, path: str, data: memoryview) -> bool:
        file = MemoryFile(self.fs, path, bytes(data))
        # One step for the interpreter: of several threads, one inserts.
        return self.fs.store.setdefault(path, file) is file

    async def remove(self, path: str) -> None:
        self.fs.store.pop(path, None)

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        for path in paths:
            self.fs.store.pop(path, None)

    async def pages(
        self, directory: str, stem: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        limit = page_size or _PAGE_SIZE
        objects: list[tuple[str, int | None]] = []
        prefixes: list[str] = []
        seen: set[str] = set()
        # A snapshot: other threads write while this one lists.
        for path, file in sorted(self.fs.store.items()):
            if not path.startswith(directory + stem):
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

    def failure(self, error: Exception) -> Failure:
        return builtin_failure(error)
