"""The cached copies that fsspec itself made, in any process.

fsspec writes copies in place: a file may be incomplete, also after its process was killed, and may
be overwritten at any time. A copy is used only after it was compared with the service's metadata,
once in each process, and only as long as the file does not change.
"""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from fsspec.implementations.cache_mapper import HashCacheMapper
from fsspec.implementations.cached import SimpleCacheFileSystem, WholeFileCacheFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsspec import AbstractFileSystem
    from fsspec.implementations.cached import CachingFileSystem

__all__ = ["FsspecCopies", "state_of"]

#: Maximum number of compared copies that are remembered.
_MAX_REMEMBERED = 1 << 20


class FsspecCopies:
    """Copies of fsspec in the folders of a layer that copies whole values."""

    def __init__(self, layer: CachingFileSystem) -> None:
        self._folders: list[str] = list(layer.storage)
        self._mapper = layer._mapper
        self._expiry = layer.expiry
        self._has_metadata = not isinstance(layer, SimpleCacheFileSystem)
        # With names other than hashes, several values may share a file. For values that are
        # compressed below, the size of the copy is unknown. A file of blocks has the value's size
        # from the beginning, and fsspec records blocks before it writes them.
        self._is_usable = (
            isinstance(layer, WholeFileCacheFileSystem)
            and type(layer._mapper) is HashCacheMapper
            and not layer.compression
        )
        self._metadata: dict[str, tuple[object, dict[str, Any]]] = {}
        self._compared: set[int] = set()

    def open(self, path: str, uid: str | None, below: AbstractFileSystem | None) -> BinaryIO | None:
        """Open a complete copy of this version, if the layer checks it; ``None`` without a copy.

        Copies are compared with the filesystem below. Without it only copies that were already
        compared are opened.
        """
        if not self._is_usable:
            return None
        for file_path, recorded in self._files(path):
            if uid is not None and recorded != uid:
                continue
            with suppress(FileNotFoundError, IsADirectoryError), ExitStack() as stack:
                file = stack.enter_context(open(file_path, "rb"))
                if self._is_whole(path, recorded, file, below):
                    stack.pop_all()
                    return file
        return None

    def remove(self, path: str) -> bool:
        """Remove the copy from the writable folder; return whether a read-only folder has one."""
        name = self._mapper(path)
        files = [os.path.join(folder, name) for folder in self._folders]
        with suppress(OSError):
            os.unlink(files[-1])
        return any(os.path.exists(file) for file in files[:-1])

    def _files(self, path: str) -> Iterator[tuple[str, str | None]]:
        """Files that may be copies, with the recorded version, if fsspec records it."""
        for folder in self._folders:
            if not self._has_metadata:
                yield os.path.join(folder, self._mapper(path)), None
                continue
            detail = self._details(folder).get(path)
            if not isinstance(detail, dict) or detail.get("blocks") is not True:
                continue
            made = detail.get("time", 0)
            if self._expiry and not _is_recent(made, self._expiry):
                continue
            yield os.path.join(folder, str(detail.get("fn"))), str(detail.get("uid"))

    def _details(self, folder: str) -> dict[str, Any]:
        path = os.path.join(folder, "cache")
        try:
            state: object = state_of(os.stat(path))
            known, details = self._metadata.get(folder, (None, {}))
            if known != state:
                with open(path, encoding="utf-8") as file:
                    details = json.load(file)
                self._metadata[folder] = state, details
        except (OSError, ValueError):
            # Missing, or being written in place by an old release.
            return {}
        return details

    def _is_whole(
        self, path: str, recorded: str | None, file: BinaryIO, below: AbstractFileSystem | None
    ) -> bool:
        status = os.fstat(file.fileno())
        seen = hash((path, recorded, status.st_dev, *state_of(status)))
        if seen in self._compared:
            return True
        if below is None:
            return False
        if below.info(path).get("size") != status.st_size or _has_hole(file, status.st_size):
            return False
        if recorded is not None and str(below.ukey(path)) != recorded:
            # Another process may have written metadata of another version.
            return False
        if len(self._compared) >= _MAX_REMEMBERED:
            self._compared.clear()
        self._compared.add(seen)
        return True


def _is_recent(made: object, expiry: float) -> bool:
    """Whether a copy is at most ``expiry`` seconds old, or ahead by a wrong clock."""
    return isinstance(made, (int, float)) and abs(time.time() - made) <= expiry


def state_of(status: os.stat_result) -> tuple[int, int, int]:
    """The fields of a file's status that change with a write."""
    return status.st_ino, status.st_size, status.st_mtime_ns


def _has_hole(file: BinaryIO, size: int) -> bool:
    """Whether a part was never written, as in an incomplete copy whose parts arrive unordered."""
    if not size or not hasattr(os, "SEEK_HOLE"):
        return False
    try:
        return os.lseek(file.fileno(), 0, os.SEEK_HOLE) < size
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENXIO):
            raise
        return False
    finally:
        os.lseek(file.fileno(), 0, os.SEEK_SET)
