"""Every other fsspec protocol, through the methods each of its filesystems has.

Nothing is assumed that a filesystem does not promise: a value is written by ``pipe_file``, whose
overwrite may not be atomic, and created after a look, which other writers may slip past
(``supports_atomic_create`` is false).
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from ..concurrency import for_each
from ..filesystem import protocols
from ..ranges import is_out_of_range, resolve
from ..threads import in_thread
from .base import Backend, Failure, Page, RangeNotSatisfiableError, builtin_failure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from fsspec import AbstractFileSystem

    from ..byte_requests import ByteRequest

__all__ = ["GenericBackend"]

#: Filesystems of these protocols inherit write methods that cannot work.
_READ_ONLY = frozenset({"http", "https", "github", "git", "tar", "libarchive", "data"})

_NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class GenericBackend(Backend):
    """Objects of any fsspec filesystem, by its own paths."""

    supports_atomic_create = False
    default_concurrency = 32

    def __init__(self, fs: AbstractFileSystem) -> None:
        super().__init__(fs)
        read_only = bool(_READ_ONLY.intersection(protocols(fs))) or getattr(fs, "mode", "") == "r"
        self.supports_writes = self.supports_deletes = not read_only
        self._ls_options = {"refresh": True} if _takes(fs, "ls", "refresh") else {}

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        try:
            if request is None:
                return await self._bytes(path)
            # The size first: a filesystem may not know suffixes, and a server that ignores ranges
            # may send a whole object just as long as the part that was asked for.
            size = await self.size(path)
            if size is None:
                return None
            if is_out_of_range(request, size):
                raise RangeNotSatisfiableError(size)
            start, end = resolve(request, size)
            if start == end:
                return b""
            if (start, end) == (0, size):
                data = await self._bytes(path)
            else:
                data = await self._bytes(path, start=start, end=end)
        except _NO_FILE:
            return None
        except KeyError:
            # How archives of some versions say that a path is no member, or a folder.
            if await self.size(path) is None:
                return None
            raise
        if len(data) == end - start:
            return data
        if len(data) == size:
            return memoryview(data)[start:end]
        raise OSError(f"{len(data)} bytes came for bytes {start} to {end} of {path!r}")

    async def size(self, path: str) -> int | None:
        try:
            info = await self._call("info", path)
        except _NO_FILE:
            return None
        if info["type"] == "directory":
            return None
        size = info.get("size")
        # Some servers do not say; then the object itself does.
        return len(await self._bytes(path)) if size is None else int(size)

    async def write(self, path: str, data: memoryview) -> None:
        content = bytes(data)
        try:
            await self._call("pipe_file", path, content)
        except FileNotFoundError:
            # Where folders are real they are made first, but only then: most services have none.
            await self._call("makedirs", path.rpartition("/")[0], exist_ok=True)
            await self._call("pipe_file", path, content)

    async def create(self, path: str, data: memoryview) -> bool:
        if await self.size(path) is not None:
            return False
        await self.write(path, data)
        return True

    async def remove(self, path: str) -> None:
        try:
            # rm_file and not rm, which takes "*" and "[" in a key for a pattern.
            await self._call("rm_file", path)
        except _NO_FILE:
            pass

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        await for_each(self.remove, paths, limit=limit)

    async def pages(
        self, directory: str, stem: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        waiting = [directory.rstrip("/")]
        while waiting:
            folder = waiting.pop()
            objects: list[tuple[str, int | None]] = []
            prefixes: list[str] = []
            for path, info in (await self._children(folder)).items():
                if not path.startswith(directory + stem):
                    continue
                if info["type"] == "directory":
                    prefixes.append(path)
                else:
                    objects.append((path, info.get("size")))
            if recursive:
                waiting.extend(prefixes)
                yield Page(objects)
            else:
                yield Page(objects, prefixes)
            stem = ""

    def failure(self, error: Exception) -> Failure:
        status = getattr(error, "status", None) or getattr(error, "status_code", None)
        if status in (401, 403):
            return Failure.FORBIDDEN
        return builtin_failure(error)

    async def _bytes(self, path: str, **bounds: int) -> bytes:
        return await self._call("cat_file", path, **bounds)  # type: ignore[no-any-return]

    async def _children(self, folder: str) -> dict[str, dict[str, Any]]:
        try:
            infos = await self._call("ls", folder, detail=True, **self._ls_options)
        except _NO_FILE:
            return {}
        # Markers of a folder itself, and files listed for their own path, are not its children.
        children = {info["name"].rstrip("/"): info for info in infos}
        return {path: info for path, info in children.items() if path != folder}

    async def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if not self.fs.async_impl:
            return await in_thread(getattr(self.fs, method), *args, **kwargs)
        call = getattr(self.fs, "_" + method)(*args, **kwargs)
        if self.fs.asynchronous:
            return await call
        # Its session lives on fsspec's own loop, where it works whichever loop asks.
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self.fs.loop))


def _takes(fs: AbstractFileSystem, method: str, option: str) -> bool:
    function = getattr(fs, ("_" if fs.async_impl else "") + method)
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        return False
    return option in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )
