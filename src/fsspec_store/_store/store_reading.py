"""Reading values: the part of the contract that needs neither listing nor writing."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .._core.byte_requests import ByteRequest, OffsetByteRequest, check_byte_range
from .._core.streams import OpenValue, in_memory
from .._runtime.concurrency import for_each, map_unordered
from ..errors import KeyNotFoundError, UnsupportedOperationError, VersionMismatchError
from .buffer import DEFAULT_PROTOTYPE, Buffer, BufferPrototype, as_view, check_prototype
from .keys import check_key
from .range_reads import MAX_COALESCED_BYTES, MAX_GAP_BYTES, out_of_range, plan, read_fetch
from .store_base import StoreBase
from .streams import Reader, check_start

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from .range_reads import IndexedParts, KeyFetch

__all__ = ["ReadableStore", "Values", "Versioned"]

#: What `Store.get_partial_values` returns.
Values: TypeAlias = list[Buffer | None]


#: Size of the parts of a value that is in memory.
_PART_BYTES = 8 * 2**20


class Versioned(NamedTuple):
    """A value and its version.

    Attributes
    ----------
    value : Buffer
        The bytes.
    version : str
        An ETag, a generation or a digest. ``set(..., if_match=version)`` replaces only this
        version.
    """

    value: Buffer
    version: str


class ReadableStore(StoreBase):
    """A map from keys to values that can be read.

    Subclasses implement `get` and `exists`.
    """

    #: The prototype of a read without one.
    _default_prototype: BufferPrototype = DEFAULT_PROTOTYPE

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
            The buffer class to return. The default is the store's own.
        byte_range : ByteRequest, optional
            `RangeByteRequest`, `OffsetByteRequest` or `SuffixByteRequest`. The default is all
            bytes.

        Returns
        -------
        Buffer or None
            ``None`` only when the key is missing. Test with ``is None``: an empty value is false,
            as empty bytes are.

        Raises
        ------
        ByteRangeError
            When a range is empty, or starts at or past the end of the value.
        """

    async def get_version(
        self, key: str, prototype: BufferPrototype | None = None
    ) -> Versioned | None:
        """Read a value with its version, for ``set(..., if_match=version)``.

        Parameters
        ----------
        key : str
            The key.
        prototype : BufferPrototype, optional
            The buffer class to return. The default is the store's own.

        Returns
        -------
        Versioned or None
            The value and its version, ``None`` when the key is missing.
        """
        raise UnsupportedOperationError(f"{self!r} does not support compare-and-swap", key=key)

    async def get_partial_values(
        self,
        prototype: BufferPrototype | None,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
        *,
        max_gap_bytes: int = MAX_GAP_BYTES,
        max_coalesced_bytes: int = MAX_COALESCED_BYTES,
    ) -> Values:
        """Read parts of many values. Nearby parts of one value are fetched together.

        Parameters
        ----------
        prototype : BufferPrototype or None
            The buffer class to return. ``None`` is the store's own.
        key_ranges : iterable of (str, ByteRequest or None)
            Keys and the bytes to read. The iterable is consumed once. A key may repeat.
        max_gap_bytes, max_coalesced_bytes : int, optional
            Limits of a merged fetch, in bytes: see `get_ranges`.

        Returns
        -------
        list of Buffer or None
            In the order of ``key_ranges``, ``None`` for a missing key. Parts of one fetch are views
            of the same memory, which stays allocated as long as one of them is in use.
        """
        requests = list(key_ranges)
        make = self._maker(prototype)
        if len(requests) == 1:
            # A single read needs no plan.
            key, byte_range = requests[0]
            data = await self._read(key, check_byte_range(byte_range))
            return [None if data is None else make(data)]
        fetches = plan(
            requests, max_gap_bytes=max_gap_bytes, max_coalesced_bytes=max_coalesced_bytes
        )
        values: Values = [None] * len(requests)

        async def read(fetch: KeyFetch) -> None:
            for index, data in await self._read_fetch(fetch):
                if data is not None:
                    values[index] = make(data)

        await for_each(read, fetches, limit=self._concurrency)
        return values

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
        """Read many parts of one value. Nearby parts are fetched together.

        A part that repeats, or lies inside another part, is fetched once. When the whole value is
        requested, it is the only fetch.

        Parameters
        ----------
        key : str
            The key.
        byte_ranges : sequence of ByteRequest or None
            Parts of the value, in any order. They may overlap or repeat.
        prototype : BufferPrototype, optional
            The buffer class to return. The default is the store's own.
        max_concurrency : int, optional
            Fetches that run at once, ``>= 1``. The default is the store's own limit.
        max_gap_bytes : int, optional
            Ranges with at most this many bytes between them are fetched together. The default,
            64 KiB, is about what a further request costs: at latencies of 0 to 50 ms, merged
            fetches of 100 ranges were 2.6 to 23 times faster with gaps of 64 KiB, and with gaps of
            256 KiB slower at some latencies. Use less on a slow network, more on a distant and
            fast one.
            ``0`` merges only ranges that touch or overlap. A negative number merges only ranges
            that overlap by so many bytes: ``-1`` merges none that touch, as in zarr.
        max_coalesced_bytes : int, optional
            Maximum size of a merged fetch. A single range that is larger is fetched in one piece,
            with the ranges inside it. A negative number disables merging. The default, 8 MiB, is
            enough for the full speed of a connection, and several fetches can run at once.

        Yields
        ------
        sequence of (int, Buffer)
            For each fetch, in completion order, its parts: their index in ``byte_ranges`` and their
            bytes. Parts of one fetch are views of the same memory, which stays allocated as long as
            one of them is in use.

        Raises
        ------
        ExceptionGroup
            Of the errors of the fetches; of ``FileNotFoundError`` when the key is missing. Handle
            it with ``except*``.
        """
        check_key(key)
        if max_concurrency is not None and max_concurrency < 1:
            raise ValueError(f"max_concurrency must be at least 1, got {max_concurrency!r}")
        make = self._maker(prototype)
        fetches = plan(
            [(key, byte_range) for byte_range in byte_ranges],
            max_gap_bytes=max_gap_bytes,
            max_coalesced_bytes=max_coalesced_bytes,
        )
        limit = max_concurrency or self._concurrency
        async with aclosing(map_unordered(self._read_fetch, fetches, limit=limit)) as batches:
            try:
                async for batch in batches:
                    parts = []
                    for index, data in batch:
                        if data is None:
                            raise KeyNotFoundError(f"no key {key!r}", key=key)
                        parts.append((index, make(data)))
                    yield parts
            except Exception as error:
                raise ExceptionGroup(f"reading ranges of {key!r} failed", [error]) from None

    async def _get_many(
        self, requests: Iterable[tuple[str, BufferPrototype | None, ByteRequest | None]]
    ) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        """Yield ``(key, value or None)`` for each ``(key, prototype, byte_range)``, as read.

        Nearby ranges of one key are fetched together.
        """
        all_requests = list(requests)
        makers = [self._maker(prototype) for _, prototype, _ in all_requests]
        fetches = plan((key, byte_range) for key, _, byte_range in all_requests)
        reads = map_unordered(self._read_fetch, fetches, limit=self._concurrency)
        async with aclosing(reads) as batches:
            async for batch in batches:
                for index, data in batch:
                    yield all_requests[index][0], None if data is None else makers[index](data)

    @abstractmethod
    async def exists(self, key: str) -> bool:
        """Whether the key has a value. A prefix of other keys is not a key.

        Parameters
        ----------
        key : str
            The key.

        Returns
        -------
        bool
            False only when the key is missing. A failed request raises.
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
        value = await self.get(key, DEFAULT_PROTOTYPE)
        if value is None:
            raise KeyNotFoundError(f"no key {key!r}", key=key)
        return len(value)

    def open_reader(self, key: str, *, version: str | None = None, start: int = 0) -> Reader:
        """Read a value in parts, in order, in memory of a few parts for any size.

        Use it as ``async with store.open_reader(key) as reader: async for part in reader: ...``.
        All parts are of one version. The next parts are read while the caller uses one. Each part
        is retried as a `get` is.

        Without a version of the service (WebDAV, some web servers and some filesystems) the whole
        value is read into memory first, as by this default. A local file is one version as long
        as it is replaced, and not changed in place.

        Parameters
        ----------
        key : str
            The key.
        version : str, optional
            The version that the value must have, as in `get_version`. The default is any.
        start : int, optional
            Index of the first byte to read, ``>= 0``. The size is allowed: there are no parts then.

        Returns
        -------
        Reader
            An asynchronous context manager and iterator of buffers, with size and version. Entering
            the block sends the first request.

        Raises
        ------
        KeyNotFoundError
            When the key is missing. Raised by entering the block, as the following errors.
        VersionMismatchError
            When the value has another version than ``version``. Also raised by the iteration, when
            the value was replaced or deleted meanwhile.
        ByteRangeError
            When ``start`` is past the end of the value.
        """
        check_key(key)
        check_start(key, start)
        return Reader(key, start, partial(self._open_whole, key, version, start), self._maker(None))

    async def _open_whole(self, key: str, version: str | None, start: int) -> OpenValue:
        """The whole value, read into memory."""
        if version is None:
            data = await self._read(key, None)
        else:
            found = await self.get_version(key, DEFAULT_PROTOTYPE)
            if found is not None and found.version != version:
                raise VersionMismatchError(f"{key!r} no longer has version {version!r}", key=key)
            data = None if found is None else as_view(found.value)
        if data is None:
            raise KeyNotFoundError(f"no key {key!r}", key=key)
        if start > data.nbytes:
            raise out_of_range(key, OffsetByteRequest(start), data.nbytes)
        return in_memory(data, part_bytes=_PART_BYTES, version=version)

    # -- What subclasses may replace -----------------------------------------------------------

    async def _read(self, key: str, request: ByteRequest | None) -> memoryview | None:
        """The bytes of a checked request; ``None`` when the key is missing."""
        value = await self.get(key, DEFAULT_PROTOTYPE, request)
        return None if value is None else as_view(value)

    async def _read_out_of_range(
        self, key: str, request: ByteRequest, size: int | None
    ) -> memoryview | None:
        """Read a part of a merged fetch that is out of range: raise, or return no bytes."""
        return await self._read(key, request)

    # -- What the methods share ----------------------------------------------------------------

    async def _read_fetch(self, fetch: KeyFetch) -> IndexedParts:
        return await read_fetch(self._read, self._read_out_of_range, fetch)

    def _maker(self, prototype: BufferPrototype | None) -> Callable[[memoryview], Buffer]:
        """The function that makes a buffer of bytes; ``TypeError`` for a wrong prototype."""
        if prototype is None:
            return self._default_prototype.buffer.from_bytes
        check_prototype(prototype)
        return prototype.buffer.from_bytes
