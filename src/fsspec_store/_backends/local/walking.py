"""Listing of files and folders, and of the temporary files that killed writers left."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

from ..._core.leftovers import TEMPORARY, Leftover
from ..pages import Details, Page
from ..temporary_names import is_temporary
from .paths import is_no_file

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

__all__ = ["detailed_pages", "modified", "pages", "temporary_files"]


def pages(
    directory: str, name_prefix: str, recursive: bool, limit: int, *, details: bool = False
) -> Generator[Page, None, None]:
    """List a directory; see `Backend.pages`. Links are followed, as for reads.

    Yields
    ------
    Page
        With at most ``limit`` entries.
    """
    objects: list[tuple[str, int | None]] = []
    prefixes: list[str] = []
    found: dict[str, Details] = {}
    for path, status in _walk(directory, name_prefix, recursive):
        if status is None:
            prefixes.append(path)
        else:
            objects.append((path, status.st_size))
            if details:
                found[path] = Details(modified(status))
        if len(objects) + len(prefixes) >= limit:
            yield Page(objects, prefixes, details=found)
            objects, prefixes, found = [], [], {}
    yield Page(objects, prefixes, details=found)


def detailed_pages(
    directory: str, name_prefix: str, start_after: str, limit: int
) -> Generator[Page, None, None]:
    """List all files below a directory in the order of their paths; see `Backend.detailed_pages`.

    Yields
    ------
    Page
        With at most ``limit`` entries. A file has a modification time, and no version. A broken
        link has the size and the time of the link: a transfer that skipped it would delete the
        target's value.
    """
    left_out: list[str] = []
    files = _walk_in_order(directory, name_prefix, start_after, left_out)
    while (page := list(islice(files, limit))) or left_out:
        yield Page(
            [(path, status.st_size) for path, status in page],
            details={path: Details(modified(status)) for path, status in page},
            left_out=tuple(left_out),
        )
        left_out.clear()


def temporary_files(directory: str) -> list[Leftover]:
    """The files below a directory that have temporary names; ``directory`` ends in ``/``.

    Links to folders are not followed: their targets are outside the store.
    """
    found = []
    for folder, _, names in os.walk(directory, onerror=_raise_unless_gone):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            # It may have been renamed to the value meanwhile.
            with suppress(FileNotFoundError):
                if is_temporary(name):
                    status = os.lstat(path)
                    found.append(Leftover(path, TEMPORARY, modified(status), size=status.st_size))
    return found


def _raise_unless_gone(error: OSError) -> None:
    if not is_no_file(error):
        raise error


def _walk(
    directory: str,
    name_prefix: str,
    recursive: bool,
    above: frozenset[str] = frozenset(),
    targets: set[str] | None = None,
) -> Iterator[tuple[str, os.stat_result | None]]:
    """Paths of files with their status. If not recursive, also of folders, with ``None``.

    A link is followed unless it leads back to a folder above it. Below a link, no folder is entered
    through two further links: ten folders that link to each other have ten million paths. ``above``
    has the real paths of the folders above. ``targets`` has those of the targets of links below the
    first link on the path, and is changed in place.
    """
    # A list instead of recursion: only one folder is open at any depth.
    pending = [(directory, above, targets)]
    while pending:
        folder, above, targets = pending.pop()
        here = above | {os.path.realpath(folder)}
        for path, status, inside in _contents(folder, _entries(folder), name_prefix, here, targets):
            if status is not None:
                yield path, status
            elif recursive:
                pending.append((path, here, inside))
            elif next(_walk(path, "", True, here, inside), None) is not None:
                yield path[:-1], None
        name_prefix = ""


def _walk_in_order(
    directory: str, name_prefix: str, start_after: str, left_out: list[str]
) -> Iterator[tuple[str, os.stat_result]]:
    """Files below a directory in the order of their paths' bytes, without most before a path.

    Adds the paths of files and folders whose names are not UTF-8 to ``left_out``.
    The entries of the folders on one path are in memory. Links are followed as by `_walk`.
    """
    nothing: frozenset[str] = frozenset()
    pending: list[tuple[str, os.stat_result | None, frozenset[str], set[str] | None]]
    pending = [(directory, None, nothing, None)]
    while pending:
        path, status, above, targets = pending.pop()
        if status is not None:
            yield path, status
            continue
        here = above | {os.path.realpath(path)}
        # Sorted, so that of several links to a folder it is always the same one that is followed.
        entries = sorted(_entries(path), key=attrgetter("name"))
        left_out += [path + each.name for each in entries if not _is_text(each.name)]
        if targets is None and start_after:
            entries = [each for each in entries if _may_follow(path + each.name, start_after)]
        found = [
            (below, status, here, inside)
            for below, status, inside in _contents(
                path, entries, name_prefix, here, targets, broken_links=True
            )
        ]
        # The path of a folder ends in "/", so the keys below it are in this place.
        pending += sorted(found, key=itemgetter(0), reverse=True)
        name_prefix = ""


def _may_follow(path: str, start_after: str) -> bool:
    """Whether a path, or one below it, may be after ``start_after``."""
    return f"{path}/" > start_after or start_after.startswith(f"{path}/")


def _contents(
    folder: str,
    entries: Iterable[os.DirEntry[str]],
    name_prefix: str,
    here: frozenset[str],
    targets: set[str] | None,
    *,
    broken_links: bool = False,
) -> Iterator[tuple[str, os.stat_result | None, set[str] | None]]:
    """Files with their status, and folders to enter, whose paths end in ``/``, with ``None``.

    For the links see `_walk`; broken ones are skipped unless ``broken_links``. ``here`` has the
    real paths of the folder and those above it. The last item is ``targets`` for the folder.
    """
    for entry in entries:
        if not entry.name.startswith(name_prefix) or not _is_text(entry.name):
            continue
        path = folder + entry.name
        try:
            if not entry.is_dir():
                status = entry.stat()
                if stat.S_ISREG(status.st_mode) and not is_temporary(entry.name):
                    yield path, status, None
                continue
        except OSError as error:
            if not is_no_file(error):
                raise
            # Removed meanwhile, or a broken link.
            if broken_links and not is_temporary(entry.name):
                with suppress(FileNotFoundError):
                    yield path, entry.stat(follow_symlinks=False), None
            continue
        inside = targets
        if entry.is_symlink():
            target = os.path.realpath(path)
            if target in here or (targets is not None and target in targets):
                continue
            inside = set() if targets is None else targets
            inside.add(target)
        yield path + "/", None, inside


def modified(status: os.stat_result) -> datetime | None:
    """The time of the last change of a file, in UTC."""
    # File systems hold years that Python does not.
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(status.st_mtime, UTC)
    return None


def _is_text(name: str) -> bool:
    """Whether a name is valid UTF-8, as keys must be."""
    return name.isascii() or name.encode(errors="ignore").decode() == name


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        entries = os.scandir(folder)
    except OSError as error:
        if is_no_file(error):
            return
        raise
    with entries:
        yield from entries
