"""The copies of a caching layer (``simplecache::``, ``filecache::``, ``blockcache::``).

The user configured the layer, so values are read from its copies, however old. Everything else uses
the filesystem below. The methods here block. `copy_folders` shares a folder between processes,
`fsspec_copies` reads the copies that fsspec made.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from fsspec.callbacks import Callback
from fsspec.compression import compr
from fsspec.implementations.cached import CachingFileSystem, WholeFileCacheFileSystem
from fsspec.utils import infer_compression

from ..._core.ranges import bounds
from .block_copies import BlockCopies
from .copy_folders import CopyFolder, NotCopiedError, lock_of
from .fsspec_copies import FsspecCopies, state_of
from .quirks import quirks_of
from .reading import version_in
from .service_identity import digest_of, identity_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from ..._core.byte_requests import ByteRequest

__all__ = ["CachedCopies"]

#: Maximum number of attempts to copy a value that changes meanwhile.
_ATTEMPTS = 3


class CachedCopies:
    """The copies of one layer."""

    def __init__(self, fs: CachingFileSystem) -> None:
        self._fs = fs
        #: Whether the filesystem below has compressed values. Copies are not compressed.
        self.compressed = bool(fs.compression)
        # The sizes of such values are unknown, so they are copied whole.
        has_sizes = not (self.compressed or quirks_of(fs.fs).references)
        self._keeps_blocks = has_sizes and not isinstance(fs, WholeFileCacheFileSystem)
        self._fsspec = FsspecCopies(fs)
        # Two services may have the same paths, and different layers the same folder.
        kind = "blocks" if self._keeps_blocks else fs.compression or "whole"
        self._identity = f"{kind} {identity_of(fs.fs)} "

    def read(
        self, below: AbstractFileSystem, path: str, request: ByteRequest | None
    ) -> bytes | memoryview:
        """Read from a copy, which is made first if there is none."""
        folder = self._folder(path)
        if self._keeps_blocks:
            return BlockCopies(folder, below, path, partial(self._uid, below, path)).read(request)
        for _ in range(_ATTEMPTS):
            with self._open(folder, below, path) as file:
                opened = os.fstat(file.fileno())
                # The copy's size: that of the value may have changed.
                start, end = bounds(request, opened.st_size)
                file.seek(start)
                data = file.read(end - start)
                # fsspec overwrites its copies in place.
                if state_of(os.fstat(file.fileno())) == state_of(opened):
                    return data
        raise NotCopiedError(f"the copy of {path!r} was overwritten each time it was read")

    def remove(self, _below: AbstractFileSystem, path: str) -> None:
        """Remove the copies of a changed value, also those that are being made."""
        self._folder(path).remove(is_elsewhere=self._fsspec.remove(path))

    def _folder(self, path: str) -> CopyFolder:
        digest = digest_of(self._identity + path, length=40)
        return CopyFolder(self._fs.storage, digest, self._fs.expiry)

    def _open(self, folder: CopyFolder, below: AbstractFileSystem, path: str) -> BinaryIO:
        uid = self._uid(below, path)
        file = self._open_own(folder, uid) or self._open_fsspec(folder, path, uid, None)
        if file is not None:
            return file
        with lock_of(folder.path):
            # Another thread may have made it meanwhile, of a newer version.
            uid = self._uid(below, path)
            return (
                self._open_own(folder, uid)
                or self._open_fsspec(folder, path, uid, below)
                or self._fetch(folder, below, path, uid)
            )

    def _open_own(self, folder: CopyFolder, uid: str | None) -> BinaryIO | None:
        while (copy := folder.valid(uid)) is not None:
            # Removed when a newer copy is made, or a store changes the value.
            with suppress(FileNotFoundError):
                file = open(copy.path, "rb")  # noqa: SIM115
                if os.fstat(file.fileno()).st_size == int(copy.fields[1], 16):
                    return file
                # A power cut can truncate the file.
                file.close()
                return None
        return None

    def _open_fsspec(
        self, folder: CopyFolder, path: str, uid: str | None, below: AbstractFileSystem | None
    ) -> BinaryIO | None:
        return None if folder.is_changed() else self._fsspec.open(path, uid, below)

    def _uid(self, below: AbstractFileSystem, path: str) -> str | None:
        """The value's version at the service, or ``None`` if the layer does not check it."""
        return str(below.ukey(path)) if self._fs.check_files else None

    def _fetch(
        self, folder: CopyFolder, below: AbstractFileSystem, path: str, uid: str | None
    ) -> BinaryIO:
        """Copy a value and open the copy."""
        self._fs._mkcache()
        for attempt in range(_ATTEMPTS):
            if attempt:
                # Before the value: an outdated version only causes another copy.
                uid = self._uid(below, path)
            temporary = folder.new_file()
            try:
                if not self._copy(folder, below, path, temporary):
                    continue
                with ExitStack() as stack:
                    file = stack.enter_context(open(temporary, "rb"))
                    size = os.fstat(file.fileno()).st_size
                    # If it is not published, it still is a valid version for this reader.
                    folder.publish(temporary, [digest_of(uid or ""), f"{size:x}"])
                    stack.pop_all()
                    return file
            except FileNotFoundError:
                if folder.is_current(temporary):
                    raise
            finally:
                folder.discard(temporary)
        raise NotCopiedError(f"{path!r} was changed each time it was copied")

    def _copy(self, folder: CopyFolder, below: AbstractFileSystem, path: str, target: str) -> bool:
        name = self._fs.compression
        if name == "infer":
            name = infer_compression(path)
        if not name:
            return _copy_whole(below, path, target)
        compressed = folder.new_file()
        try:
            if not _copy_whole(below, path, compressed):
                return False
            with open(compressed, "rb") as file, open(target, "wb") as copy:
                shutil.copyfileobj(compr[name](file, mode="rb"), copy)
            return True
        finally:
            folder.discard(compressed)


def _copy_whole(below: AbstractFileSystem, path: str, target: str) -> bool:
    """Copy a value to a file; ``False`` if it changed meanwhile."""
    before = below.info(path)
    if before["type"] != "file":
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    # For references, ``info`` has the length of the reference's text.
    size = None if quirks_of(below).references else before.get("size")
    if size is not None and size > shutil.disk_usage(os.path.dirname(target)).free:
        # Checked first: some filesystems build a list of all parts of a value.
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} for {size} bytes", target)
    below.get_file(path, target, **({} if size is None else {"callback": _SizeLimit(size, path)}))
    if version_in(below.info(path)) != version_in(before):
        return False
    copied = os.path.getsize(target)
    if size is not None and copied != size:
        raise OSError(f"received {copied} of {size} bytes of {path!r}: no copy was made")
    return True


class _SizeLimit(Callback):  # type: ignore[misc]
    """Aborts the copying of a value that has more bytes than its stated size."""

    def __init__(self, size: int, path: str) -> None:
        super().__init__()
        self._limit = size
        self._path = path

    def call(self, hook_name: str | None = None, **kwargs: Any) -> None:
        """Check the bytes copied so far and the size that the response states."""
        if max(self.value, self.size or 0) > self._limit:
            raise OSError(
                f"received more than {self._limit} bytes of {self._path!r}: no copy was made"
            )
