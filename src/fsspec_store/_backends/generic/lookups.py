"""What is at a path, asked a second way where the first one says "missing" of any error.

Knows which filesystems' answers to doubt. What is in a folder, and what a value's bytes are, is not
known here.
"""

from __future__ import annotations

import errno
import ftplib
from typing import TYPE_CHECKING, Any

from .errors import NO_FILE, is_forbidden, is_surely_forbidden, raise_if_no_bucket
from .ftp import check_listable
from .paths import parent_of
from .references import is_referred

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .calls import Calls

__all__ = ["info_of", "is_missing", "size_in"]


async def info_of(calls: Calls, path: str) -> Mapping[str, Any] | None:
    """What the filesystem says of a path; ``None`` only where there is nothing."""
    try:
        return await calls.call("info", path)  # type: ignore[no-any-return]
    except NO_FILE as error:
        raise_if_no_bucket(error, path)
        if await is_referred(calls, path):
            raise OSError(f"what {path!r} refers to is missing") from error
        if calls.facts.ftp:
            await calls.run(check_listable, parent_of(path))
        return await _info_by_reading(calls, path) if calls.facts.guesses_info else None
    except Exception as error:
        if is_forbidden(error) or not await _is_below_none(calls, path):
            raise
        return None


async def size_in(calls: Calls, path: str, info: Mapping[str, Any]) -> int:
    """The size of a value, by what `info_of` said of it or else by reading it."""
    size = info.get("size")
    if size is None or (calls.facts.refers and not await is_referred(calls, path)):
        # Of a value in a set of references it is the length of its text.
        return len(await calls.bytes_of(path))
    return int(size)


async def is_missing(calls: Calls, path: str, error: Exception) -> bool:
    """Whether an operation failed because there is no value at this path."""
    raise_if_no_bucket(error, path)
    if isinstance(error, NO_FILE) and not calls.facts.ftp:
        return not await is_referred(calls, path)
    if is_surely_forbidden(error):
        return False
    # FTP's "550", an archive's KeyError, or "no such file" for whatever went wrong.
    info = await info_of(calls, path)
    if info is None or info["type"] != "file":
        return True
    if isinstance(error.__cause__, ftplib.error_perm):
        raise PermissionError(errno.EACCES, str(error.__cause__), path) from error
    return False


async def _info_by_reading(calls: Calls, path: str) -> Mapping[str, Any] | None:
    try:
        await calls.bytes_of(path, start=0, end=1)
    except FileNotFoundError:
        return None
    return {"type": "file", "size": None}


async def _is_below_none(calls: Calls, path: str) -> bool:
    """Whether the folder above is missing, or a file."""
    parent = parent_of(path)
    if not parent or calls.facts.flat:
        return False
    info = await info_of(calls, parent)
    return info is None or info["type"] != "directory"
