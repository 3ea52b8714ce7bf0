"""Recursive listings of servers that list one folder for each request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..pages import Page

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

__all__ = ["walk"]

_PAGES_AT_ONCE = 16
#: Maximum number of nested folders that list the same as a folder above: 64 with a single entry, 32
#: with only numbers (chunks of an array with that many dimensions), 8 otherwise. Operating systems
#: follow at most 40 links in a path.
_MAX_REPEATS = 64
#: Maximum depth of nested folders.
_MAX_DEPTH = 255


class _Folder:
    """A directory of a recursive listing, with a hash of its entries and the directory above."""

    __slots__ = ("above", "listed", "path", "repeats")

    def __init__(self, path: str, above: _Folder | None = None) -> None:
        self.path = path
        self.above = above
        self.listed = 0
        self.repeats = 0


async def walk(
    directory: str,
    name_prefix: str,
    *,
    recursive: bool,
    list_folder: Callable[[str], Coroutine[Any, Any, Page]],
    url_of: Callable[[str], str],
) -> AsyncGenerator[Page, None]:
    """List a directory, one folder for each page; see `Backend.pages`.

    Parameters
    ----------
    list_folder : callable
        Returns the direct children of a directory, with full paths.
    url_of : callable
        Returns the public URL of a path, for error messages.

    Raises
    ------
    OSError
        When the folders seem to be linked in a cycle.
    """
    # Depth first: few directories of a deep tree are pending.
    waiting = [_Folder(directory)]
    running: dict[asyncio.Task[Page], _Folder] = {}
    try:
        while waiting or running:
            while waiting and len(running) < _PAGES_AT_ONCE:
                folder = waiting.pop()
                running[asyncio.create_task(list_folder(folder.path))] = folder
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                folder = running.pop(task)
                start = directory + name_prefix if folder.path == directory else ""
                page = task.result()
                if start:
                    page = Page(
                        [entry for entry in page.objects if entry[0].startswith(start)],
                        [path for path in page.prefixes if path.startswith(start)],
                        [path for path in page.temporary if path.startswith(start)],
                        details=page.details,
                    )
                if recursive and page.prefixes:
                    _refuse_endless(folder, page, url_of)
                    waiting += [_Folder(prefix + "/", folder) for prefix in page.prefixes]
                yield page._replace(prefixes=()) if recursive else page
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _refuse_endless(folder: _Folder, page: Page, url_of: Callable[[str], str]) -> None:
    """Raise ``OSError`` if the folders seem to be linked in a cycle.

    Links between folders of a server make paths of any depth, and a listing does not show which
    entries are links. Nested folders that list the same entries indicate a cycle.
    """
    start = len(folder.path)
    objects = sorted(path[start:] for path, _ in page.objects)
    prefixes = sorted(path[start:] for path in page.prefixes)
    folder.listed = hash((tuple(objects), tuple(prefixes)))
    depth, above = 0, folder.above
    is_repeated = False
    while above is not None:
        depth += 1
        is_repeated = is_repeated or above.listed == folder.listed
        above = above.above
    folder.repeats = 0 if folder.above is None else folder.above.repeats
    if is_repeated:
        names = objects + prefixes
        # The folders of an array's chunks have the same numbers in each dimension.
        is_chunks = all(name.isdigit() for name in names)
        folder.repeats += 1 if len(names) == 1 else 2 if is_chunks else 8
    if folder.repeats >= _MAX_REPEATS or depth >= _MAX_DEPTH:
        raise OSError(
            f"the listing has no end: {url_of(folder.path)} lists the same as folders above it, or "
            f"is deeper than {_MAX_DEPTH} folders; folders of the server may link to each other. "
            "List a prefix without such links"
        )
