"""Listing keys, sizes and leftovers of killed writers: the part of the contract over prefixes."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import aclosing
from typing import TYPE_CHECKING

from .._runtime.concurrency import map_unordered
from ..errors import KeyNotFoundError
from .entries import Entry
from .external_sort import EntrySort
from .keys import directory_prefix
from .store_reading import ReadableStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from .._core.leftovers import Leftover

__all__ = ["ListableStore"]


class ListableStore(ReadableStore):
    """A readable store whose keys can be listed.

    Subclasses implement `list_prefix` and `list_dir`.
    """

    def list(self) -> AsyncGenerator[str, None]:
        """Yield every key.

        Yields
        ------
        str
            Relative to the store's root. Each key once, in no guaranteed order.
        """
        return self.list_prefix("")

    @abstractmethod
    def list_prefix(self, prefix: str, *, fan_out: int = 1) -> AsyncGenerator[str, None]:
        """Yield every key that starts with the string ``prefix``.

        Keys arrive page by page. The next page is requested while the caller uses this one.

        Parameters
        ----------
        prefix : str
            ``""``, or the beginning of a key: ``fo`` is one of ``foo`` and of ``foo/a``.
        fan_out : int, optional
            Number of common prefixes to list at once, ``>= 1``. On services that list keys in byte
            order the order stays the same. It pays off for very many keys under several prefixes
            of a distant service. It costs one request for each prefix and for their parent, and
            memory for up to 100,000 keys. Stores that gain nothing by it ignore it: local files,
            memory.

        Yields
        ------
        str
            Relative to the store's root, not to the prefix. Each key once.
        """

    async def list_sizes(
        self, prefix: str = "", *, fan_out: int = 1
    ) -> AsyncGenerator[tuple[str, int | None], None]:
        """Yield every key that starts with the string ``prefix``, with the size of its value.

        Most backends list sizes with the keys, so this needs no request for each key. A store
        without such listings calls `getsize` for each key.

        Parameters
        ----------
        prefix : str, optional
            ``""``, or the beginning of a key.
        fan_out : int, optional
            Number of common prefixes to list at once: see `list_prefix`.

        Yields
        ------
        key : str
            Relative to the store's root.
        size : int or None
            In bytes. ``None`` when the backend lists the key without its size.
        """
        self._require("listing")

        async def with_size(key: str) -> tuple[str, int] | None:
            try:
                return key, await self.getsize(key)
            except KeyNotFoundError:
                # Deleted after it was listed.
                return None

        # A store may lack the option, so the default is not passed.
        options = {} if fan_out == 1 else {"fan_out": fan_out}
        async with aclosing(self.list_prefix(prefix, **options)) as keys:
            found = map_unordered(with_size, keys, limit=self._concurrency)
            async with aclosing(found):
                async for entry in found:
                    if entry is not None:
                        yield entry

    async def list_entries(
        self,
        prefix: str = "",
        *,
        start_after: str | None = None,
        on_left_out: Callable[[str], object] | None = None,
    ) -> AsyncGenerator[Entry, None]:
        """Yield what the service lists of each key, in the order of the keys' UTF-8 bytes.

        The order is the same on every store, so that two listings can be merged. If the service
        lists in this order (see `lists_in_order`), entries arrive page by page. Otherwise all are
        listed and sorted first: up to 50,000 in memory, more in a temporary file, which is removed
        at the end.

        Parameters
        ----------
        prefix : str, optional
            ``""``, or the beginning of a key.
        start_after : str, optional
            A key, or the beginning of one. Keys up to and including it are left out.
        on_left_out : callable, optional
            Called with each name that the service lists and that is no valid key: with an empty
            segment, or not encodable as UTF-8, with its other bytes as in ``os.fsdecode``. The
            default implementation finds none.

        Yields
        ------
        Entry
            Each key once. The default implementation knows keys and sizes only. In a local folder
            also the path of each broken link, which cannot be read and which `list` leaves out.

        Raises
        ------
        BackendError
            When a service that listed in order lists a key before one that was already yielded.
            The same call then sorts.
        """
        self._require("listing")
        with EntrySort() as unsorted:
            async with aclosing(self.list_sizes(prefix)) as found:
                async for key, size in found:
                    if key > (start_after or ""):
                        size = await self.getsize(key) if size is None else size
                        await unsorted.add([Entry(key, size)])
            async with aclosing(unsorted.batches()) as batches:
                async for batch in batches:
                    for entry in batch:
                        yield entry

    @abstractmethod
    def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        """Yield the names of keys and prefixes directly under ``prefix/``.

        Parameters
        ----------
        prefix : str
            ``foo`` and ``foo/`` are the same; ``""`` is the root. A prefix without keys yields
            nothing.

        Yields
        ------
        str
            Relative to ``prefix/``, without a trailing ``/``. Each name once.
        """

    async def list_dir_entries(self, prefix: str) -> AsyncGenerator[tuple[str, Entry | None], None]:
        """Like `list_dir`, with what the service lists of each key.

        Most backends list it with the names, so this needs no request for each key.

        Parameters
        ----------
        prefix : str
            ``foo`` and ``foo/`` are the same; ``""`` is the root.

        Yields
        ------
        name : str
            As `list_dir` yields it.
        entry : Entry or None
            The entry of a key; ``None`` for a prefix. A name that is both is yielded twice. The
            default implementation requests the size of each name, and yields each once.
        """
        async with aclosing(self.list_dir(prefix)) as names:
            async for name in names:
                try:
                    yield name, await self.get_entry(directory_prefix(prefix) + name)
                except KeyNotFoundError:
                    yield name, None

    async def get_entry(self, key: str) -> Entry:
        """What the service states about a key, without its value.

        Parameters
        ----------
        key : str
            The key.

        Returns
        -------
        Entry
            As `list_entries` yields it, or with more details. The default implementation knows the
            size only.

        Raises
        ------
        KeyNotFoundError
            When the key is missing.
        """
        return Entry(key, await self.getsize(key))

    async def is_empty(self, prefix: str) -> bool:
        """Whether there is no key under ``prefix/``. Reads at most one page of the listing.

        Parameters
        ----------
        prefix : str
            ``foo`` and ``foo/`` are the same; ``""`` is the root.

        Returns
        -------
        bool
            True also when ``prefix`` itself is a key, and no key is under ``prefix/``.
        """
        self._require("listing")
        async with aclosing(self.list_prefix(directory_prefix(prefix))) as keys:
            async for _ in keys:
                return False
        return True

    async def getsize_prefix(self, prefix: str, *, fan_out: int = 1) -> int:
        """Sum of the sizes of all values under ``prefix/``, in bytes.

        Parameters
        ----------
        prefix : str
            ``foo`` and ``foo/`` are the same; ``""`` is the root.
        fan_out : int, optional
            Number of common prefixes to list at once: see `list_prefix`. The order of the keys does
            not matter here, so no key waits in memory.

        Returns
        -------
        int
            In bytes, ``>= 0``.
        """
        total = 0
        async with aclosing(self.list_sizes(directory_prefix(prefix), fan_out=fan_out)) as entries:
            async for key, size in entries:
                total += await self.getsize(key) if size is None else size
        return total

    async def list_leftovers(self, prefix: str = "") -> AsyncGenerator[Leftover, None]:
        """Yield what killed writers left under ``prefix/``; no listing of keys shows it.

        On S3 these are unfinished multipart uploads, also those of other programs, and objects with
        temporary names. On local files, SFTP and FTP they are temporary files. On Azure they are
        blocks of keys that do not exist yet. Google has no such list. Both services discard
        unfinished uploads after a week.

        Parameters
        ----------
        prefix : str, optional
            ``foo`` and ``foo/`` are the same. The default is the whole store.

        Yields
        ------
        Leftover
            Its kind, location and age. A write in progress is listed too.
        """
        self._require("listing")
        nothing: tuple[Leftover, ...] = ()
        for leftover in nothing:
            yield leftover
