"""Lookup of a path: missing, file or folder, and its size.

Where a filesystem reports any error as missing, a second request verifies it.
"""

from __future__ import annotations

import errno
import ftplib
from typing import TYPE_CHECKING, Any

from .errors import NO_FILE, is_forbidden, is_surely_forbidden, raise_if_no_bucket
from .ftp import check_listable
from .paths import parent_of
from .references import is_reference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .methods import Methods

__all__ = ["info_of", "is_missing", "size_of"]


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
        # For an inline value in a set of references it is the length of the reference's text.
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
