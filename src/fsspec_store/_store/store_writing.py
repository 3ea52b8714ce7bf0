"""Writing and deleting values: the part of the contract that changes a store."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .._backends.collected import CollectedValue
from .._core.failures import UploadLostError
from .._core.leftovers import ABANDONED_AFTER, Leftovers
from .._runtime.concurrency import for_each
from .._runtime.threads import in_thread, run_in_place
from .buffer import Buffer
from .copying import check_size_listed
from .keys import check_key, directory_prefix
from .partial_writes import Parts, group_writes, patched
from .store_listing import ListableStore
from .streams import Reader, Writer, check_size

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from .store_reading import ReadableStore

__all__ = ["WritableStore"]

T = TypeVar("T")


class WritableStore(ListableStore):
    """A store with all operations of the contract, as asynchronous methods.

    Subclasses implement `set` and `delete`. On a backend that cannot write or delete these raise
    `UnsupportedOperationError`, and `supports_writes` or `supports_deletes` is false.
    """

    @abstractmethod
    async def set(self, key: str, value: Buffer, *, if_match: str | None = None) -> None:
        """Replace the whole value. Readers see the old value or the new one, never a mixture.

        Parameters
        ----------
        key : str
            The key.
        value : Buffer
            The value. Wrap bytes with `Buffer.from_bytes`.
        if_match : str, optional
            Write only when the key still has this version, as `get_version` returned it.

        Raises
        ------
        TypeError
            When ``value`` is not a buffer.
        VersionMismatchError
            When the key is missing or has another version than ``if_match``. Nothing is written.
        """

    def open_writer(self, key: str, *, size: int | None = None) -> Writer:
        """Write a value in parts, in memory of a few parts. It becomes visible all at once.

        Use it as ``async with store.open_writer(key) as writer``, with ``await writer.write(part)``
        for each part and ``await writer.finish()`` at the end. A block that is left without
        `finish` leaves the key as it was.

        S3, Google Cloud Storage, Azure and local files store the parts as they are written. A
        value of at most one part of an upload (16 MiB by default) is written as `set` writes it.
        Other backends, and this default, collect the value, in a temporary file of this machine or
        in memory.

        Parameters
        ----------
        key : str
            The key.
        size : int, optional
            Size of the value in bytes, if it is known. A service with a maximum number of parts
            then gets parts of equal size. Otherwise the parts grow with their number.

        Returns
        -------
        Writer
            An asynchronous context manager. The first request is sent when a part is complete.
        """
        check_key(key)
        check_size(key, size)
        self._check_writable()
        self._require("writes")

        async def write(value: memoryview) -> None:
            await self.set(key, Buffer.from_bytes(value))

        return Writer(key, size, partial(CollectedValue, write, max_bytes=None), _awaited)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write the value if the key is missing. An existing value stays as it is.

        Where `supports_atomic_create` is true, exactly one of many concurrent writers writes.
        Elsewhere this default checks first and then writes, so that two concurrent writers may both
        write.

        Parameters
        ----------
        key : str
            The key.
        value : Buffer
            The value. Wrap bytes with `Buffer.from_bytes`.
        """
        self._check_writable()
        if not await self.exists(key):
            await self.set(key, value)

    async def _set_many(self, values: Iterable[tuple[str, Buffer]]) -> None:
        """Write many values, a bounded number at once."""
        self._check_writable()
        await for_each(lambda pair: self.set(*pair), values, limit=self._concurrency)

    async def set_partial_values(self, key_start_values: Iterable[tuple[str, int, Any]]) -> None:
        """Overwrite parts of values. The other bytes of each value stay as they are.

        This default reads the whole value, changes the parts and writes the value back, so that
        the later of two concurrent writers of a key undoes the other's change. `FsspecStore` loses
        no change where `supports_compare_and_swap` is true.

        Parameters
        ----------
        key_start_values : iterable of (str, int, bytes-like or Buffer)
            Key, first byte and new bytes of each part. A gap between the end of the value and the
            part is filled with zeros. A missing key is created.

        Raises
        ------
        ValueError
            When two parts of one key overlap, or a start is negative. Nothing is written.
        """
        self._check_writable()
        self._require("writes")
        writes = group_writes(key_start_values)
        await for_each(self._write_parts, writes.items(), limit=self._concurrency)

    async def _write_parts(self, item: tuple[str, Parts]) -> None:
        """Write the parts of one key."""
        key, parts = item
        await self.set(key, Buffer.from_bytes(patched(await self._read(key, None), parts)))

    async def copy_from(
        self,
        source: ReadableStore,
        key: str,
        to: str | None = None,
        *,
        version: str | None = None,
    ) -> None:
        """Copy a value of a store to this one. Like `set`, it replaces the value of its key.

        If both stores are on one service, with equal options and credentials, the service copies
        the value: S3, Google Cloud Storage and Azure, with its metadata, local files and memory.
        Elsewhere the client reads the value and writes it, in parts. A copy of a key to itself
        changes nothing.

        On S3 and Azure a copy in parts that is interrupted, or fails, keeps the parts it has
        written: the next one to the key does not send equal parts again. `remove_leftovers` removes
        those of S3, and Azure discards them after a week.

        Parameters
        ----------
        source : Store
            The store of the value. It may be this one.
        key : str
            The key in ``source``.
        to : str, optional
            The key in this store. The default is ``key``.
        version : str, optional
            Copy only when the value has this version, as `get_version` returned it.

        Raises
        ------
        KeyNotFoundError
            When the key is missing.
        VersionMismatchError
            When the value has another version than ``version``, or changes during the copy. Nothing
            is written.
        """
        if version is not None and not isinstance(version, str):
            raise TypeError(f"version must be one of {key!r}, got {type(version).__name__}")
        await self._copy(source, key, key if to is None else to, version, None)

    async def _copy(
        self,
        source: ReadableStore,
        key: str,
        to: str,
        version: str | None,
        size: int | None,
        on_written: Callable[[int], object] | None = None,
    ) -> None:
        """Like `copy_from`, of a value that must have ``size``, if it is known.

        ``on_written`` is called after each part of a value of several parts that the client writes,
        with the bytes so far. A copy that begins again calls it with fewer bytes.

        Raises `VersionMismatchError` for another size. Nothing is written.
        """
        check_key(key)
        check_key(to)
        self._check_writable()
        self._require("writes")
        if size is not None and self._copies_on_service(source, size):
            check_size_listed(source, key, await source.getsize(key), size)
        if await self._copy_on_service(source, key, to, version):
            return
        copy = partial(self._copy_in_parts, source, key, to, version, size, on_written)
        try:
            await copy(self._continue_writer)
        except UploadLostError:
            # Another writer has ended the interrupted upload.
            await copy(self._new_writer)

    async def _copy_in_parts(
        self,
        source: ReadableStore,
        key: str,
        to: str,
        version: str | None,
        size: int | None,
        on_written: Callable[[int], object] | None,
        open_writer: Callable[[str, int], Writer],
    ) -> None:
        """Read a value in parts and write them; a value of one part is written by `set`."""
        async with aclosing(source.open_reader(key, version=version)) as reader:
            part = await _first_part(source, reader)
            check_size_listed(source, key, reader.size, size)
            if part is None or len(part) == reader.size:
                await self.set(to, Buffer.from_bytes(b"") if part is None else part)
                return
            written = 0
            async with open_writer(to, reader.size) as writer:
                while part is not None:
                    await writer.write(part)
                    written += len(part)
                    # Not in memory while the next one is awaited.
                    del part
                    if on_written is not None:
                        on_written(written)
                    part = await reader.next_part()
                await writer.finish()

    def _copies_on_service(self, source: ReadableStore, size: int) -> bool:
        """Whether `copy_from` copies values of this size without reading them."""
        return False

    def _new_writer(self, key: str, size: int) -> Writer:
        return self.open_writer(key, size=size)

    def _continue_writer(self, key: str, size: int) -> Writer:
        """Like `open_writer`; an upload that is interrupted can be continued by another call."""
        return self.open_writer(key, size=size)

    async def _copy_on_service(
        self, source: ReadableStore, key: str, to: str, version: str | None
    ) -> bool:
        """Like `copy_from`; ``False`` if the bytes have to pass through the client."""
        return False

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Delete a key. A missing key is not an error. Keys under ``key/`` are not deleted.

        Parameters
        ----------
        key : str
            The key.
        """

    async def _delete_many(self, keys: Sequence[str], *, limit: int) -> None:
        """Delete keys in as few requests as possible, at most ``limit`` at once.

        After an error some of the keys are deleted.
        """
        await for_each(self.delete, keys, limit=limit)

    def _check_no_links(self, keys: Iterable[str]) -> None:
        """Raise `RefusedError` if a key is below a link to a folder: the file may be elsewhere."""

    async def delete_dir(self, prefix: str) -> None:
        """Delete every key under ``prefix/``.

        Parameters
        ----------
        prefix : str
            ``foo`` and ``foo/`` are the same, and do not match ``foo-bar/...``; ``""`` is the root.
        """
        self._check_writable()
        self._require("deletes", "listing")
        keys = self.list_prefix(directory_prefix(prefix))
        await for_each(self.delete, keys, limit=self._concurrency)

    async def clear(self) -> None:
        """Delete every key of the store. The bucket or folder at its root stays."""
        await self.delete_dir("")

    async def remove_leftovers(
        self, prefix: str = "", *, older_than: float = ABANDONED_AFTER
    ) -> Leftovers:
        """Remove what killed writers left under ``prefix/``, and return it.

        `clear` and `delete_dir` remove temporary files and objects among the keys. Only this method
        removes unfinished multipart uploads.

        Parameters
        ----------
        prefix : str, optional
            ``foo`` and ``foo/`` are the same. The default is the whole store.
        older_than : float, optional
            Minimum age in seconds, from the start of the upload or the last write of the file.
            Younger ones may belong to a write in progress, in any process or program, which would
            fail. ``0`` removes those as well.

        Returns
        -------
        list of Leftover
            What was removed.
        """
        self._check_writable()
        self._require("deletes", "listing")
        return []


async def _first_part(source: ReadableStore, reader: Reader) -> Buffer | None:
    """Open a reader and return its first part; ``None`` for an empty value."""

    async def opened() -> Buffer | None:
        await reader.__aenter__()
        return await reader.next_part()

    if source._runs_in_place:
        # One job of a thread, instead of one each to open, to read, and to look for the end.
        return await in_thread(lambda: run_in_place(opened()))
    return await opened()


async def _awaited(work: Awaitable[T]) -> T:
    """The result of an operation whose errors need no translation."""
    return await work
