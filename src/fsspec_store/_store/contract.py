"""The asynchronous key/value contract that zarr-style array readers speak.

`Store` is what a store promises; a class that implements its abstract members has all of it. Byte
requests, the protocols for one key, and `StorePath` belong to the contract and are found here too.

A **key** is a ``/``-separated relative path such as ``c/0/1`` or ``zarr.json``, a **value** is a
`Buffer`, a **prototype** says which buffer class reads come back in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from .._core.byte_requests import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    SuffixByteRequest,
)
from .._runtime.concurrency import for_each, map_unordered
from ..errors import ByteRangeError, KeyNotFoundError, ReadOnlyError, UnsupportedOperationError
from .buffer import Buffer, BufferPrototype, as_view, default_buffer_prototype
from .keys import check_key, directory_prefix
from .partial_writes import group_writes, patched
from .range_reads import MAX_COALESCED_BYTES, MAX_GAP_BYTES, plan, read_job
from .store_path import ByteGetter, ByteSetter, StorePath, set_or_delete
from .sync import SyncStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
    from types import TracebackType

    from .partial_writes import Parts
    from .range_reads import Answers, Job

__all__ = [
    "Buffer",
    "BufferPrototype",
    "ByteGetter",
    "ByteRequest",
    "ByteSetter",
    "OffsetByteRequest",
    "RangeByteRequest",
    "Store",
    "StorePath",
    "SuffixByteRequest",
    "default_buffer_prototype",
    "set_or_delete",
]

#: What `Store.get_partial_values` returns; inside the class, `list` is a method.
Values: TypeAlias = list[Buffer | None]

#: Operations the default implementations keep under way at once.
_CONCURRENCY = 10


class Store(ABC):
    """An asynchronous map from keys to values.

    Operations open the store when it is not open. Every write and delete on a read-only store is
    refused before any I/O.

    Parameters
    ----------
    read_only : bool, optional
        Refuse writes and deletes.
    """

    _read_only: bool
    _is_open: bool

    def __init__(self, *, read_only: bool = False) -> None:
        self._read_only = read_only
        self._is_open = False

    # -- Opening and closing -------------------------------------------------------------------

    @classmethod
    async def open(cls, *args: Any, **kwargs: Any) -> Self:
        """Make a store, and open it.

        Parameters
        ----------
        *args, **kwargs
            Of the constructor.

        Returns
        -------
        Store
            Open: a second opening is a ``ValueError``.
        """
        store = cls(*args, **kwargs)
        await store._open()
        return store

    async def _open(self) -> None:
        if self._is_open:
            raise ValueError("store is already open")
        self._is_open = True

    async def _ensure_open(self) -> None:
        if not self._is_open:
            try:
                await self._open()
            except ValueError:
                # Another thread was quicker.
                if not self._is_open:
                    raise

    def close(self) -> None:
        """Mark the store closed and release what it opened itself. Harmless when repeated."""
        self._is_open = False

    async def aclose(self) -> None:
        """Close the store, awaiting what can be awaited; see `close`."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await self._ensure_open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # -- What this store is and can do ---------------------------------------------------------

    @abstractmethod
    def __eq__(self, value: object) -> bool: ...

    @property
    def read_only(self) -> bool:
        """Whether writes and deletes are refused."""
        return self._read_only

    def _check_writable(self) -> None:
        if self.read_only:
            raise ReadOnlyError("store was opened in read-only mode and does not support writing")

    def with_read_only(self, read_only: bool = False) -> Store:
        """A store on the same place in the given mode, not opened; this one stays as it is.

        Parameters
        ----------
        read_only : bool, optional
            Whether the new store refuses writes and deletes; it does not by default.

        Returns
        -------
        Store
            Of the same class.

        Raises
        ------
        NotImplementedError
            When a store class does not say how it is made again.
        """
        raise UnsupportedOperationError(
            f"with_read_only is not implemented for the {type(self)} store type."
        )

    @property
    @abstractmethod
    def supports_writes(self) -> bool:
        """Whether `set` can work on this backend."""

    @property
    @abstractmethod
    def supports_deletes(self) -> bool:
        """Whether `delete` can work on this backend."""

    @property
    @abstractmethod
    def supports_partial_writes(self) -> bool:
        """Whether `set_partial_values` can work on this backend."""

    @property
    @abstractmethod
    def supports_listing(self) -> bool:
        """Whether keys can be listed on this backend."""

    @property
    def supports_consolidated_metadata(self) -> bool:
        """Whether readers may keep consolidated metadata in this store."""
        return True

    @property
    def sync(self) -> SyncStore:
        """The same methods without ``await``, for scripts, notebooks and threads.

        They run on an event loop of another thread, so they work where a loop runs already. Both
        ways may be used at the same time.
        """
        return SyncStore(self)

    # -- Reading -------------------------------------------------------------------------------

    @abstractmethod
    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read a value, or a part of it; ``None`` when the key is missing.

        Parameters
        ----------
        key : str
            The key.
        prototype : BufferPrototype, optional
            Which buffer class to return; NumPy-backed `Buffer` when left out.
        byte_range : ByteRequest, optional
            Which bytes; all when left out.

        Returns
        -------
        Buffer or None
            ``None`` when the key is missing, and only then. Ask ``is None``: an empty value is
            false, as empty bytes are.

        Raises
        ------
        ByteRangeError
            When a range is empty, or starts at or past the end of the value.
        """

    @abstractmethod
    async def get_partial_values(
        self,
        prototype: BufferPrototype | None,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> Values:
        """Read parts of many values, as a list in the order they were asked for.

        Parameters
        ----------
        prototype : BufferPrototype or None
            Which buffer class to return.
        key_ranges : iterable of (str, ByteRequest or None)
            Keys with the bytes wanted of them; read once, a key may repeat.

        Returns
        -------
        list of Buffer or None
            In the order of ``key_ranges``, ``None`` for a missing key.
        """

    async def get_ranges(
        self,
        key: str,
        byte_ranges: Sequence[ByteRequest | None],
        *,
        prototype: BufferPrototype | None = None,
        max_concurrency: int | None = None,
        max_gap_bytes: int = MAX_GAP_BYTES,
        max_coalesced_bytes: int = MAX_COALESCED_BYTES,
    ) -> AsyncGenerator[Sequence[tuple[int, Buffer]], None]:
        """Read many parts of one value, nearby ones together.

        What is asked for twice, or lies inside of something else that is asked for, is fetched
        once; when the whole value is among it, nothing else is fetched.

        Parameters
        ----------
        key : str
            The key.
        byte_ranges : sequence of ByteRequest or None
            Parts of the value, in any order, overlapping or repeated.
        prototype : BufferPrototype, optional
            Which buffer class to return.
        max_concurrency : int, optional
            How many fetches run at once, ``>= 1``; as many as the store keeps in flight when left
            out.
        max_gap_bytes : int, optional
            Ranges with at most this many bytes between them are fetched together. The default,
            64 KiB, is about what a further request costs: with gaps of it 100 ranges came 2.6 to
            23 times sooner by merged fetches, at distances of 0 to 50 ms, and with gaps of 256 KiB
            they came later at some. A slow network is better served by less, a distant and fast
            one by more. For ``0`` only what touches or overlaps is merged, for a negative number
            only ranges that overlap by so many bytes: ``-1`` merges none that touch, as in zarr.
        max_coalesced_bytes : int, optional
            A merged fetch spans at most this many bytes, but for a single range that is larger and
            what lies inside it; nothing is merged where this is negative. The default, 8 MiB, is
            enough for a connection's full speed, and lets several run side by side.

        Yields
        ------
        sequence of (int, Buffer)
            For each fetch, in completion order, the parts it served: their place in
            ``byte_ranges`` and their bytes. Parts of one fetch are views of the same memory, which
            is kept as long as any of them.

        Raises
        ------
        ExceptionGroup
            Of whatever a fetch raised; of ``FileNotFoundError`` when the key is missing. Handle it
            with ``except*``.
        """
        check_key(key)
        if max_concurrency is not None and max_concurrency < 1:
            raise ValueError(f"max_concurrency is at least 1, got {max_concurrency!r}")
        make = self._maker(prototype)
        jobs = plan(
            [(key, byte_range) for byte_range in byte_ranges],
            max_gap_bytes=max_gap_bytes,
            max_coalesced_bytes=max_coalesced_bytes,
        )
        limit = max_concurrency or self._concurrency
        async with aclosing(map_unordered(self._read_job, jobs, limit=limit)) as batches:
            try:
                async for batch in batches:
                    answers = []
                    for place, data in batch:
                        if data is None:
                            raise KeyNotFoundError(f"no key {key!r}", key=key)
                        answers.append((place, make(data)))
                    yield answers
            except Exception as error:
                raise ExceptionGroup(f"reading ranges of {key!r} failed", [error]) from None

    async def _get_many(
        self, requests: Iterable[tuple[str, BufferPrototype | None, ByteRequest | None]]
    ) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        """Yield ``(key, value or None)`` for each ``(key, prototype, byte_range)``, as read.

        Nearby ranges of one key are read together.
        """
        asked = list(requests)
        makers = [self._maker(prototype) for _, prototype, _ in asked]
        jobs = plan((key, byte_range) for key, _, byte_range in asked)
        reads = map_unordered(self._read_job, jobs, limit=self._concurrency)
        async with aclosing(reads) as batches:
            async for batch in batches:
                for place, data in batch:
                    yield asked[place][0], None if data is None else makers[place](data)

    @abstractmethod
    async def exists(self, key: str) -> bool:
        """Whether there is a value at this key; a mere prefix of keys is none.

        Parameters
        ----------
        key : str
            The key.

        Returns
        -------
        bool
            False only when the key is missing: what cannot be found out is an error.
        """

    async def getsize(self, key: str) -> int:
        """Size of a value in bytes; ``FileNotFoundError`` when the key is missing.

        Parameters
        ----------
        key : str
            The key.

        Returns
        -------
        int
            In bytes, ``>= 0``.

        Raises
        ------
        FileNotFoundError
            When the key is missing.
        """
        value = await self.get(key, default_buffer_prototype())
        if value is None:
            raise KeyNotFoundError(f"no key {key!r}", key=key)
        return len(value)

    # -- Writing -------------------------------------------------------------------------------

    @abstractmethod
    async def set(self, key: str, value: Buffer) -> None:
        """Replace the whole value, visible all at once.

        Parameters
        ----------
        key : str
            The key.
        value : Buffer
            The value.

        Raises
        ------
        TypeError
            When ``value`` is not a buffer; bytes are wrapped by `Buffer.from_bytes`.
        ValueError
            When the store is read-only.
        """

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write the value if the key is missing; do nothing if it is not.

        This default looks first, so that of two concurrent writers both may write: a store that
        can create atomically overrides it.

        Parameters
        ----------
        key : str
            The key.
        value : Buffer
            The value.

        Raises
        ------
        ValueError
            When the store is read-only.
        """
        self._check_writable()
        if not await self.exists(key):
            await self.set(key, value)

    async def _set_many(self, values: Iterable[tuple[str, Buffer]]) -> None:
        """Write many values, a bounded number at once."""

        async def set_one(pair: tuple[str, Buffer]) -> None:
            await self.set(*pair)

        self._check_writable()
        await for_each(set_one, values, limit=self._concurrency)

    @abstractmethod
    async def set_partial_values(self, key_start_values: Iterable[tuple[str, int, Any]]) -> None:
        """Overwrite parts of values, leaving their other bytes as they are.

        Parameters
        ----------
        key_start_values : iterable of (str, int, bytes-like or Buffer)
            Where each part goes. A part past the end of its value is preceded by zeros, and a
            missing key is created.

        Raises
        ------
        ValueError
            When two parts of one key overlap, or a start is negative; nothing is written then.
        """

    async def _set_parts_of_whole_values(
        self, key_start_values: Iterable[tuple[str, int, Any]]
    ) -> None:
        """`set_partial_values` by reading, patching and writing whole values."""

        async def patch(item: tuple[str, Parts]) -> None:
            key, parts = item
            await self.set(key, Buffer.from_bytes(patched(await self._read(key, None), parts)))

        self._check_writable()
        self._require("writes")
        writes = group_writes(key_start_values)
        await for_each(patch, writes.items(), limit=self._concurrency)

    # -- Deleting ------------------------------------------------------------------------------

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Remove a key; keys below ``key/`` are never touched.

        Parameters
        ----------
        key : str
            The key; that it is missing is no error.

        Raises
        ------
        ValueError
            When the store is read-only.
        """

    async def delete_dir(self, prefix: str) -> None:
        """Remove every key under ``prefix/``.

        Parameters
        ----------
        prefix : str
            ``foo`` and ``foo/`` are the same, and never touch ``foo-bar/...``; ``""`` is the root.

        Raises
        ------
        ValueError
            When the store is read-only.
        UnsupportedOperationError
            Where nothing can be deleted, or listed.
        """
        self._check_writable()
        self._require("deletes", "listing")
        keys = self.list_prefix(directory_prefix(prefix))
        await for_each(self.delete, keys, limit=self._concurrency)

    async def clear(self) -> None:
        """Remove every key of the store, and nothing else: a bucket stays, if empty.

        Raises
        ------
        ValueError, UnsupportedOperationError
            See `delete_dir`.
        """
        await self.delete_dir("")

    # -- Listing -------------------------------------------------------------------------------

    @abstractmethod
    def list(self) -> AsyncGenerator[str, None]:
        """Yield every key.

        Yields
        ------
        str
            Relative to the store's root; each once, in no promised order.

        Raises
        ------
        UnsupportedOperationError
            Where nothing can be listed.
        """

    @abstractmethod
    def list_prefix(self, prefix: str) -> AsyncGenerator[str, None]:
        """Yield every key that starts with the string ``prefix``.

        Parameters
        ----------
        prefix : str
            ``""``, or the beginning of a key: ``fo`` is one of ``foo`` and of ``foo/a``.

        Yields
        ------
        str
            As for `list`: relative to the store's root, not to the prefix.

        Raises
        ------
        UnsupportedOperationError
            Where nothing can be listed.
        """

    @abstractmethod
    def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        """Yield the names of keys and prefixes directly under ``prefix/``.

        Parameters
        ----------
        prefix : str
            ``foo`` and ``foo/`` are the same; ``""`` is the root. One without keys yields nothing.

        Yields
        ------
        str
            Relative to ``prefix/``, without a ``/`` at the end; each once.

        Raises
        ------
        UnsupportedOperationError
            Where nothing can be listed.
        """

    async def is_empty(self, prefix: str) -> bool:
        """Whether no key lies under ``prefix/``.

        Parameters
        ----------
        prefix : str
            As for `list_dir`.

        Returns
        -------
        bool
            True also where ``prefix`` is a key itself, and has none below it.

        Raises
        ------
        UnsupportedOperationError
            Where nothing can be listed.
        """
        self._require("listing")
        async with aclosing(self.list_prefix(directory_prefix(prefix))) as keys:
            async for _ in keys:
                return False
        return True

    async def getsize_prefix(self, prefix: str) -> int:
        """Sum of the sizes of all values under ``prefix/``.

        Parameters
        ----------
        prefix : str
            As for `list_dir`.

        Returns
        -------
        int
            In bytes, ``>= 0``.

        Raises
        ------
        UnsupportedOperationError
            Where nothing can be listed.
        """
        self._require("listing")
        keys = self.list_prefix(directory_prefix(prefix))
        total = 0
        async for size in map_unordered(self.getsize, keys, limit=self._concurrency):
            total += size
        return total

    # -- What the defaults share ---------------------------------------------------------------

    @property
    def _concurrency(self) -> int:
        """Operations the defaults keep under way at once."""
        return _CONCURRENCY

    async def _read(self, key: str, request: ByteRequest | None) -> memoryview | None:
        value = await self.get(key, default_buffer_prototype(), request)
        return None if value is None else as_view(value)

    async def _read_job(self, job: Job) -> Answers:
        return await read_job(self._read, self._read_out_of_range, job)

    async def _read_out_of_range(
        self, key: str, request: ByteRequest, size: int | None
    ) -> memoryview | None:
        """What reading a part that turned out to be out of range alone gives, or raises."""
        return await self._read(key, request)

    def _refuse(self, key: str, request: ByteRequest, size: int | None) -> memoryview:
        """Answer a request that is out of range."""
        of = "" if size is None else f" of {size} bytes"
        raise ByteRangeError(
            f"{request!r} is empty or out of range for {key!r}{of}",
            key=key,
            byte_range=request,
            size=size,
        )

    def _maker(self, prototype: BufferPrototype | None) -> Callable[[memoryview], Buffer]:
        """The function that makes a buffer of bytes; ``TypeError`` for a wrong prototype."""
        if prototype is None:
            prototype = self._default_prototype()
        try:
            return prototype.buffer.from_bytes
        except AttributeError:
            raise TypeError(
                f"prototype is a BufferPrototype, got {type(prototype).__name__}; the bytes to "
                "read are given as byte_range=..."
            ) from None

    def _default_prototype(self) -> BufferPrototype:
        return default_buffer_prototype()

    def _require(self, *capabilities: Literal["writes", "deletes", "listing"]) -> None:
        for capability in capabilities:
            if not getattr(self, f"supports_{capability}"):
                raise UnsupportedOperationError(f"{self!r} does not support {capability}")
