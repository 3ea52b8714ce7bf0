"""Entries of a backend in the order of their keys' bytes, whatever the order of the service is.

A service that lists in this order is streamed. A service whose order is unknown is probed when its
listing has a second page, or begins after a key. The entries of all others are sorted first.
"""

from __future__ import annotations

from contextlib import aclosing, suppress
from itertools import pairwise
from typing import TYPE_CHECKING

from .._backends.pages import Details
from .._runtime.concurrency import map_unordered, prefetched
from ..errors import KeyNotFoundError
from .entries import Entry
from .external_sort import EntrySort
from .keys import is_listable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from .._backends.base import Backend
    from .._backends.pages import Page

__all__ = ["entries_of_level", "ordered_entries"]

_NO_DETAILS = Details()


async def ordered_entries(
    backend: Backend,
    directory: str,
    name_prefix: str,
    *,
    root: int,
    start_after: str,
    getsize: Callable[[str], Awaitable[int]],
    limit: int,
    on_left_out: Callable[[str], object] | None,
) -> AsyncGenerator[Sequence[Entry], None]:
    """Yield the entries below a directory whose keys are after ``start_after``, in batches.

    ``root`` is the length of the part of a path before its key. ``getsize`` is called for keys
    that are listed without a size, at most ``limit`` times at once. ``on_left_out`` is called with
    each name that is no valid key, and no marker of a directory.

    Raises
    ------
    OSError
        When a service that listed in order lists a key before one that was already yielded. The
        next listing of the backend is sorted.
    """
    begin = directory[:root] + start_after if start_after else ""
    is_probed, is_ordered = False, True
    if begin and backend.lists_in_order is None:
        await _probe_order(backend, begin)
    # In UTF-16, the other common order, characters above U+FFFF are before some below it.
    if not backend.lists_in_order or max(begin, default="") >= "\ud800":
        begin = ""
    #: The last key that was yielded, and the last one that was listed.
    last = listed = start_after
    pages = prefetched(backend.checked_detailed_pages(directory, name_prefix, start_after=begin))
    async with aclosing(pages):
        with EntrySort() as unsorted:
            async for page in pages:
                entries = await _entries(page, root, start_after, getsize, limit)
                if on_left_out is not None:
                    for name in _left_out(page, root):
                        if name > start_after:
                            on_left_out(name)
                if entries and entries[0].key == listed:
                    del entries[0]
                if not entries:
                    continue
                keys = [listed, *(entry.key for entry in entries)]
                listed = keys[-1]
                if any(key >= following for key, following in pairwise(keys)):
                    backend.lists_in_order = is_ordered = False
                elif unsorted and backend.lists_in_order is None and not is_probed:
                    is_probed = True
                    paths = (path for path, _ in page.objects)
                    await _probe_order(backend, max(paths, key=lambda path: path.count("/")))
                if not (is_ordered and backend.lists_in_order):
                    await unsorted.add(entries)
                    continue
                async with aclosing(unsorted.batches()) as batches:
                    async for batch in batches:
                        yield batch
                yield entries
                last = listed
            async with aclosing(unsorted.batches()) as batches:
                async for batch in batches:
                    if batch[0].key <= last:
                        raise OSError(
                            f"the service listed {batch[0].key!r} after {last!r}: it does not list "
                            "in the order of keys; list again to have them sorted"
                        )
                    yield batch


async def entries_of_level(
    backend: Backend,
    directory: str,
    *,
    root: int,
    getsize: Callable[[str], Awaitable[int]],
    limit: int,
) -> AsyncGenerator[Sequence[tuple[str, Entry | None]], None]:
    """Yield the names directly below a directory in batches; for the parameters see above.

    A key has an entry, a prefix ``None``. A name may be both.
    """
    begin = len(directory)
    seen: set[str] = set()
    pages = prefetched(backend.checked_detailed_pages(directory, "", recursive=False))
    async with aclosing(pages):
        async for page in pages:
            prefixes = dict.fromkeys(path[begin:] for path in page.prefixes)
            new = [name for name in prefixes if name not in seen and is_listable(name)]
            seen.update(new)
            entries = await _entries(page, root, "", getsize, limit)
            yield [(name, None) for name in new]
            yield [(entry.key[begin - root :], entry) for entry in entries]


async def _entries(
    page: Page,
    root: int,
    start_after: str,
    getsize: Callable[[str], Awaitable[int]],
    limit: int,
) -> list[Entry]:
    """The keys of a page after ``start_after``, in its order."""
    objects = [
        (path, path[root:], size) for path, size in page.objects if path[root:] > start_after
    ]
    missing = [key for _, key, size in objects if size is None and is_listable(key)]
    sizes = {}
    if missing:

        async def size_of(key: str) -> tuple[str, int] | None:
            try:
                return key, await getsize(key)
            except KeyNotFoundError:
                # Deleted after it was listed.
                return None

        async with aclosing(map_unordered(size_of, missing, limit=limit)) as found:
            sizes = dict([each async for each in found if each is not None])
    details = page.details
    entries = []
    for path, key, listed in objects:
        size = sizes.get(key) if listed is None else listed
        if size is not None and is_listable(key):
            entries.append(Entry(key, size, *details.get(path, _NO_DETAILS)))
    return entries


def _left_out(page: Page, root: int) -> list[str]:
    """Names on a page that are no keys, without markers of directories."""
    found = [path[root:] for path in page.left_out]
    for path, size in page.objects:
        name = path[root:]
        if not is_listable(name) and (size or not f"/{name}".endswith("/")):
            found.append(name)
    return found


async def _probe_order(backend: Backend, path: str) -> None:
    """Set `Backend.lists_in_order` if a listing that begins in the middle of a folder shows it.

    The bytes of ``a.`` are before those of ``a/b``, but a service that lists folder by folder has
    all of ``a/`` before ``a.``. A listing after ``a.`` shows which.
    """
    folder = path.rpartition("/")[0]
    parent, slash, name = folder.rpartition("/")
    if not parent:
        return
    pages = backend.checked_detailed_pages(
        parent + slash, name, start_after=f"{folder}.", page_size=1
    )
    # Without a result the order stays unknown.
    with suppress(Exception):
        async with aclosing(pages):
            async for page in pages:
                if page.objects:
                    is_between = page.objects[0][0].startswith(f"{folder}/")
                    # Another listing may have shown a different order meanwhile.
                    if is_between and backend.lists_in_order is None:
                        backend.lists_in_order = True
                    return
