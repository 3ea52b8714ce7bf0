"""What is in a folder; folders that a value needs, and empty ones that nobody does.

Knows what filesystems list that is no key. Buckets have no folders, and nothing is made or removed
there.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fsspec.implementations.local import LocalFileSystem

from ..._core.leftovers import TEMPORARY, Leftover
from ..temporary_names import is_temporary
from .errors import NO_FILE, is_broken, is_forbidden, is_surely_forbidden, raise_if_no_bucket
from .ftp import check_listable
from .lookups import info_of
from .paths import parent_of, path_below

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .calls import Calls

__all__ = ["check_depth", "children", "holds_a_file", "make_room", "prune", "temporary_files"]

#: Segments of a path below the folder that is listed: more than keys of 1,024 bytes can have.
MAX_DEPTH = 512


async def children(calls: Calls, folder: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Files and folders in a folder, with what is listed of them; none where it is missing."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    below = f"{folder}/" if folder else ""
    for info in await _listed(calls, folder):
        path = path_below(calls.fs, folder, info["name"].rstrip("/"))
        # Markers of a folder itself, and files listed for their own path, are no children, nor are
        # neighbours whose names begin alike, which some filesystems list as well.
        if path == folder or not path.startswith(below) or is_temporary(path):
            continue
        if info.get("islink") and info["type"] == "directory" and _leads_back(calls.fs, path):
            continue
        if info["type"] == "link":
            # A link to a file is one; a link to a folder may lead back here.
            target = await info_of(calls, path)
            if target is None or target["type"] != "file":
                continue
            info = target
        if info["type"] in ("file", "directory"):
            found[path, info["type"]] = info
    return [(path, info) for (path, _), info in found.items()]


async def temporary_files(calls: Calls, folder: str) -> list[Leftover]:
    """Files of temporary names below a folder, which killed writers left."""
    found = []
    seen = {folder}
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        for info in await _listed(calls, here):
            path = info["name"].rstrip("/")
            if not path.startswith(f"{here}/") or path in seen:
                continue
            seen.add(path)
            if info["type"] == "directory":
                check_depth(path, folder)
                waiting.append(path)
            elif is_temporary(path):
                found.append(Leftover(path, TEMPORARY, _modified(info)))
    return found


def _modified(info: Mapping[str, Any]) -> datetime | None:
    """When a file was written: as SFTP lists it, or FTP (RFC 3659, section 7.5.3)."""
    if isinstance(found := info.get("mtime"), datetime):
        return found
    with suppress(ValueError):
        return datetime.strptime(f"{info.get('modify', '')}"[:14], "%Y%m%d%H%M%S").replace(
            tzinfo=UTC
        )
    return None


async def holds_a_file(calls: Calls, folder: str) -> bool:
    """Whether a file lies somewhere below."""
    seen = {folder}
    waiting = [folder]
    while waiting:
        for path, info in await children(calls, waiting.pop()):
            if info["type"] == "file":
                return True
            if path not in seen:
                seen.add(path)
                check_depth(path, folder)
                waiting.append(path)
    return False


def check_depth(path: str, root: str) -> None:
    """Refuse a folder so far below that one above it must hold itself.

    Raises
    ------
    OSError
        For more than `MAX_DEPTH` segments below the root.
    """
    if path.count("/") - root.count("/") > MAX_DEPTH:
        raise OSError(
            f"folders are nested more than {MAX_DEPTH} deep at {path[:200]!r}...: "
            "one of them seems to hold itself"
        )


async def make_room(calls: Calls, path: str, error: Exception) -> bool:
    """Make the folders a value needs, or remove empty ones in its place.

    Parameters
    ----------
    calls : Calls
        The filesystem's.
    path : str
        Of the value.
    error : Exception
        What writing it has raised. Raised again where that has nothing to do with folders.

    Returns
    -------
    bool
        Whether writing may succeed now.

    Raises
    ------
    OSError
        When a file is in the place of a folder, or a folder that holds files in the value's.
    """
    if calls.facts.flat or is_broken(error):
        raise error
    here = await info_of(calls, path)
    if here is not None and here["type"] == "directory":
        if await holds_a_file(calls, path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path) from error
        await prune(calls, path, itself=True)
        return True
    folder = parent_of(path)
    above = folder
    while above and (info := await info_of(calls, above)) is None:
        above = parent_of(above)
    if above and info is not None and info["type"] != "directory":
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from error
    if above == folder:
        # Somebody else made the folder meanwhile, or the value cannot be written at all.
        return isinstance(error, FileNotFoundError)
    try:
        await calls.call("makedirs", folder, exist_ok=True)
    except FileNotFoundError:
        # A folder above was removed meanwhile, as an empty one.
        return True
    except Exception:
        # Another writer may have made a part of it first.
        if is_forbidden(error) or await info_of(calls, folder) is None:
            raise
    return True


async def prune(calls: Calls, folder: str, *, itself: bool) -> None:
    """Remove the folders below that hold nothing, and perhaps the folder itself."""
    folders = [folder]
    seen = {folder}
    for above in folders:
        for path, info in await children(calls, above):
            if info["type"] == "directory" and path not in seen:
                seen.add(path)
                check_depth(path, folder)
                folders.append(path)
    for empty in reversed(folders if itself else folders[1:]):
        # What still holds something stays.
        with suppress(Exception):
            await calls.call("rmdir", empty)


def _leads_back(fs: Any, path: str) -> bool:
    """Whether a local link leads to a folder above it, which would be listed without an end."""
    if not isinstance(fs, LocalFileSystem):
        return False
    target = os.path.realpath(path)
    above = os.path.dirname(path)
    while above != os.path.dirname(above):
        if os.path.realpath(above) == target:
            return True
        above = os.path.dirname(above)
    return False


async def _listed(calls: Calls, folder: str) -> list[Mapping[str, Any]]:
    """What ``ls`` says, where that can be believed."""
    options = {"refresh": True} if calls.facts.refreshes else {}
    try:
        infos: list[Mapping[str, Any]] = await calls.call("ls", folder, detail=True, **options)
        if len(infos) < 2 and calls.facts.ftp:
            # An empty folder, or one that may not be listed; a folder of one file, or the file.
            if not await _is_folder(calls, folder):
                return []
            if not infos:
                await calls.run(check_listable, folder)
    except NO_FILE as error:
        raise_if_no_bucket(error, folder)
        if calls.facts.ftp:
            await calls.run(check_listable, folder)
        return []
    except Exception as error:
        raise_if_no_bucket(error, folder)
        if is_surely_forbidden(error) or await _is_folder(calls, folder):
            raise
        return []
    return infos


async def _is_folder(calls: Calls, path: str) -> bool:
    info = await info_of(calls, path)
    return info is not None and info["type"] == "directory"
