"""`FsspecStore`: the store contract on any fsspec filesystem.

Turns keys into paths and back, and requests into answers. What is done on the wire is the backend's
business; no service is known by name here.
"""

from __future__ import annotations

import difflib
import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from fsspec.implementations.local import LocalFileSystem

from .._backends import backend_for
from .._backends.pages import refuse_relative
from .._core.byte_requests import SuffixByteRequest, check_byte_range
from .._core.failures import RangeNotSatisfiableError
from .._core.leftovers import ABANDONED_AFTER, is_older
from .._core.ranges import is_empty_request
from .._core.redaction import PrivateURL, public_url
from .._http.retrier import Stats
from .._http.retry_policy import RetryPolicy
from .._http.settings import Settings, Transport
from .._runtime.concurrency import for_each, map_unordered
from ..errors import (
    AccessDeniedError,
    BackendError,
    InvalidKeyError,
    KeyNotFoundError,
    ReadOnlyError,
    StorageOptionError,
    StoreURLError,
    UnauthenticatedError,
    VersionMismatchError,
)
from .buffer import Buffer, as_view
from .contract import Store, Values
from .error_translation import Explaining
from .filesystem import (
    from_mapper,
    from_place,
    from_upath,
    from_url,
    missing_folder,
    root_path,
    root_url,
)
from .keys import check_key, check_prefix, directory_prefix
from .listing import batches, children, holds_no_key
from .partial_writes import WRITE_TRIES, group_writes, write_parts
from .range_reads import MAX_COALESCED_BYTES, MAX_GAP_BYTES, plan
from .sync import SyncFsspecStore

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

    from fsspec import AbstractFileSystem

    from .._core.byte_requests import ByteRequest
    from .._core.leftovers import Leftover, Leftovers
    from .buffer import BufferPrototype
    from .listing import Batch
    from .partial_writes import Parts
    from .range_reads import Job

__all__ = ["FsspecStore", "Versioned"]


#: Actions in which `missing_on_forbidden` takes a 403 for a missing key.
_READS = ("read", "look for")


class Versioned(NamedTuple):
    """A value, and which version of its key it is."""

    value: Buffer
    version: str


