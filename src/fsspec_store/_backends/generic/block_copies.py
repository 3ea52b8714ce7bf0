"""The cached blocks of ``blockcache::``, which copies large values in parts.

fsspec keeps blocks in one sparse file, records a block before it is written, and supports only one
process at a time. Here each block is a file, all blocks of one version of a value are in one
folder, and a block is published once it is known to be of that version.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..._core.ranges import bounds
from ..._http.http1.buffer_pool import allocate
from .copy_folders import Copy, CopyFolder, NotCopiedError, lock_of
from .errors import NO_FILE
from .ftp import read_part
from .quirks import quirks_of
from .reading import has_version, requested, version_in
from .service_identity import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fsspec import AbstractFileSystem

    from ..._core.byte_requests import ByteRequest

__all__ = ["BlockCopies"]

#: Bytes of a block: fsspec's default.
_BLOCK = 1 << 22
#: Maximum number of blocks per request.
_MAX_RUN = 16
#: Maximum number of attempts to copy a value that changes meanwhile.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class BlockCopies:
    """The blocks of one value of the filesystem below."""

    folder: CopyFolder
    below: AbstractFileSystem
    path: str
    #: Returns the value's version at the service, or ``None`` if the layer does not check it.
    uid: Callable[[], str | None]

    def read(self, request: ByteRequest | None) -> bytes | memoryview:
        """Read from cached blocks; missing blocks are fetched first."""
        for _ in range(_ATTEMPTS):
            version = self._version()
            if version is None:
                continue
            size = int(version.fields[2], 16)
            start, end = bounds(request, size)
            data = allocate(end - start)
            if self._fill(data, start, version, size):
                return data
            # The other blocks of this version are no longer available.
            if version.is_writable:
                self.folder.discard(version.path)
            else:
                self.folder.remove(is_elsewhere=True)
        raise NotCopiedError(f"{self.path!r} was changed each time it was read")

    def _version(self) -> Copy | None:
        """The block folder of a valid version; a new one for the current version otherwise."""
        found = self.folder.valid(self.uid())
        if found is not None:
            return found
        with lock_of(self.folder.path):
            uid = self.uid()
            found = self.folder.valid(uid)
            if found is not None:
                return found
            # Made before the version is read: a later change of the value removes this folder.
            temporary = self.folder.new_folder()
            try:
                info = self.below.info(self.path)
                if info["type"] != "file":
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.path)
                if info.get("size") is None:
                    raise NotCopiedError(f"the size of {self.path!r} is not known")
                if not has_version(info):
                    # Blocks of different versions would be mixed.
                    raise NotCopiedError(f"the version of {self.path!r} is not known")
                fields = [digest_of(uid or ""), _digest_of_version(info), f"{int(info['size']):x}"]
                return self.folder.publish(temporary, fields)
            finally:
                self.folder.discard(temporary)

    def _fill(self, data: memoryview, start: int, version: Copy, size: int) -> bool:
        """Fill a buffer from ``start`` on; ``False`` if the value's version has changed."""
        end = start + len(data)
        blocks = range(start // _BLOCK, -(-end // _BLOCK)) if start < end else range(0)
        missing = [n for n in blocks if not _read_block(version, n, data, start)]
        for run in _runs(missing):
            with lock_of(_file_of(version, run[0])):
                needed = [n for n in run if not _read_block(version, n, data, start)]
                for part in _runs(needed):
                    if not self._fetch(part, data, start, version, size):
                        return False
        return True

    def _fetch(self, run: range, data: memoryview, start: int, version: Copy, size: int) -> bool:
        first, last = run[0] * _BLOCK, min((run[-1] + 1) * _BLOCK, size)
        try:
            fetched = self._bytes(first, last, size)
        except Exception:
            # The value may have become shorter: the range is then past its end.
            if self._is_still(version):
                raise
            return False
        if not self._is_still(version):
            return False
        for n in run:
            block = fetched[n * _BLOCK - first : (n + 1) * _BLOCK - first]
            _copy_overlap(block, n * _BLOCK, data, start)
            if version.is_writable:
                self.folder.add(block, _file_of(version, n))
        return True

    def _is_still(self, version: Copy) -> bool:
        try:
            return _digest_of_version(self.below.info(self.path)) == version.fields[1]
        except NO_FILE:
            return False

    def _bytes(self, start: int, end: int, size: int) -> memoryview:
        if quirks_of(self.below).ftp:
            data = read_part(self.below, self.path, start, end)
        else:
            data = self.below.cat_file(self.path, start=start, end=end)
        result = requested(data, start, end, size)
        if result is None:
            raise OSError(f"received {len(data)} bytes for bytes {start} to {end} of {self.path!r}")
        return memoryview(result)


def _digest_of_version(info: Mapping[str, Any]) -> str:
    return digest_of(repr(sorted((version_in(info) or {}).items())))


def _file_of(version: Copy, block: int) -> str:
    return os.path.join(version.path, str(block))


def _read_block(version: Copy, block: int, data: memoryview, start: int) -> bool:
    """Read the part of a cached block that the buffer needs; ``False`` if it is not cached."""
    target = data[max(block * _BLOCK - start, 0) : (block + 1) * _BLOCK - start]
    try:
        with open(_file_of(version, block), "rb") as file:
            file.seek(max(start - block * _BLOCK, 0))
            return file.readinto(target) == len(target)
    except FileNotFoundError:
        return False


def _copy_overlap(block: memoryview, at: int, data: memoryview, start: int) -> None:
    """Copy the overlap of a block that begins at ``at`` to a buffer that begins at ``start``."""
    first, last = max(at, start), min(at + len(block), start + len(data))
    data[first - start : last - start] = block[first - at : last - at]


def _runs(blocks: Sequence[int]) -> list[range]:
    """Runs of consecutive blocks, at most `_MAX_RUN` each."""
    runs: list[range] = []
    for n in blocks:
        if runs and runs[-1].stop == n and len(runs[-1]) < _MAX_RUN:
            runs[-1] = range(runs[-1].start, n + 1)
        else:
            runs.append(range(n, n + 1))
    return runs
