"""The copies that a caching layer keeps (``simplecache::``, ``filecache::``, ``blockcache::``).

The layer is what the user asked for, so values come from its copies, however old. Everything else
is asked of the filesystem below, of which this module is given the instance to use. Its methods
block. How processes share a folder is known to `copy_folders`, what fsspec left in it to
`fsspec_copies`.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from fsspec.callbacks import Callback
from fsspec.compression import compr
from fsspec.implementations.cached import WholeFileCacheFileSystem
from fsspec.utils import infer_compression

from ...ranges import is_out_of_range, resolve
from ..base import RangeNotSatisfiableError
from .block_copies import BlockCopies
from .copy_folders import CopyFolder, NotCopiedError, lock_of
from .facts import facts_of
from .fsspec_copies import FsspecCopies, state_of
from .reading import version_in
from .service_identity import digest_of, identity_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from fsspec.implementations.cached import CachingFileSystem

    from ...byte_requests import ByteRequest
    from .copy_folders import Copy

__all__ = ["Copies"]

#: A value that changes while it is copied is copied again so often.
_TRIES = 3


class Copies:
    """The copies of one layer.

    Parameters
    ----------
    fs : CachingFileSystem
        The user's layer.

    Attributes
    ----------
    compressed : bool
        Whether values are compressed below, and copies are not.
    """

    def __init__(self, fs: CachingFileSystem) -> None:
        self._fs = fs
        self.compressed = bool(fs.compression)
        # Where sizes are not those of the values, values are copied whole.
        has_sizes = not (self.compressed or facts_of(fs.fs).refers)
        self._keeps_blocks = has_sizes and not isinstance(fs, WholeFileCacheFileSystem)
        self._fsspec = FsspecCopies(fs)
        # Two services may have the same paths, and layers of different kinds the same folder.
        kind = "blocks" if self._keeps_blocks else fs.compression or "whole"
        self._identity = f"{kind} {identity_of(fs.fs)} "

    def read(
        self, below: AbstractFileSystem, path: str, request: ByteRequest | None
    ) -> bytes | memoryview:
        """The bytes of a copy, which is fetched first where there is none."""
        folder = self._folder(path)
        if self._keeps_blocks:
            asked = BlockCopies(
                folder,
                below,
                path,
                uid=lambda: self._uid(below, path),
                valid=lambda uid: self._valid(folder, uid),
            )
            return asked.read(request)
        for _ in range(_TRIES):
            with self._open(folder, below, path) as file:
                opened = os.fstat(file.fileno())
                data = _read_part(file, request, opened.st_size)
                # fsspec overwrites its copies in place.
                if state_of(os.fstat(file.fileno())) == state_of(opened):
                    return data
        raise NotCopiedError(f"the copy of {path!r} was overwritten each time it was read")

    def forget(self, _below: AbstractFileSystem, path: str) -> None:
        """Remove the copies of a value that was just changed, and those that are being made."""
        self._folder(path).forget(is_elsewhere=self._fsspec.remove(path))

    def _folder(self, path: str) -> CopyFolder:
        return CopyFolder(self._fs.storage, digest_of(self._identity + path, length=40))

    def _open(self, folder: CopyFolder, below: AbstractFileSystem, path: str) -> BinaryIO:
        uid = self._uid(below, path)
        file = self._open_kept(folder, uid) or self._open_fsspecs(folder, path, uid, None)
        if file is not None:
            return file
        with lock_of(folder.path):
            # Another thread may have made it meanwhile, of a newer version.
            uid = self._uid(below, path)
            return (
                self._open_kept(folder, uid)
                or self._open_fsspecs(folder, path, uid, below)
                or self._fetch(folder, below, path, uid)
            )

    def _open_kept(self, folder: CopyFolder, uid: str | None) -> BinaryIO | None:
        while (copy := self._valid(folder, uid)) is not None:
            # It is removed when a newer copy is made, or a store changes the value.
            with suppress(FileNotFoundError):
                file = open(copy.path, "rb")  # noqa: SIM115
                if os.fstat(file.fileno()).st_size == int(copy.fields[1], 16):
                    return file
                # A power cut can leave a file like this.
                file.close()
                return None
        return None

    def _open_fsspecs(
        self, folder: CopyFolder, path: str, uid: str | None, below: AbstractFileSystem | None
    ) -> BinaryIO | None:
        return None if folder.is_changed() else self._fsspec.open(path, uid, below)

    def _valid(self, folder: CopyFolder, uid: str | None) -> Copy | None:
        """The newest copy that the layer's options allow to be used."""
        for copy in folder.copies():
            age = time.time() - copy.made
            if self._fs.expiry and age > self._fs.expiry:
                return None
            if self._fs.expiry and age < -self._fs.expiry:
                # The clock was ahead when it was made. It would stay the newest, and not expire.
                if copy.is_writable:
                    folder.discard(copy.path)
                continue
            if uid is None or copy.fields[0] == digest_of(uid):
                return copy
        return None

    def _uid(self, below: AbstractFileSystem, path: str) -> str | None:
        """What the service says of the value's version, if the layer is to ask each time."""
        return str(below.ukey(path)) if self._fs.check_files else None

    def _fetch(
        self, folder: CopyFolder, below: AbstractFileSystem, path: str, uid: str | None
    ) -> BinaryIO:
        """Copy a value, and open the copy."""
        self._fs._mkcache()
        for attempt in range(_TRIES):
            if attempt:
                # Asked before the value itself: with an older version a copy is only made again.
                uid = self._uid(below, path)
            temporary = folder.new_file()
            try:
                if not self._copy(folder, below, path, temporary):
                    continue
                with ExitStack() as stack:
                    file = stack.enter_context(open(temporary, "rb"))
                    size = os.fstat(file.fileno()).st_size
                    # Unpublished, it still is one version of the value, for this reader.
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
    """Copy a value to a file; ``False`` if it was changed meanwhile.

    Raises
    ------
    OSError
        When only a part of it came.
    """
    before = below.info(path)
    if before["type"] != "file":
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    # A set of references tells the length of its own text.
    size = None if facts_of(below).refers else before.get("size")
    if size is not None and size > shutil.disk_usage(os.path.dirname(target)).free:
        # Some filesystems make a list of the parts of a value first.
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} for {size} bytes", target)
    below.get_file(path, target, **({} if size is None else {"callback": _UpTo(size, path)}))
    if version_in(below.info(path)) != version_in(before):
        return False
    copied = os.path.getsize(target)
    if size is not None and copied != size:
        raise OSError(f"{copied} of {size} bytes of {path!r} came: it was not copied whole")
    return True


class _UpTo(Callback):  # type: ignore[misc]
    """Ends the copying of a value that has more bytes than its size: there may be no end of them.

    Parameters
    ----------
    longest : int
        The size.
    path : str
        Of the value.
    """

    def __init__(self, longest: int, path: str) -> None:
        super().__init__()
        self._longest = longest
        self._path = path

    def call(self, hook_name: str | None = None, **kwargs: Any) -> None:
        """Look at how much was copied, and at how much the response states."""
        if max(self.value, self.size or 0) > self._longest:
            raise OSError(
                f"more than {self._longest} bytes of {self._path!r} came: it was not copied"
            )


def _read_part(file: BinaryIO, request: ByteRequest | None, size: int) -> bytes:
    if request is None:
        return file.read()
    # The copy's size, whatever the service's is by now.
    if is_out_of_range(request, size):
        raise RangeNotSatisfiableError(size)
    start, end = resolve(request, size)
    file.seek(start)
    return file.read(end - start)
