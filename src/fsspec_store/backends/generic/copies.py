"""The copies that a caching layer keeps (``simplecache::``, ``filecache::``, ``blockcache::``).

The layer is what the user asked for, so values come from its copies, however old. Everything else
is asked of the filesystem below, of which this module is given the instance to use. Its methods
block.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fsspec.implementations.cached import SimpleCacheFileSystem, WholeFileCacheFileSystem

from ...forks import free_in_child
from ...ranges import is_out_of_range, resolve
from ..base import RangeNotSatisfiableError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from fsspec.implementations.cached import CachingFileSystem

    from ...byte_requests import ByteRequest

__all__ = ["Copies"]

#: Copies of different keys are fetched at once, the copy of one key once.
_LOCKS = 64
#: A value that changes while it is copied is copied again so often.
_TRIES = 5


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
        self._twin: Any = None
        # All layers but this one keep a list of their copies, for one thread at a time.
        count = _LOCKS if isinstance(fs, SimpleCacheFileSystem) else 1
        self._locks = [free_in_child(threading.RLock()) for _ in range(count)]

    def read(self, below: AbstractFileSystem, path: str, request: ByteRequest | None) -> bytes:
        """The bytes of a copy, which is fetched first where there is none."""
        with self._lock(path):
            layer = self._layer(below)
            for _ in range(_TRIES):
                try:
                    return self._read(layer, path, request)
                except TypeError:
                    # What a layer that compares copies with the service trips over when the value
                    # is changed while it is copied.
                    if layer._check_file(path):
                        raise
        raise OSError(f"{path!r} was changed each time it was copied")

    def _read(self, layer: Any, path: str, request: ByteRequest | None) -> bytes:
        if isinstance(layer, WholeFileCacheFileSystem) and not layer._check_file(path):
            self._fetch(layer, path)
        with layer.open(path, "rb") as file:
            if request is None:
                return file.read()  # type: ignore[no-any-return]
            # The copy's size, whatever the service's is by now.
            size = file.seek(0, os.SEEK_END)
            if is_out_of_range(request, size):
                raise RangeNotSatisfiableError(size)
            start, end = resolve(request, size)
            file.seek(start)
            data: bytes = file.read(end - start)
        if len(data) != end - start:
            raise OSError(f"{len(data)} bytes came for bytes {start} to {end} of {path!r}")
        return data

    def forget(self, below: AbstractFileSystem, path: str) -> None:
        """Remove the copy of a value that was just changed."""
        with self._lock(path):
            self._remove(self._layer(below), path)

    def _lock(self, path: str) -> threading.RLock:
        return self._locks[hash(path) % len(self._locks)]

    def _fetch(self, layer: Any, path: str) -> None:
        try:
            layer.open(path, "rb").close()
            size = None if self.compressed else layer.fs.info(path).get("size")
            if size is not None and os.path.getsize(_file_of(layer, path)) != size:
                raise OSError(f"{path!r} was changed while it was copied, or not copied whole")
        except BaseException:
            # A part of a value must not be taken for it later.
            self._remove(layer, path)
            raise

    def _remove(self, layer: Any, path: str) -> None:
        # Copies in a folder that may only be read are the user's own.
        with suppress(FileNotFoundError, PermissionError):
            if isinstance(layer, SimpleCacheFileSystem):
                copy = _file_of(layer, path)
                if copy is not None:
                    os.unlink(copy)
            else:
                layer.pop_from_cache(path)

    def _layer(self, below: AbstractFileSystem) -> Any:
        """A layer with the user's copies, over the filesystem that stores use."""
        if self._twin is None or self._twin.fs is not below:
            options = dict(self._fs.storage_options)
            for target in ("target_protocol", "target_options", "fo"):
                options.pop(target, None)
            options |= {"fs": below, "cache_storage": self._fs.storage}
            self._twin = type(self._fs)(**options, skip_instance_cache=True)
        return self._twin


def _file_of(layer: Any, path: str) -> Any:
    """The file of a copy; ``None`` where there is none."""
    found = layer._check_file(path)
    return found[1] if isinstance(found, tuple) else found or None
