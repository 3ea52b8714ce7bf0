"""Files of this machine: whole or not at all, and nothing that is not a file.

Goes to the operating system directly, in threads: fsspec's local filesystem overwrites in place,
creates with a race, and lists empty folders. A value is written to a temporary file in the key's
own folder and moved into place, so a reader, or a process that is killed, leaves the old value or
the new one. It is not forced to the disk (no ``fsync``): a power cut may undo the last writes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..ranges import is_out_of_range, resolve
from ..threads import in_thread
from .base import (
    Backend,
    Failure,
    Page,
    RangeNotSatisfiableError,
    builtin_failure,
    content_version,
)
from .temporary import REFUSED, is_temporary, temporary_name
from .temporary_files import temporary_files

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator, Sequence

    from ..byte_requests import ByteRequest
    from ..leftovers import Leftover

__all__ = ["LocalBackend"]

_PAGE_SIZE = 1000
#: Bytes of one name on every common filesystem (NAME_MAX).
_MAX_NAME_BYTES = 255
#: Bytes of a whole path: PATH_MAX of Linux is 4096, less room for a temporary name.
_MAX_PATH_BYTES = 4000
#: Seconds after which a temporary file that nobody writes to was left by a crash.
_ABANDONED_AFTER = 3600

#: What a path that leads to no file says: nothing there, a file where a folder would have to be, a
#: link that leads back to itself, a name longer than any there is.
_NO_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})
#: What file systems without hard links answer.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})

#: A folder's own removal may run between making it and writing into it; then it is made again.
_FOLDER_TRIES = 100


class LocalBackend(Backend):
    """Regular files, by absolute paths."""

    #: Which links lead back to a folder above is known only to a walk that came through it.
    fans_out = False
    runs_in_place = True
    #: More than the threads there are would only wait.
    default_concurrency = 32

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        return await in_thread(_read, path, request)

    async def size(self, path: str) -> int | None:
        return await in_thread(_size, path)

    async def write(self, path: str, data: memoryview) -> None:
        await in_thread(_write, path, data)

    async def create(self, path: str, data: memoryview) -> bool:
        return await in_thread(_create, path, data)

    async def read_version(self, path: str) -> tuple[bytes | memoryview, str] | None:
        return await in_thread(_read_version, path)

    async def replace(self, path: str, data: memoryview, version: str) -> bool:
        try:
            return await in_thread(_replace, path, data, version)
        except NotImplementedError:
            self.supports_replace = False
            raise

    async def remove(self, path: str) -> None:
        await in_thread(_remove, path)

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        await in_thread(_remove_all, paths)

    async def pages(
        self, directory: str, stem: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        walk = _pages(directory, stem, recursive, page_size or _PAGE_SIZE)
        try:
            while (page := await in_thread(next, walk, None)) is not None:
                yield page
        finally:
            await in_thread(walk.close)

    async def remove_below(self, directory: str, *, limit: int, is_root: bool) -> None:
        await in_thread(_remove_below, directory, is_root)

    async def leftovers(self, directory: str) -> AsyncGenerator[Leftover, None]:
        for leftover in await in_thread(temporary_files, directory):
            yield leftover

    async def remove_leftover(self, leftover: Leftover) -> None:
        with suppress(FileNotFoundError):
            await in_thread(os.unlink, leftover.key)

    def check_path(self, path: str) -> str | None:
        if is_temporary(path):
            return REFUSED
        # A quick look first: a character takes four bytes at most.
        if len(path) * 4 <= _MAX_NAME_BYTES:
            return None
        if max(len(os.fsencode(segment)) for segment in path.split("/")) > _MAX_NAME_BYTES:
            return f"a file's name has at most {_MAX_NAME_BYTES} bytes"
        if len(os.fsencode(path)) > _MAX_PATH_BYTES:
            return f"a file's path has at most {_MAX_PATH_BYTES} bytes"
        return None

    def failure(self, error: Exception) -> Failure:
        return builtin_failure(error)


def _read(path: str, request: ByteRequest | None) -> bytes | None:
    try:
        # A pipe of that name would otherwise wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if _no_file(error):
            return None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        if is_out_of_range(request, status.st_size):
            raise RangeNotSatisfiableError(status.st_size)
        return _read_between(descriptor, *resolve(request, status.st_size))
    finally:
        os.close(descriptor)


def _read_between(descriptor: int, start: int, end: int) -> bytes:
    # Most often one read; a single one returns at most 2 GiB on Linux.
    data = os.pread(descriptor, end - start, start)
    parts = [data]
    while start + len(data) < end:
        start += len(data)
        data = os.pread(descriptor, end - start, start)
        if not data:
            raise EOFError(f"the file ends {end - start} bytes before the size it had")
        parts.append(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _size(path: str) -> int | None:
    try:
        status = os.stat(path)
    except OSError as error:
        if _no_file(error):
            return None
        raise
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _write(path: str, data: memoryview) -> None:
    temporary = _write_temporary(path, data)
    try:
        if _is_folder_link(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        with _folder_lock(path, exclusive=False):
            try:
                os.replace(temporary, path)
            except IsADirectoryError:
                # Folders without a file are no keys and hold no place.
                _prune(path + "/", itself=True)
                os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _read_version(path: str) -> tuple[bytes, str] | None:
    data = _read(path, None)
    return None if data is None else (data, content_version(data))


def _replace(path: str, data: memoryview, version: str) -> bool:
    if _size(path) is None:
        return False
    temporary = _write_temporary(path, data)
    try:
        with _folder_lock(path, exclusive=True):
            found = _read_version(path)
            if found is None or found[1] != version:
                return False
            os.replace(temporary, path)
            return True
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


@contextmanager
def _folder_lock(path: str, *, exclusive: bool) -> Iterator[None]:
    """Hold the key's folder: alone, to replace what was just looked at; else among other writers.

    Locks belong to a folder and a process that dies leaves none (flock(2)).
    """
    descriptor = None
    try:
        try:
            descriptor = os.open(path.rpartition("/")[0] or "/", os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        except OSError as error:
            # Folders may be hidden and file systems have no locks; only the comparison needs one.
            if exclusive:
                raise NotImplementedError("this folder cannot be locked") from error
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _create(path: str, data: memoryview) -> bool:
    temporary = _write_temporary(path, data)
    try:
        for _ in range(2):
            try:
                os.link(temporary, path)
            except FileExistsError:
                if _size(path) is not None:
                    return False
                if os.path.islink(path) or not os.path.isdir(path):
                    raise
                _prune(path + "/", itself=True)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return _create_in_place(path, data)
            else:
                return True
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def _create_in_place(path: str, data: memoryview) -> bool:
    """Where there are no hard links: one winner still, but readers may see it write."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return False
    try:
        _write_descriptor(descriptor, data)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
    return True


