"""Local files, with atomic writes.

Calls the operating system in threads: fsspec's local filesystem overwrites in place, does not
create atomically, and lists empty folders. A value is written to a temporary file in the key's
folder and renamed, so readers see the old or the new value, also after a killed write. There is no
``fsync``: a power cut may undo the last writes.
"""

from __future__ import annotations

import os
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

from ..._core.failures import Failure, builtin_failure
from ..._runtime.threads import in_thread
from ..base import Backend
from ..pages import Details
from ..temporary_names import RESERVED_NAME, is_temporary
from ..traits import Traits
from .copying import Copy, SourceMissingError
from .locks import run_locked
from .reading import read, read_version, size, status_of
from .removing import remove_below, remove_empty_above, remove_temporary
from .streams import LocalWriter, open_value
from .walking import detailed_pages, modified, pages, temporary_files
from .writing import Creation, Replacement, TemporaryFile, Write, remove_files

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence

    from ..._core.byte_requests import ByteRequest
    from ..._core.leftovers import Leftover
    from ..._core.streams import OpenValue, ValueWriter
    from ..pages import Page

__all__ = ["LocalBackend"]

T = TypeVar("T")

_PAGE_SIZE = 1000
#: Maximum bytes of a name on common filesystems (NAME_MAX).
_MAX_NAME_BYTES = 255
#: Maximum bytes of a path: PATH_MAX of Linux is 4096, less the length of a temporary name.
_MAX_PATH_BYTES = 4000


class LocalBackend(Backend):
    """Regular files, by absolute paths."""

    #: A listing detects links to folders above only if it lists these folders too.
    fans_out = False
    runs_in_place = True
    hides_missing_keys = False
    lists_in_order = True
    streams = True
    traits = Traits(
        "digest of the value",
        largest_copy=inf,
        longest_key=f"{_MAX_NAME_BYTES} bytes in a segment, {_MAX_PATH_BYTES:,} in a path",
    )
    #: The number of threads: more operations would only wait.
    default_concurrency = 32

    def real_directory(self, directory: str) -> str:
        return os.path.join(os.path.realpath(directory), "")

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        return await in_thread(read, path, request)

    async def size(self, path: str) -> int | None:
        return await in_thread(size, path)

    async def stat(self, path: str) -> tuple[int, Details] | None:
        found = await in_thread(status_of, path)
        return None if found is None else (found.st_size, Details(modified(found)))

    async def write(self, path: str, data: memoryview) -> None:
        await self._run(Write(path, data))

    async def create(self, path: str, data: memoryview) -> bool:
        return await self._run(Creation(path, data))

    async def read_version(self, path: str) -> tuple[bytes | memoryview, str] | None:
        return await in_thread(read_version, path)

    async def open_value(self, path: str, start: int, version: str | None) -> OpenValue | None:
        return await in_thread(open_value, path, start, version, self.settings.reads.size)

    def open_writer(self, path: str, size: int | None) -> ValueWriter:
        return LocalWriter(path, self.settings.policy.timeout)

    async def replace(self, path: str, data: memoryview, version: str) -> bool:
        try:
            return await self._run(Replacement(path, data, version))
        except NotImplementedError:
            self.supports_replace = False
            raise

    async def copy(self, source_path: str, path: str, version: str | None = None) -> bool:
        try:
            await self._run(Copy(source_path, path, version))
        except SourceMissingError:
            return False
        return True

    async def remove(self, path: str) -> None:
        await self.remove_many([path], limit=1)

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        remaining = list(reversed(paths))
        await run_locked(partial(remove_files, remaining), self.settings.policy.timeout)

    def pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        return _in_threads(pages(directory, name_prefix, recursive, page_size or _PAGE_SIZE))

    def detailed_pages(
        self,
        directory: str,
        name_prefix: str,
        *,
        recursive: bool = True,
        start_after: str = "",
        page_size: int | None = None,
    ) -> AsyncGenerator[Page, None]:
        limit = page_size or _PAGE_SIZE
        if not recursive:
            return _in_threads(pages(directory, name_prefix, False, limit, details=True))
        return _in_threads(detailed_pages(directory, name_prefix, start_after, limit))

    async def remove_below(self, directory: str, *, limit: int, is_root: bool) -> None:
        removal = partial(remove_below, directory, is_root=is_root)
        await run_locked(removal, self.settings.policy.timeout)

    async def remove_empty_folders(self, directory: str, root: str) -> None:
        await in_thread(remove_empty_above, directory, root)

    async def leftovers(self, directory: str) -> AsyncGenerator[Leftover, None]:
        for leftover in await in_thread(temporary_files, directory):
            yield leftover

    async def remove_leftover(self, leftover: Leftover) -> None:
        await in_thread(remove_temporary, leftover.key)

    def check_root(self, root: str) -> str | None:
        try:
            os.fsencode(root)
        except UnicodeEncodeError:
            return "the name cannot be encoded as a file name"
        return None

    def check_path(self, path: str) -> str | None:
        if is_temporary(path):
            return RESERVED_NAME
        # Fast path: a character has at most four bytes.
        if len(path) * 4 <= _MAX_NAME_BYTES:
            return None
        if max(len(os.fsencode(segment)) for segment in path.split("/")) > _MAX_NAME_BYTES:
            return f"a file's name has at most {_MAX_NAME_BYTES} bytes"
        if len(os.fsencode(path)) > _MAX_PATH_BYTES:
            return f"a file's path has at most {_MAX_PATH_BYTES} bytes"
        return None

    def failure(self, error: Exception) -> Failure:
        return builtin_failure(error)

    async def _run(self, operation: TemporaryFile[T]) -> T:
        timeout = self.settings.policy.timeout
        return await run_locked(operation.attempt, timeout, operation.discard)


async def _in_threads(walk: Generator[Page, None, None]) -> AsyncGenerator[Page, None]:
    """Yield the pages of a walk, each of them made in a thread."""
    try:
        while (page := await in_thread(next, walk, None)) is not None:
            yield page
    finally:
        await in_thread(walk.close)
