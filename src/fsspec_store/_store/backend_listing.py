"""`BackendListing`: the operations of a store over a `Backend` on all keys of a prefix."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from .._backends.pages import refuse_relative
from .._core.leftovers import ABANDONED_AFTER, BLOCKS, Leftover, Leftovers, is_older
from .backend_base import BackendBase
from .entry_listing import entries_of_level, ordered_entries
from .keys import check_prefix, directory_prefix
from .listing import Batch, batches, children, holds_no_key, total_size

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from .entries import Entry

__all__ = ["BackendListing"]


class BackendListing(BackendBase):
    """A store over a backend that lists keys, and deletes all keys of a prefix."""

    async def list_prefix(self, prefix: str, *, fan_out: int = 1) -> AsyncGenerator[str, None]:
        # Without `list_sizes`: a further generator costs as much for each key as parsing it.
        async with aclosing(self._below(prefix, fan_out=fan_out)) as found:
            async for batch in found:
                for key in batch.keys:
                    yield key

    async def list_sizes(
        self, prefix: str = "", *, fan_out: int = 1
    ) -> AsyncGenerator[tuple[str, int | None], None]:
        async with aclosing(self._below(prefix, fan_out=fan_out)) as found:
            async for batch in found:
                for entry in zip(batch.keys, batch.sizes, strict=True):
                    yield entry

    async def list_entries(
        self,
        prefix: str = "",
        *,
        start_after: str | None = None,
        on_left_out: Callable[[str], object] | None = None,
    ) -> AsyncGenerator[Entry, None]:
        self._require("listing")
        folder, slash, name_prefix = check_prefix(prefix).rpartition("/")
        after = check_prefix(start_after or "")
        if after > prefix and not after.startswith(prefix):
            return
        directory = self._directory(folder + slash)
        with self._translating("list", prefix):
            found = ordered_entries(
                self._backend,
                directory,
                name_prefix,
                root=len(self._base),
                # Some services list nothing after a key without the prefix.
                start_after=after if after.startswith(prefix) else "",
                getsize=self.getsize,
                limit=self._concurrency,
                on_left_out=on_left_out,
            )
            async with aclosing(found):
                async for batch in found:
                    for entry in batch:
                        yield entry

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        self._require("listing")
        directory = self._directory(prefix)
        with self._translating("list", prefix):
            async with aclosing(children(self._backend, directory)) as pages:
                async for names in pages:
                    for name in names:
                        yield name

    async def list_dir_entries(self, prefix: str) -> AsyncGenerator[tuple[str, Entry | None], None]:
        self._require("listing")
        directory = self._directory(prefix)
        with self._translating("list", prefix):
            found = entries_of_level(
                self._backend,
                directory,
                root=len(self._base),
                getsize=self.getsize,
                limit=self._concurrency,
            )
            async with aclosing(found) as batches:
                async for names in batches:
                    for each in names:
                        yield each

    async def is_empty(self, prefix: str) -> bool:
        self._require("listing")
        directory = self._directory(prefix)
        with self._translating("list", prefix):
            return await holds_no_key(self._backend, directory, root=len(self._base))

    async def getsize_prefix(self, prefix: str, *, fan_out: int = 1) -> int:
        below = self._below(directory_prefix(prefix), fan_out=fan_out, in_order=False)
        return await total_size(below, self.getsize, limit=self._concurrency)

    async def _below(
        self, prefix: str, *, fan_out: int = 1, in_order: bool = True
    ) -> AsyncGenerator[Batch, None]:
        """Keys that start with a prefix, and their sizes; see `listing.batches`."""
        if fan_out < 1:
            raise ValueError(f"fan_out must be at least 1, got {fan_out!r}")
        self._require("listing")
        folder, slash, name_prefix = check_prefix(prefix).rpartition("/")
        directory = self._directory(folder + slash)
        with self._translating("list", prefix):
            found = batches(
                self._backend,
                directory,
                name_prefix,
                root=len(self._base),
                fan_out=fan_out,
                in_order=in_order,
            )
            async with aclosing(found):
                async for batch in found:
                    yield batch

    async def delete_dir(self, prefix: str) -> None:
        self._check_writable()
        self._require("deletes", "listing")
        directory = self._directory(prefix)
        with self._translating("delete", prefix):
            await self._backend.remove_below(
                directory, limit=self._concurrency, is_root=directory == self._base
            )
            if directory != self._base:
                await self._backend.remove_empty_folders(directory, self._base)

    # -- Leftovers of killed writers -----------------------------------------------------------

    async def list_leftovers(self, prefix: str = "") -> AsyncGenerator[Leftover, None]:
        self._require("listing")
        directory = self._directory(prefix)
        with self._translating("list leftovers of", prefix):
            async with aclosing(self._backend.leftovers(directory)) as found:
                async for leftover in found:
                    yield leftover._replace(key=leftover.key[len(self._base) :])

    async def remove_leftovers(
        self, prefix: str = "", *, older_than: float = ABANDONED_AFTER
    ) -> Leftovers:
        self._check_writable()
        self._require("deletes", "listing")
        removed = []
        async with aclosing(self.list_leftovers(prefix)) as found:
            async for leftover in found:
                if leftover.kind != BLOCKS and is_older(leftover, older_than):
                    full = leftover._replace(key=self._base + leftover.key)
                    with self._translating("remove leftovers of", leftover.key):
                        refuse_relative([full.key], self._base)
                        await self._backend.remove_leftover(full)
                    removed.append(leftover)
        return removed
