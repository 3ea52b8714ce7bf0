"""Listing of files and folders, and of the temporary files that killed writers left."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..._core.leftovers import TEMPORARY, Leftover
from ..pages import Page
from ..temporary_names import is_temporary
from .paths import is_no_file

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["pages", "temporary_files"]


def pages(
    directory: str, name_prefix: str, recursive: bool, limit: int
) -> Generator[Page, None, None]:
    """List a directory; see `Backend.pages`. Links are followed, as for reads.

    Yields
    ------
    Page
        With at most ``limit`` entries.
    """
    objects: list[tuple[str, int | None]] = []
    prefixes: list[str] = []
    for path, size in _walk(directory, name_prefix, recursive):
        if size is None:
            prefixes.append(path)
        else:
            objects.append((path, size))
        if len(objects) + len(prefixes) >= limit:
            yield Page(objects, prefixes)
            objects, prefixes = [], []
    yield Page(objects, prefixes)


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
                    modified = datetime.fromtimestamp(os.lstat(path).st_mtime, UTC)
                    found.append(Leftover(path, TEMPORARY, modified))
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
) -> Iterator[tuple[str, int | None]]:
    """Paths of files with their sizes. If not recursive, also of folders, with ``None``.

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
        for entry in _entries(folder):
            if not entry.name.startswith(name_prefix) or not _is_text(entry.name):
                continue
            path = folder + entry.name
            try:
                if not entry.is_dir():
                    status = entry.stat()
                    if stat.S_ISREG(status.st_mode) and not is_temporary(entry.name):
                        yield path, status.st_size
                    continue
            except OSError as error:
                # Removed meanwhile, or a broken link.
                if is_no_file(error):
                    continue
                raise
            inside = targets
            if entry.is_symlink():
                target = os.path.realpath(path)
                if target in here or (targets is not None and target in targets):
                    continue
                inside = set() if targets is None else targets
                inside.add(target)
            if recursive:
                pending.append((path + "/", here, inside))
            elif next(_walk(path + "/", "", True, here, inside), None) is not None:
                yield path, None
        name_prefix = ""


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
