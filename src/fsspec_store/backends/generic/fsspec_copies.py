"""The copies that fsspec itself made, in this process or another, at any time.

fsspec copies in place: a file that exists may be half of a value, also after its process was
killed, and may be overwritten at any time. So a copy is used only after it was compared with what
the service says of the value, once in each process, and only as long as the file stays as it was.
"""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from fsspec.implementations.cache_mapper import HashCacheMapper
from fsspec.implementations.cached import SimpleCacheFileSystem, WholeFileCacheFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsspec import AbstractFileSystem
    from fsspec.implementations.cached import CachingFileSystem

__all__ = ["FsspecCopies", "state_of"]

#: Copies that were compared are remembered, up to so many.
_MAX_REMEMBERED = 1 << 20


class FsspecCopies:
    """fsspec's copies in the folders of a layer that copies whole values.

    Parameters
    ----------
    layer : CachingFileSystem
        The user's.
    """

    def __init__(self, layer: CachingFileSystem) -> None:
        self._folders: list[str] = list(layer.storage)
        self._mapper = layer._mapper
        self._expiry = layer.expiry
        self._has_metadata = not isinstance(layer, SimpleCacheFileSystem)
        # With names shorter than a hash several values share one file. Of a value that is
        # compressed below, the copy's size is not known. A file of blocks has the value's size from
        # the beginning, and fsspec records blocks before they are there.
        self._is_usable = (
            isinstance(layer, WholeFileCacheFileSystem)
            and type(layer._mapper) is HashCacheMapper
            and not layer.compression
        )
        self._metadata: dict[str, tuple[object, dict[str, Any]]] = {}
        self._compared: set[int] = set()

    def open(self, path: str, uid: str | None, below: AbstractFileSystem | None) -> BinaryIO | None:
        """A whole copy, open; ``None`` where there is none.

        Parameters
        ----------
        path : str
            Of the value.
        uid : str, optional
            What the service says of the value's version, where that was asked.
        below : AbstractFileSystem, optional
            Who to ask about a copy that was not compared yet. Without it only copies that were
            compared are opened.
        """
        if not self._is_usable:
            return None
        for file_path, recorded in self._files(path):
            if uid is not None and recorded != uid:
                continue
            try:
                file = open(file_path, "rb")  # noqa: SIM115
            except (FileNotFoundError, IsADirectoryError):
                continue
            try:
                if self._is_whole(path, recorded, file, below):
                    return file
            except BaseException:
                file.close()
                raise
            file.close()
        return None

    def remove(self, path: str) -> bool:
        """Remove the copy from the folder that is written to.

        Returns
        -------
        bool
            Whether another folder, which may only be read, has a copy, too.
        """
        name = self._mapper(path)
        files = [os.path.join(folder, name) for folder in self._folders]
        with suppress(OSError):
            os.unlink(files[-1])
        return any(os.path.exists(file) for file in files[:-1])

    def _files(self, path: str) -> Iterator[tuple[str, str | None]]:
        """Files that may be copies, and the version that fsspec recorded, if it records any."""
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
            # Not there, or being written by an old release.
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
            # The metadata may be another process's, and of another version than the file.
            return False
        if len(self._compared) >= _MAX_REMEMBERED:
            self._compared.clear()
        self._compared.add(seen)
        return True


def _is_recent(made: object, expiry: float) -> bool:
    """Whether a copy was made so many seconds ago, or as many ahead by a wrong clock."""
    return isinstance(made, (int, float)) and abs(time.time() - made) <= expiry


def state_of(status: os.stat_result) -> tuple[int, int, int]:
    """The fields of a file's status that a write changes."""
    return status.st_ino, status.st_size, status.st_mtime_ns


def _has_hole(file: BinaryIO, size: int) -> bool:
    """Whether a part was never written, as in a copy whose parts came in any order."""
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
