"""Keys of a backend's pages, prefetched and checked one page at a time.

Knows which listed objects are keys, and no service.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from .._runtime.concurrency import map_unordered, prefetched
from .fan_out import fan_out_pages
from .keys import is_listable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from .._backends.base import Backend

__all__ = ["Batch", "batches", "children", "holds_no_key", "total_size"]


class Batch(NamedTuple):
    """Keys of one page, at least one, and their sizes in bytes; ``None`` when not listed."""

    keys: Sequence[str]
    sizes: Sequence[int | None]


async def batches(
    backend: Backend,
    directory: str,
    name_prefix: str,
    *,
    root: int,
    fan_out: int = 1,
    in_order: bool = True,
) -> AsyncGenerator[Batch, None]:
    """The keys below a directory, page by page, without directory markers and duplicates.

    ``root`` is the length of the part of a path before its key. ``fan_out`` common prefixes are
    listed at once, on backends where this is faster.
    """
    if fan_out > 1 and backend.fans_out:
        pages = fan_out_pages(backend, directory, name_prefix, fan_out=fan_out, in_order=in_order)
    else:
        pages = prefetched(backend.checked_pages(directory, name_prefix, recursive=True))
    async with aclosing(pages):
        async for page in pages:
            keys = [path[root:] for path, _ in page.objects]
            sizes = [size for _, size in page.objects]
            if not _are_listable(keys):
                valid = [index for index, key in enumerate(keys) if is_listable(key)]
                keys, sizes = [keys[index] for index in valid], [sizes[index] for index in valid]
            if keys:
                yield Batch(keys, sizes)


async def children(backend: Backend, directory: str) -> AsyncGenerator[Sequence[str], None]:
    """Names of keys and prefixes directly below a directory, page by page, without duplicates."""
    seen: set[str] = set()
    root = len(directory)
    async with aclosing(prefetched(backend.checked_pages(directory, "", recursive=False))) as pages:
        async for page in pages:
            names = [path[root:] for path in page.prefixes]
            names += [path[root:] for path, _ in page.objects]
            if not _are_listable(names):
                names = [name for name in names if is_listable(name)]
            # A key and a prefix may have the same name, on one page or on two.
            new = [name for name in dict.fromkeys(names) if name not in seen]
            seen.update(new)
            yield new


async def holds_no_key(backend: Backend, directory: str, *, root: int) -> bool:
    """Whether there is no key below a directory; for the parameters see `batches`."""
    # One entry is enough, unless that is a directory marker. Then the listing restarts with full
    # pages: there may be many markers, and some services end a listing at a page of one marker.
    page_size: int | None = 1
    while True:
        pages = backend.checked_pages(directory, "", recursive=True, page_size=page_size)
        async with aclosing(pages):
            async for page in pages:
                if any(is_listable(path[root:]) for path, _ in page.objects):
                    return False
                if (page.objects or page.temporary) and page_size is not None:
                    break
            else:
                return True
        page_size = None


async def total_size(
    batches: AsyncGenerator[Batch, None], getsize: Callable[[str], Awaitable[int]], *, limit: int
) -> int:
    """The sum of the sizes of all keys, in bytes; ``getsize`` for keys listed without a size.

    At most ``limit`` calls of it run at once. Closes ``batches``.
    """
    total = 0

    async def without_size() -> AsyncGenerator[str, None]:
        nonlocal total
        async with aclosing(batches):
            async for keys, sizes in batches:
                total += sum(size for size in sizes if size is not None)
                if None in sizes:
                    for key, size in zip(keys, sizes, strict=True):
                        if size is None:
                            yield key

    async with aclosing(map_unordered(getsize, without_size(), limit=limit)) as found:
        async for size in found:
            total += size
    return total


def _are_listable(paths: Sequence[str]) -> bool:
    """Whether `is_listable` is true for all paths, tested on one joined string."""
    text = f"/{'/'.join(paths)}/"
    # Three substring searches take a seventh of the time of a regular expression.
    return "//" not in text and "/./" not in text and "/../" not in text
