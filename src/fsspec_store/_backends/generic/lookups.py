"""Lookup of a path: missing, file or folder, and its size.

Where a filesystem reports any error as missing, a second request verifies it. A value may also be a
reference to a part of another file (kerchunk's format). For an inline value, the ``info`` of
fsspec's ``ReferenceFileSystem`` has the length of its text as the size. Its errors do not
distinguish a missing reference from a missing file.
"""

from __future__ import annotations

import errno
import ftplib
from typing import TYPE_CHECKING, Any

from ..._runtime.threads import in_thread
from .errors import NO_FILE, is_forbidden, is_surely_forbidden, raise_if_no_bucket
from .ftp import check_listable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .methods import Methods

__all__ = ["info_of", "is_missing", "is_reference", "is_size_known", "parent_of", "size_of"]


async def info_of(methods: Methods, path: str) -> Mapping[str, Any] | None:
    """The filesystem's info of a path; ``None`` only if the path is missing."""
    try:
        return await methods.call("info", path)  # type: ignore[no-any-return]
    except NO_FILE as error:
        raise_if_no_bucket(error, path)
        if await is_reference(methods, path):
            raise OSError(f"the file that {path!r} refers to is missing") from error
        if methods.quirks.ftp:
            await methods.run(check_listable, parent_of(path))
        return await _info_by_reading(methods, path) if methods.quirks.info_hides_errors else None
    except Exception as error:
        if is_forbidden(error) or not await _has_no_folder(methods, path):
            raise
        return None


async def size_of(methods: Methods, path: str, info: Mapping[str, Any]) -> int:
    """The size of a value, from its info or by reading it."""
    size = info.get("size")
    if size is None or (methods.quirks.references and not await is_reference(methods, path)):
        return len(await methods.bytes_of(path))
    return int(size)


async def is_missing(methods: Methods, path: str, error: Exception) -> bool:
    """Whether an operation failed because there is no value at this path."""
    raise_if_no_bucket(error, path)
    if isinstance(error, NO_FILE) and not methods.quirks.ftp:
        return not await is_reference(methods, path)
    if is_surely_forbidden(error):
        return False
    # Ambiguous: FTP's 550, an archive's KeyError, or "no such file" for any error.
    info = await info_of(methods, path)
    if info is None or info["type"] != "file":
        return True
    if isinstance(error.__cause__, ftplib.error_perm):
        raise PermissionError(errno.EACCES, str(error.__cause__), path) from error
    return False


async def is_reference(methods: Methods, path: str) -> bool:
    """Whether the value is a reference to another file."""
    if not methods.quirks.references:
        return False
    references = methods.fs.references
    if isinstance(references, dict):
        return _refers(references, path)
    # References in Parquet files are read when they are looked up.
    return await in_thread(_refers, references, path)


def is_size_known(methods: Methods, path: str) -> bool:
    """Whether the listed size of a value is known to be right, without I/O."""
    if not methods.quirks.references:
        return True
    references = methods.fs.references
    return isinstance(references, dict) and _refers(references, path)


def _refers(references: Mapping[str, Any], path: str) -> bool:
    try:
        # A reference is a list, an inline value is text.
        return isinstance(references[path], (list, tuple))
    except KeyError:
        return False


def parent_of(path: str) -> str:
    """The parent folder; empty at the top of a filesystem, and for the host of a URL."""
    parent = path.rpartition("/")[0]
    return "" if parent.endswith(":/") else parent


async def _info_by_reading(methods: Methods, path: str) -> Mapping[str, Any] | None:
    try:
        await methods.bytes_of(path, start=0, end=1)
    except FileNotFoundError:
        return None
    return {"type": "file", "size": None}


async def _has_no_folder(methods: Methods, path: str) -> bool:
    """Whether the folder above is missing, or a file."""
    parent = parent_of(path)
    if not parent or methods.quirks.flat:
        return False
    info = await info_of(methods, parent)
    return info is None or info["type"] != "directory"