class FsspecStore(Store):
    """The store contract on an fsspec filesystem: one place, one set of answers.

    The filesystem given is read for its class and options; it is never closed and never changed.
    Filesystems whose sessions belong to an event loop are made again for each loop that uses the
    store, and those are closed by `close`, by the end of their loop, or at exit.

    Parameters
    ----------
    fs : AbstractFileSystem
        An fsspec filesystem, asynchronous or not.
    path : str, optional
        The store's root on it: ``bucket/prefix``, ``/folder``. A URL of the same protocol serves.
    read_only : bool, optional
        Refuse writes and deletes.
    out_of_range : {"raise", "empty"}, optional
        What a byte range is that is empty, or starts at or past the end of the value: a
        `ByteRangeError`, or an empty buffer.
    max_concurrency : int, optional
        Requests that one call (`get_partial_values`, `delete_dir`, ...) keeps in flight, ``>= 1``.
        The default is the backend's. All calls of the process together keep to a limit for each
        service, which falls when the service asks for fewer requests.
    timeout : float, default 20
        Seconds that one attempt of a request waits for a sign of the server, ``> 0``. Connecting
        takes at most 5 of them; no attempt begins later than twice this after the first.
    retries : int, default 6
        How often a request that failed in passing is sent again, ``>= 0``.
    missing_on_forbidden : bool, optional
        Take a refusal to read a key for "this key is missing", as buckets answer that hide missing
        keys behind 403. How many were is `stats.forbidden_as_missing`. Missing, wrong or expired
        credentials stay an error.
    allow_racy_create : bool, optional
        Let `set_if_not_exists` look first and then write where the backend cannot create
        atomically. Without it such a backend refuses.
    transport : {"auto", "library"}, default "auto"
        What sends requests to S3, Google Cloud Storage and Azure. "auto": the native transport,
        with the filesystem's credentials and settings, where it supports them, and the library
        otherwise; `stats.native` counts its requests. "library": s3fs on S3, aiohttp on the others,
        for every request. Results are the same. Elsewhere both mean the only transport.
    large_value_bytes : int, optional
        Size in bytes above which a value is read and written in parts, ``>= 1``; 32 MiB for reads
        and 64 MiB for writes when left out. At most the service's limit for an upload in one
        request: 5 GiB on S3, 5000 MiB on Azure, 5 TiB on Google Cloud Storage. Values are written
        in parts on these three, and read in parts there and on web servers.
    part_bytes : int, optional
        Size of one part in bytes; 8 MiB for reads and 16 MiB for writes when left out. 5 MiB to
        5 GiB on S3, at most 4000 MiB on Azure, a multiple of 256 KiB on Google Cloud Storage.
        Uploads take larger parts where a value would need more than 10,000 (S3) or 50,000 (Azure).

    Raises
    ------
    StoreURLError
        When no store can be at this path.
    StorageOptionError
        When the filesystem was given an option it cannot use.
    ValueError, TypeError
        When a parameter is out of its bounds.
    """

    def __init__(
        self,
        fs: AbstractFileSystem,
        path: str = "",
        *,
        read_only: bool = False,
        out_of_range: Literal["raise", "empty"] = "raise",
        max_concurrency: int | None = None,
        timeout: float = RetryPolicy.timeout,
        retries: int = RetryPolicy.retries,
        missing_on_forbidden: bool = False,
        allow_racy_create: bool = False,
        transport: Transport = "auto",
        large_value_bytes: int | None = None,
        part_bytes: int | None = None,
    ) -> None:
        super().__init__(read_only=read_only)
        if out_of_range not in ("raise", "empty"):
            raise ValueError(f"out_of_range is 'raise' or 'empty', got {out_of_range!r}")
        if max_concurrency is not None and max_concurrency < 1:
            raise ValueError(f"max_concurrency is at least 1, got {max_concurrency!r}")
        self._given = (fs, path)
        self._options: dict[str, Any] = {
            "out_of_range": out_of_range,
            "max_concurrency": max_concurrency,
            "timeout": timeout,
            "retries": retries,
            "missing_on_forbidden": missing_on_forbidden,
            "allow_racy_create": allow_racy_create,
            "transport": transport,
            "large_value_bytes": large_value_bytes,
            "part_bytes": part_bytes,
        }
        self._stats = Stats()
        policy = RetryPolicy(timeout, retries)
        settings = Settings(policy, self._stats, transport, large_value_bytes, part_bytes)
        inner, self._root = root_path(fs, path)
        if inner is fs and type(fs) is LocalFileSystem:
            # The working folder may be another one where the store is made again.
            self._given = (fs, self._root or fs.root_marker)
        self._url = public_url(root_url(inner, self._root))
        self._backend = backend_for(inner, settings)
        problem = self._backend.check_root(self._root)
        if problem:
            raise StoreURLError(f"{self._url!r}: {problem}", url=self._url)
        # Where paths have no common beginning (zip members), neither have the store's.
        self._base = self._root + "/" if self._root or inner.root_marker else ""

    @classmethod
    def from_url(
        cls,
        url: str | os.PathLike[str],
        storage_options: Mapping[str, Any] | None = None,
        *,
        read_only: bool = False,
        **options: Any,
    ) -> Self:
        """A store at a URL.

        Parameters
        ----------
        url : str, os.PathLike or UPath
            A ``str`` as fsspec reads it: ``s3://bucket/path``, ``file:///folder``,
            ``memory://name``, a plain path. A path object is a path of this machine to the letter.
        storage_options : mapping, optional
            Options of the filesystem: ``key``, ``secret``, ``endpoint_url``, ``anon``, ...
        read_only : bool, optional
            Refuse writes and deletes.
        **options
            Further parameters of the constructor.

        Returns
        -------
        FsspecStore
            Not opened, which it need not be: operations do that.

        Raises
        ------
        StoreURLError
            When the URL names no place, or its protocol is unknown.
        StorageOptionError
            When the filesystem takes no such option, or the store no such parameter.
        MissingExtraError
            When the protocol's library is not installed; says how to install it.
        """
        return cls._at(lambda: from_url(url, storage_options), read_only, options)

    @classmethod
    def from_upath(cls, upath: Any, *, read_only: bool = False, **options: Any) -> Self:
        """A store at a ``UPath``.

        Parameters
        ----------
        upath : UPath
            Or anything with a filesystem ``fs`` and a ``path`` on it.
        read_only : bool, optional
            Refuse writes and deletes.
        **options
            Further parameters of the constructor.

        Returns
        -------
        FsspecStore
            See `from_url`.

        Raises
        ------
        TypeError
            When ``upath`` is no such thing.
        StoreURLError, StorageOptionError
            See the constructor.
        """
        return cls._at(lambda: from_upath(upath), read_only, options)

    @classmethod
    def from_mapper(cls, mapper: Any, *, read_only: bool = False, **options: Any) -> Self:
        """A store at the root of an ``fsspec.FSMap``.

        Parameters
        ----------
        mapper : fsspec.FSMap
            As ``fsspec.get_mapper`` returns it.
        read_only : bool, optional
            Refuse writes and deletes.
        **options
            Further parameters of the constructor.

        Returns
        -------
        FsspecStore
            See `from_url`.

        Raises
        ------
        TypeError
            When ``mapper`` is none.
        StoreURLError, StorageOptionError
            See the constructor.
        """
        return cls._at(lambda: from_mapper(mapper), read_only, options)

    @classmethod
    def _at(
        cls,
        find: Callable[[], tuple[AbstractFileSystem, str]],
        read_only: bool,
        options: Mapping[str, Any],
    ) -> Self:
        """A store at a place that is found once the options are known to be the store's own."""
        takes = inspect.signature(cls).parameters
        takes_any = any(each.kind is each.VAR_KEYWORD for each in takes.values())
        for name in () if takes_any else sorted(options.keys() - takes.keys()):
            # Without "_": readonly= is close to read_only, and to nothing else.
            own = {each.replace("_", ""): each for each in [*takes, "storage_options"]}
            near = difflib.get_close_matches(name.lower().replace("_", ""), own, n=1, cutoff=0.65)
            if name == "mode":
                advice = "read_only=True opens for reading only, and zarr and xarray take a mode"
            elif name == "fast":
                advice = "write transport='library' for fast=False"
            elif near:
                advice = f"did you mean {own[near[0]]}?"
            else:
                advice = f"options of the filesystem go into storage_options={{{name!r}: ...}}"
            raise StorageOptionError(f"a store has no parameter {name!r}; {advice}")
        return cls(*find(), read_only=read_only, **options)

    @classmethod
    def _at_place(
        cls,
        place: Any,
        storage_options: Mapping[str, Any] | None,
        *,
        read_only: bool,
        **options: Any,
    ) -> Self:
        """Make a store from a URL, a path, a mapper or a core store."""
        if not isinstance(place, FsspecStore) or isinstance(place, cls):
            return cls._at(lambda: from_place(place, storage_options), read_only, options)
        if storage_options is not None:
            raise TypeError("storage_options beside a FsspecStore, which has its own")
        # This class has its own defaults for these two.
        given = {
            name: value
            for name, value in place._options.items()
            if name not in ("out_of_range", "allow_racy_create")
        }
        read_only = read_only or place.read_only
        return cls._at(lambda: place._given, read_only, {**given, **options})

    def with_read_only(self, read_only: bool = False) -> Self:
        """A store on the same place in the given mode; see `Store.with_read_only`."""
        return type(self)(*self._given, read_only=read_only, **self._options)

    async def _open(self) -> None:
        """Open the store; on a web server this asks whether it lists. Operations need not wait."""
        await super()._open()
        await self._backend.discover(self._base)

    def close(self) -> None:
        """Mark the store closed and close the sessions it opened. Harmless when repeated."""
        super().close()
        self._backend.close()

    async def aclose(self) -> None:
        """Close the store, awaiting the sessions of the running loop; see `close`."""
        super().close()
        await self._backend.aclose()

    # -- What this store is and can do ---------------------------------------------------------

    @property
    def fs(self) -> AbstractFileSystem:
        """The filesystem `path` is a path of: the one given, or the one inside a wrapper."""
        return self._backend.fs

    @property
    def path(self) -> str:
        """The store's root, as the filesystem spells it, without a trailing ``/``."""
        return self._root

    @property
    def url(self) -> str:
        """The URL of the store's root, without any secret."""
        return self._url

    @property
    def stats(self) -> Stats:
        """Counters of this store's requests: sent, retried, throttled, and more."""
        return self._stats

    @property
    def supports_writes(self) -> bool:
        """Whether the backend can write; a read-only store refuses all the same."""
        return self._backend.supports_writes

    @property
    def supports_deletes(self) -> bool:
        """Whether the backend can delete; a read-only store refuses all the same."""
        return self._backend.supports_deletes

    @property
    def supports_partial_writes(self) -> bool:
        """Whether `set_partial_values` works: wherever `set` does."""
        return self._backend.supports_writes

    @property
    def supports_listing(self) -> bool:
        """Whether the backend can list keys."""
        return self._backend.supports_listing

    @property
    def supports_atomic_create(self) -> bool:
        """Whether, of many concurrent `set_if_not_exists` of one key, exactly one writes.

        True until the first use shows that the service ignores conditions.
        """
        return self._backend.supports_atomic_create

    @property
    def supports_compare_and_swap(self) -> bool:
        """Whether `get_version` and ``set(..., if_match=...)`` work.

        True until the first use shows that the service ignores conditions.
        """
        return self._backend.supports_replace

    @property
    def sync(self) -> SyncFsspecStore:
        """The same methods without ``await``, for scripts, notebooks and threads.

        On memory and local files they run on the calling thread, elsewhere on an event loop of
        another thread, so they work where a loop runs already.
        """
        return SyncFsspecStore(self, in_place=self._backend.runs_in_place)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, FsspecStore)
            and type(self) is type(other)
            and self._identity() == other._identity()
        )

    def __hash__(self) -> int:
        return hash((type(self), self._url, self._read_only))

    def _identity(self) -> tuple[object, ...]:
        fs = self._backend.fs
        # Not fs == fs: fsspec's tokens hold the process and the thread.
        options = {
            name: value
            for name, value in fs.storage_options.items()
            if name not in ("asynchronous", "loop", "skip_instance_cache")
        }
        # An in-memory filesystem of its own is a place of its own.
        own = id(fs) if getattr(fs, "global_store", True) is False else None
        place = (type(fs), fs.storage_args, options, own, self._root)
        return (*place, self._read_only, self._options)

    def __reduce__(self) -> tuple[Any, ...]:
        options = {"read_only": self._read_only, **self._options}
        return _restore, (type(self), self._given, options)

    def __str__(self) -> str:
        return self._url

    def __repr__(self) -> str:
        mode = ", read_only=True" if self._read_only else ""
        # zarr names a store by this where it finds nothing in it.
        missing = missing_folder(self._backend.fs, self._root)
        return f"{type(self).__name__}({self._url!r}{mode})" + (f" ({missing})" if missing else "")

    # -- Reading -------------------------------------------------------------------------------

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        make = self._maker(prototype)
        request = check_byte_range(byte_range)
        data = await self._read(key, request)
        return None if data is None else make(data)

    async def get_version(
        self, key: str, prototype: BufferPrototype | None = None
    ) -> Versioned | None:
        """Read a value with its version, the only one that ``set(..., if_match=...)`` replaces.

        Beyond the contract: what changes a value without losing another writer's change.

        Parameters
        ----------
        key, prototype
            See `get`.

        Returns
        -------
        Versioned or None
            The value and its version, ``None`` when the key is missing.

        Raises
        ------
        UnsupportedOperationError
            Where `supports_compare_and_swap` is false.
        """
        make = self._maker(prototype)
        path = await self._open_path(key)
        try:
            with self._explaining("read", key):
                found = await self._backend.read_version(path)
        except RangeNotSatisfiableError as error:
            raise self._no_range(key) from error
        except AccessDeniedError as error:
            self._forbidden(error)
            return None
        if found is None:
            return None
        data, version = found
        return Versioned(make(memoryview(data)), version)

    async def get_partial_values(
        self,
        prototype: BufferPrototype | None,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
        *,
        max_gap_bytes: int = MAX_GAP_BYTES,
        max_coalesced_bytes: int = MAX_COALESCED_BYTES,
    ) -> Values:
        """Read parts of many values, nearby parts of one value together.

        Parameters
        ----------
        prototype : BufferPrototype or None
            Which buffer class to return.
        key_ranges : iterable of (str, ByteRequest or None)
            Keys with the bytes wanted of them; read once, a key may repeat.
        max_gap_bytes, max_coalesced_bytes : int, optional
            Which ranges of one value are fetched together, in bytes: see `get_ranges`.

        Returns
        -------
        list of Buffer or None
            In the order of ``key_ranges``, ``None`` for a missing key. Parts that were fetched
            together are views of the same memory, which is kept as long as any of them.
        """
        asked = list(key_ranges)
        make = self._maker(prototype)
        if len(asked) == 1:
            # As `get` does: what is read alone needs no plan.
            key, byte_range = asked[0]
            alone = await self._read(key, check_byte_range(byte_range))
            return [None if alone is None else make(alone)]
        jobs = plan(asked, max_gap_bytes=max_gap_bytes, max_coalesced_bytes=max_coalesced_bytes)
        values: Values = [None] * len(asked)

        async def read(job: Job) -> None:
            for place, data in await self._read_job(job):
                if data is not None:
                    values[place] = make(data)

        await for_each(read, jobs, limit=self._concurrency)
        return values

    async def exists(self, key: str) -> bool:
        return await self._size(key) is not None

    async def getsize(self, key: str) -> int:
        size = await self._size(key)
        if size is None:
            missing = missing_folder(self._backend.fs, self._root)
            raise KeyNotFoundError(
                f"no key {key!r} in {self._url}" + (f": {missing}" if missing else ""),
                key=key,
                url=self._url,
            )
        return size

    # -- Writing -------------------------------------------------------------------------------

    async def set(self, key: str, value: Buffer, *, if_match: str | None = None) -> None:
        """Replace the whole value, visible all at once.

        Parameters
        ----------
        key : str
            The key.
        value : Buffer
            The value.
        if_match : str, optional
            Replace only this version, as `get_version` returned it.

        Raises
        ------
        VersionMismatchError
            When the key has another version than ``if_match``, or is missing; nothing is written.
        UnsupportedOperationError
            When ``if_match`` is given and `supports_compare_and_swap` is false.
        """
        if if_match is not None and not isinstance(if_match, str):
            raise TypeError(f"if_match is a version of {key!r}, got {type(if_match).__name__}")
        path, data = await self._open_write(key, value)
        with self._explaining("write", key):
            if if_match is None:
                await self._backend.write(path, data)
            elif not await self._backend.replace(path, data, if_match):
                raise VersionMismatchError(
                    f"{key!r} in {self._url} no longer is version {if_match!r}",
                    key=key,
                    url=self._url,
                )

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write the value if the key is missing; do nothing if it is not.

        Atomic where `supports_atomic_create` is true: of many concurrent writers exactly one wins.
        Elsewhere refused, unless the store was made with ``allow_racy_create``: then it looks
        first, and a writer in between is overwritten.

        Parameters
        ----------
        key, value
            See `Store.set_if_not_exists`.

        Raises
        ------
        UnsupportedOperationError
            When the backend cannot create atomically, and a race was not allowed.
        """
        path, data = await self._open_write(key, value)
        with self._explaining("create", key):
            await self._create(path, data)

    async def set_partial_values(self, key_start_values: Iterable[tuple[str, int, Any]]) -> None:
        """Overwrite parts of values, leaving their other bytes as they are.

        Concurrent writers of one key lose nothing where `supports_compare_and_swap` is true: each
        replaces only the version it read. Elsewhere the later of two undoes the other's change.
        See `Store.set_partial_values`.
        """
        self._check_writable()
        self._require("writes")
        writes = group_writes(key_start_values)
        await for_each(self._patch, writes.items(), limit=self._concurrency)

    # -- Deleting ------------------------------------------------------------------------------

    async def delete(self, key: str) -> None:
        self._check_writable()
        self._require("deletes")
        path = await self._open_path(key)
        with self._explaining("delete", key):
            await self._backend.remove(path)

    async def delete_dir(self, prefix: str) -> None:
        self._check_writable()
        self._require("deletes", "listing")
        directory = await self._open_directory(prefix)
        with self._explaining("delete", prefix):
            await self._backend.remove_below(
                directory, limit=self._concurrency, is_root=directory == self._base
            )
            if directory != self._base:
                await self._backend.remove_empty_folders(directory, self._base)

    # -- Listing -------------------------------------------------------------------------------

    async def list(self) -> AsyncGenerator[str, None]:
        # This and its siblings yield keys themselves: each generator more that a key passes
        # through costs as much as its parsing.
        async with aclosing(self._below("")) as found:
            async for batch in found:
                for key in batch.keys:
                    yield key

    async def list_prefix(self, prefix: str, *, fan_out: int = 1) -> AsyncGenerator[str, None]:
        """Yield every key that starts with the string ``prefix``, relative to the store's root.

        The next page is asked for while the caller uses this one.

        Parameters
        ----------
        prefix : str
            ``""``, or the beginning of a key.
        fan_out : int, optional
            Beyond the contract: list so many of the common prefixes below at once, ``>= 1``. The
            order stays as it is on services that list in the order of the keys' bytes. Worth it
            for very many keys below several prefixes of a service far away; costs a request for
            each prefix and for the level they are on, and room for the 100,000 keys that may wait
            for their turn. Local files and memory list as without it.

        Yields
        ------
        str
            See `Store.list_prefix`.
        """
        async with aclosing(self._below(prefix, fan_out=fan_out)) as found:
            async for batch in found:
                for key in batch.keys:
                    yield key

    async def list_sizes(
        self, prefix: str = "", *, fan_out: int = 1
    ) -> AsyncGenerator[tuple[str, int | None], None]:
        """Yield every key that starts with the string ``prefix``, with its size.

        Beyond the contract: what `list_prefix` lists, for programs that would ask `getsize` next.

        Parameters
        ----------
        prefix, fan_out
            See `list_prefix`.

        Yields
        ------
        key : str
            Relative to the store's root.
        size : int or None
            In bytes; ``None`` where the backend lists no sizes.
        """
        async with aclosing(self._below(prefix, fan_out=fan_out)) as found:
            async for batch in found:
                for entry in zip(batch.keys, batch.sizes, strict=True):
                    yield entry

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        self._require("listing")
        directory = await self._open_directory(prefix)
        with self._explaining("list", prefix):
            async with aclosing(children(self._backend, directory)) as pages:
                async for names in pages:
                    for name in names:
                        yield name

    async def is_empty(self, prefix: str) -> bool:
        self._require("listing")
        directory = await self._open_directory(prefix)
        with self._explaining("list", prefix):
            return await holds_no_key(self._backend, directory, root=len(self._base))

    async def getsize_prefix(self, prefix: str, *, fan_out: int = 1) -> int:
        """Sum of the sizes of all values under ``prefix/``.

        Parameters
        ----------
        prefix : str
            As for `list_dir`.
        fan_out : int, optional
            See `list_prefix`; here no key waits for its turn.

        Returns
        -------
        int
            In bytes, ``>= 0``.
        """
        total = 0

        async def without_size() -> AsyncGenerator[str, None]:
            nonlocal total
            below = self._below(directory_prefix(prefix), fan_out=fan_out, in_order=False)
            async with aclosing(below) as found:
                async for keys, sizes in found:
                    total += sum(size for size in sizes if size is not None)
                    if None in sizes:
                        for key, size in zip(keys, sizes, strict=True):
                            if size is None:
                                yield key

        sizes = map_unordered(self.getsize, without_size(), limit=self._concurrency)
        async with aclosing(sizes):
            async for size in sizes:
                total += size
        return total

    # -- What killed writers left --------------------------------------------------------------

    async def list_leftovers(self, prefix: str = "") -> AsyncGenerator[Leftover, None]:
        """Yield what writers that were killed left under ``prefix/``, and no listing shows.

        Beyond the contract. On S3 these are unfinished uploads in parts, of other programs too, and
        objects of temporary names; on local files, SFTP and FTP, temporary files. Google and Azure
        list nothing: they discard unfinished uploads after a week.

        Parameters
        ----------
        prefix : str, optional
            As for `list_dir`; the whole store when left out.

        Yields
        ------
        Leftover
            What it is, where, and how old. Something that is being written now is listed as well.
        """
        self._require("listing")
        directory = await self._open_directory(prefix)
        with self._explaining("list leftovers of", prefix):
            async with aclosing(self._backend.leftovers(directory)) as found:
                async for leftover in found:
                    yield leftover._replace(key=leftover.key[len(self._base) :])

    async def remove_leftovers(
        self, prefix: str = "", *, older_than: float = ABANDONED_AFTER
    ) -> Leftovers:
        """Remove what writers that were killed left under ``prefix/``.

        Beyond the contract. `clear` and `delete_dir` remove temporary files and objects among the
        keys; unfinished uploads are removed by this method alone.

        Parameters
        ----------
        prefix : str, optional
            See `list_leftovers`.
        older_than : float, optional
            Seconds since it was begun or written last. What is younger may be a write that is under
            way, in any process or program, which would fail; 0 removes that as well.

        Returns
        -------
        list of Leftover
            What was removed.
        """
        self._check_writable()
        self._require("deletes", "listing")
        removed = []
        async with aclosing(self.list_leftovers(prefix)) as found:
            async for leftover in found:
                if is_older(leftover, older_than):
                    path = leftover._replace(key=self._base + leftover.key)
                    with self._explaining("remove leftovers of", leftover.key):
                        refuse_relative([path.key], self._base)
                        await self._backend.remove_leftover(path)
                    removed.append(leftover)
        return removed

    # -- What they share -----------------------------------------------------------------------

    @property
    def _concurrency(self) -> int:
        return self._options["max_concurrency"] or self._backend.default_concurrency

    def _check_writable(self) -> None:
        if self._read_only:
            error = ReadOnlyError(
                "store was opened in read-only mode and does not support writing", url=self._url
            )
            error.add_note(f"the store is {self!r}")
            raise error

    def _refuse(self, key: str, request: ByteRequest, size: int | None) -> memoryview:
        if self._options["out_of_range"] == "empty":
            return memoryview(b"")
        return super()._refuse(key, request, size)

    def _no_range(self, key: str) -> BackendError:
        """The error of a service that finds a range out of bounds where none was asked for."""
        return BackendError(
            f"cannot read {key!r} in {self._url}: the service answered a request for the whole "
            "value with 416, range not satisfiable",
            key=key,
            url=self._url,
        )

    async def _read_out_of_range(
        self, key: str, request: ByteRequest, size: int | None
    ) -> memoryview | None:
        return self._refuse(key, request, size)

    async def _read(self, key: str, request: ByteRequest | None) -> memoryview | None:
        """The bytes of a checked request; ``None`` when the key is missing."""
        if request is not None and is_empty_request(request):
            return await self._read_nothing(key, request)
        path = await self._open_path(key)
        try:
            with self._explaining("read", key):
                data = await self._backend.read(path, request)
        except RangeNotSatisfiableError as error:
            if request is None:
                raise self._no_range(key) from error
            return self._refuse(key, request, error.size)
        except AccessDeniedError as error:
            self._forbidden(error)
            return None
        return None if data is None else memoryview(data)

    async def _size(self, key: str) -> int | None:
        """Size of a value in bytes; ``None`` when the key is missing."""
        path = await self._open_path(key)
        try:
            with self._explaining("look for", key):
                return await self._backend.size(path)
        except AccessDeniedError as error:
            self._forbidden(error)
            return None

    def _forbidden(self, error: AccessDeniedError) -> None:
        """Raise a refusal to read, or count it as missing."""
        # Of credentials that are no good no bucket says anything about its keys.
        hides = not isinstance(error, UnauthenticatedError)
        if not (self._options["missing_on_forbidden"] and hides):
            raise error
        self._stats.forbidden_as_missing += 1

    async def _create(self, path: str, data: memoryview) -> bool:
        if self._backend.supports_atomic_create:
            try:
                return await self._backend.create(path, data)
            except NotImplementedError:
                if not self._options["allow_racy_create"]:
                    raise
        elif not self._options["allow_racy_create"]:
            raise NotImplementedError(
                "this backend cannot create atomically; allow_racy_create=True allows to look "
                "first and then write, which of two writers at once loses one"
            )
        if await self._backend.size(path) is not None:
            return False
        await self._backend.write(path, data)
        return True

    async def _patch(self, item: tuple[str, Parts]) -> None:
        key, parts = item
        path = await self._open_path(key)
        with self._explaining("write parts of", key):
            is_done = await write_parts(self._backend, path, parts)
        if not is_done:
            raise VersionMismatchError(
                f"{key!r} in {self._url} was changed by others {WRITE_TRIES} times while parts of "
                "it were to be written",
                key=key,
                url=self._url,
            )

    async def _read_nothing(self, key: str, request: ByteRequest) -> memoryview | None:
        nothing = (
            memoryview(b"")
            if isinstance(request, SuffixByteRequest)
            else self._refuse(key, request, None)
        )
        # No bytes of a value is not the same as no value.
        return nothing if await self._size(key) is not None else None

    async def _below(
        self, prefix: str, *, fan_out: int = 1, in_order: bool = True
    ) -> AsyncGenerator[Batch, None]:
        """Keys that start with a prefix, and their sizes; see `listing.batches`."""
        if fan_out < 1:
            raise ValueError(f"fan_out is at least 1, got {fan_out!r}")
        self._require("listing")
        folder, slash, stem = check_prefix(prefix).rpartition("/")
        directory = await self._open_directory(folder + slash)
        with self._explaining("list", prefix):
            found = batches(
                self._backend,
                directory,
                stem,
                root=len(self._base),
                fan_out=fan_out,
                in_order=in_order,
            )
            async with aclosing(found):
                async for batch in found:
                    yield batch

    async def _open_path(self, key: str) -> str:
        path = self._base + check_key(key)
        if self._backend.has_secret_paths:
            path = PrivateURL(path)
        problem = self._backend.check_path(path)
        if problem:
            raise InvalidKeyError(
                f"{self._url} cannot hold the key {key!r}: {problem}", key=key, url=self._url
            )
        self._is_open = True
        return path

    async def _open_directory(self, prefix: str) -> str:
        directory = directory_prefix(prefix)
        self._is_open = True
        path = self._base + directory
        return PrivateURL(path) if self._backend.has_secret_paths else path

    async def _open_write(self, key: str, value: Buffer) -> tuple[str, memoryview]:
        self._check_writable()
        self._require("writes")
        if not callable(getattr(value, "as_numpy_array", None)):
            raise TypeError(
                f"the value of {key!r} is not a buffer, got {type(value).__name__}; "
                "wrap bytes with Buffer.from_bytes"
            )
        return await self._open_path(key), as_view(value)

    def _explaining(self, action: str, key: str) -> Explaining:
        # Actions whose refusal names missing_on_forbidden as a remedy.
        hides = action in _READS and not self._options["missing_on_forbidden"]
        return Explaining(self._backend, action, key, self._url, may_hide=hides)


# IPython without jedi runs no property to complete on its value; it reads annotations of the class.
FsspecStore.__annotations__["sync"] = SyncFsspecStore


def _restore(
    cls: type[FsspecStore], given: tuple[AbstractFileSystem, str], options: dict[str, Any]
) -> FsspecStore:
    return cls(*given, **options)
