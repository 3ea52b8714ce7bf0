"""Contents of folders; creation of the folders of a value, and removal of empty folders.

Filters listed entries that are not keys. In buckets, which have no folders, nothing is created or
removed.
"""

from __future__ import annotations

import errno
import os
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fsspec.implementations.local import LocalFileSystem

from ..._core.leftovers import TEMPORARY, Leftover
from ..listed_details import in_utc
from ..temporary_names import is_temporary
from .errors import NO_FILE, is_broken, is_forbidden, is_surely_forbidden, raise_if_no_bucket
from .ftp import check_listable
from .lookups import info_of, parent_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from fsspec import AbstractFileSystem

    from .methods import Methods

__all__ = ["contains_file", "modified", "prepare_path", "prune", "temporary_files", "walk"]

#: Maximum depth below the listed folder: keys of 1,024 bytes cannot be deeper.
_MAX_DEPTH = 512


async def _children(
    methods: Methods, folder: str, *, with_temporary: bool = False
) -> list[tuple[str, Mapping[str, Any]]]:
    """Files and folders in a folder, with their listed info; empty if the folder is missing."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    below = f"{folder}/" if folder else ""
    for info in await _listed(methods, folder):
        path = _path_below(methods.fs, folder, info["name"].rstrip("/"))
        # Some filesystems list the folder itself, a file for the file's path, or siblings with the
        # same name prefix.
        if path == folder or not path.startswith(below):
            continue
        if not with_temporary and is_temporary(path):
            continue
        if info.get("islink") and info["type"] == "directory" and _leads_back(methods.fs, path):
            continue
        if info["type"] == "link":
            # A link to a file counts as the file; a link to a folder may lead back here.
            target = await info_of(methods, path)
            if target is None or target["type"] != "file":
                continue
            info = target
        if info["type"] in ("file", "directory"):
            found[path, info["type"]] = info
    return [(path, info) for (path, _), info in found.items()]


def modified(info: Mapping[str, Any]) -> datetime | None:
    """Modification time as listed by SFTP or FTP (RFC 3659, section 7.5.3).

    fsspec does not specify a field for it. Other filesystems list other times in ``mtime``.
    """
    if (found := in_utc(info.get("mtime"))) is not None:
        return found
    with suppress(ValueError):
        return datetime.strptime(f"{info.get('modify', '')}"[:14], "%Y%m%d%H%M%S").replace(
            tzinfo=UTC
        )
    return None


async def walk(
    methods: Methods, directory: str, name_prefix: str = "", *, with_temporary: bool = False
) -> AsyncGenerator[list[tuple[str, Mapping[str, Any]]], None]:
    """Yield the contents of a folder, and of each folder below it.

    Raises ``OSError`` for a folder that is more than `_MAX_DEPTH` deep, which indicates a cycle.
    """
    root = directory.rstrip("/")
    waiting = [root]
    seen = {root}
    while waiting:
        found = [
            (path, info)
            for path, info in await _children(methods, waiting.pop(), with_temporary=with_temporary)
            if path.startswith(directory + name_prefix)
        ]
        yield found
        for path, info in found:
            if info["type"] == "directory" and path not in seen:
                if path.count("/") - root.count("/") > _MAX_DEPTH:
                    raise OSError(
                        f"folders are nested more than {_MAX_DEPTH} deep at {path[:200]!r}...: "
                        "a folder seems to contain itself"
                    )
                seen.add(path)
                waiting.append(path)


async def temporary_files(methods: Methods, folder: str) -> AsyncGenerator[Leftover, None]:
    """Temporary files below a folder, left by killed writers."""
    async with aclosing(walk(methods, folder, with_temporary=True)) as folders:
        async for found in folders:
            for path, info in found:
                if info["type"] == "file" and is_temporary(path):
                    yield Leftover(path, TEMPORARY, modified(info), size=info.get("size"))


async def contains_file(methods: Methods, folder: str) -> bool:
    """Whether there is a file at any depth below a folder."""
    async with aclosing(walk(methods, folder)) as folders:
        async for found in folders:
            if any(info["type"] == "file" for _, info in found):
                return True
    return False


async def prepare_path(methods: Methods, path: str, error: Exception) -> bool:
    """Make the folders above a value, or remove empty folders at its path, after a failed write.

    Returns whether another try may succeed. Raises the error of the write if folders are not its
    cause, and ``OSError`` if a part of the path is a file, or the path a folder with files.
    """
    if methods.quirks.flat or is_broken(error):
        raise error
    here = await info_of(methods, path)
    if here is not None and here["type"] == "directory":
        if await contains_file(methods, path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path) from error
        await prune(methods, path, itself=True)
        return True
    folder = parent_of(path)
    above = folder
    while above and (info := await info_of(methods, above)) is None:
        above = parent_of(above)
    if above and info is not None and info["type"] != "directory":
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from error
    if above == folder:
        # Another writer made the folder meanwhile, or the value cannot be written.
        return isinstance(error, FileNotFoundError)
    try:
        await methods.call("makedirs", folder, exist_ok=True)
    except FileNotFoundError:
        # A folder above was empty and was removed meanwhile.
        return True
    except Exception:
        # Another writer may have made some of the folders first.
        if is_forbidden(error) or await info_of(methods, folder) is None:
            raise
    return True


async def prune(methods: Methods, folder: str, *, itself: bool) -> None:
    """Remove empty folders below a folder, and the folder too if ``itself``."""
    folders = [folder]
    async for found in walk(methods, folder):
        folders += [path for path, info in found if info["type"] == "directory"]
    for empty in reversed(folders if itself else folders[1:]):
        # A folder that is not empty stays.
        with suppress(Exception):
            await methods.call("rmdir", empty)


def _leads_back(fs: Any, path: str) -> bool:
    """Whether a local link leads to a folder above it, which would be an endless listing."""
    if not isinstance(fs, LocalFileSystem):
        return False
    target = os.path.realpath(path)
    above = os.path.dirname(path)
    while above != os.path.dirname(above):
        if os.path.realpath(above) == target:
            return True
        above = os.path.dirname(above)
    return False


async def _listed(methods: Methods, folder: str) -> list[Mapping[str, Any]]:
    """The result of ``ls``, checked where a filesystem reports errors as an empty folder."""
    options = {"refresh": True} if methods.quirks.ls_takes_refresh else {}
    try:
        infos: list[Mapping[str, Any]] = await methods.call("ls", folder, detail=True, **options)
        if len(infos) < 2 and methods.quirks.ftp:
            # An empty folder, or access denied; a folder with one file, or a file.
            if not await _is_folder(methods, folder):
                return []
            if not infos:
                await methods.run(check_listable, folder)
    except NO_FILE as error:
        raise_if_no_bucket(error, folder)
        if methods.quirks.ftp:
            await methods.run(check_listable, folder)
        return []
    except Exception as error:
        raise_if_no_bucket(error, folder)
        if is_surely_forbidden(error) or await _is_folder(methods, folder):
            raise
        return []
    return infos


async def _is_folder(methods: Methods, path: str) -> bool:
    info = await info_of(methods, path)
    return info is not None and info["type"] == "directory"


def _path_below(fs: AbstractFileSystem, folder: str, name: str) -> str:
    """A listed name in the same form as the path of the listed folder.

    Some filesystems take URLs as paths (swiftspec) and list them with or without the scheme; others
    take paths and list URLs.
    """
    if _is_in(folder, name):
        return name
    scheme, mark, _ = folder.partition("://")
    forms = [str(fs._strip_protocol(name))]
    if mark:
        forms.append(f"{scheme}://{name.lstrip('/')}")
    return next((form for form in forms if _is_in(folder, form)), name)


def _is_in(folder: str, path: str) -> bool:
    return not folder or path == folder or path.startswith(folder + "/")