def _write_temporary(path: str, data: memoryview) -> str:
    folder = path.rpartition("/")[0]
    for attempt in range(_FOLDER_TRIES):
        temporary = f"{folder}/{temporary_name()}"
        try:
            # 0o666 less the umask: the mode any program's new file has, unlike tempfile's 0o600.
            descriptor = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666
            )
            break
        except FileNotFoundError:
            if attempt == _FOLDER_TRIES - 1:
                raise
            with suppress(FileNotFoundError):
                os.makedirs(folder, exist_ok=True)
    try:
        _write_descriptor(descriptor, data)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    return temporary


def _write_descriptor(descriptor: int, data: memoryview) -> None:
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        written = 0
        while written < data.nbytes:
            written += file.write(data[written:])


def _remove(path: str) -> None:
    if _is_folder_link(path):
        return
    try:
        with _folder_lock(path, exclusive=False):
            os.unlink(path)
    except OSError as error:
        # EPERM is what macOS answers for a folder.
        if not _no_file(error) and not (error.errno == errno.EPERM and os.path.isdir(path)):
            raise


def _remove_all(paths: Sequence[str]) -> None:
    for path in paths:
        _remove(path)


def _pages(directory: str, stem: str, recursive: bool, limit: int) -> Generator[Page, None, None]:
    objects: list[tuple[str, int | None]] = []
    prefixes: list[str] = []
    for path, size in _walk(directory, stem, recursive, frozenset()):
        if size is None:
            prefixes.append(path)
        else:
            objects.append((path, size))
        if len(objects) + len(prefixes) >= limit:
            yield Page(objects, prefixes)
            objects, prefixes = [], []
    yield Page(objects, prefixes)


def _walk(
    directory: str, stem: str, recursive: bool, above: frozenset[str]
) -> Iterator[tuple[str, int | None]]:
    """Files with their sizes, and (not recursive) folders that hold a file, with ``None``.

    A link is followed, as reading through it would, unless it leads back to a folder above it.
    """
    # Folders wait in a list, so that however deep they lie one is open at a time.
    waiting = [(directory, above)]
    while waiting:
        folder, above = waiting.pop()
        here = above | {os.path.realpath(folder)}
        for entry in _entries(folder):
            if not entry.name.startswith(stem) or not _is_text(entry.name):
                continue
            path = folder + entry.name
            try:
                if not entry.is_dir():
                    status = entry.stat()
                    if stat.S_ISREG(status.st_mode) and not is_temporary(entry.name):
                        yield path, status.st_size
                    continue
            except OSError as error:
                # Removed since, or a link to nothing.
                if _no_file(error):
                    continue
                raise
            if entry.is_symlink() and os.path.realpath(path) in here:
                continue
            if recursive:
                waiting.append((path + "/", here))
            elif next(_walk(path + "/", "", True, here), None) is not None:
                yield path, None
        stem = ""


def _is_text(name: str) -> bool:
    """Whether a key may have this name: others are bytes that no text encodes to."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        entries = os.scandir(folder)
    except OSError as error:
        if _no_file(error):
            return
        raise
    with entries:
        yield from entries


def _remove_below(directory: str, is_root: bool) -> None:
    """Remove every file below, links themselves and not what they lead to, then empty folders."""
    if not is_root and _is_folder_link(directory.rstrip("/")):
        os.unlink(directory.rstrip("/"))
        return
    folders = [directory]
    for folder in folders:
        for entry in _entries(folder):
            path = folder + entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(path + "/")
            elif not _being_written(entry):
                with suppress(FileNotFoundError):
                    os.unlink(path)
    _prune(directory)


def _being_written(entry: os.DirEntry[str]) -> bool:
    if not is_temporary(entry.name):
        return False
    try:
        age = time.time() - entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return True
    return age < _ABANDONED_AFTER


def _no_file(error: OSError) -> bool:
    return error.errno in _NO_FILE


def _is_folder_link(path: str) -> bool:
    return os.path.islink(path) and os.path.isdir(path)


def _prune(directory: str, *, itself: bool = False) -> None:
    """Remove the folders below that hold no file; ``itself`` as well where that is asked."""
    for folder, _, _ in os.walk(directory, topdown=False):
        if itself or os.path.normpath(folder) != os.path.normpath(directory):
            # What still holds something stays.
            with suppress(OSError):
                os.rmdir(folder)
