"""`BackendStore`: the store contract over a `Backend`.

Turns keys into paths and back, values into buffers, and the errors of the backend into the errors
of this package. Knows no service and no fsspec filesystem.
"""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Literal

from .._backends.pages import refuse_relative
from .._core.byte_requests import SuffixByteRequest, check_byte_range
from .._core.failures import RangeNotSatisfiableError
from .._core.leftovers import ABANDONED_AFTER, is_older
from .._core.ranges import is_empty_request
from .._core.redaction import PrivateURL
from ..errors import (
    AccessDeniedError,
    BackendError,
    InvalidKeyError,
    KeyNotFoundError,
    ReadOnlyError,
    UnauthenticatedError,
    VersionMismatchError,
)
from .buffer import Buffer, as_view
from .contract import Store
from .creating import create
from .error_translation import Action, ErrorTranslation
from .keys import check_key, check_prefix, directory_prefix
from .listing import batches, children, holds_no_key, total_size
from .partial_writes import WRITE_TRIES, write_parts
from .range_reads import out_of_range
from .store_reading import Versioned

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .._backends.base import Backend
    from .._core.byte_requests import ByteRequest
    from .._core.leftovers import Leftover, Leftovers
    from .buffer import BufferPrototype
    from .listing import Batch
    from .partial_writes import Parts

__all__ = ["BackendStore"]

#: Actions for which `missing_on_forbidden` treats a 403 as a missing key.
_READS = ("read", "look for")


class BackendStore(Store):
    """The store contract over a backend, under one root path.

    Parameters
    ----------
    backend : Backend
        Reads, writes and lists full paths.
    base : str
        What precedes a key in its path: the root path and ``/``.
    url : str
        URL of the root without any secret, for messages.
    read_only, out_of_range, max_concurrency, missing_on_forbidden, allow_racy_create
        See `FsspecStore`.
    """

    def __init__(
        self,
        backend: Backend,
        base: str,
        url: str,
        *,
        read_only: bool,
        out_of_range: Literal["raise", "empty"],
        max_concurrency: int | None,
        missing_on_forbidden: bool,
        allow_racy_create: bool,
    ) -> None:
        super().__init__(read_only=read_only)
        if out_of_range not in ("raise", "empty"):
            raise ValueError(f"out_of_range is 'raise' or 'empty', got {out_of_range!r}")
        if max_concurrency is not None and max_concurrency < 1:
            raise ValueError(f"max_concurrency is at least 1, got {max_concurrency!r}")
        self._backend = backend
        self._base = base
        self._url = url
        self._out_of_range = out_of_range
        self._max_concurrency = max_concurrency
        self._missing_on_forbidden = missing_on_forbidden
        self._allow_racy_create = allow_racy_create

    # -- Opening, closing, capabilities --------------------------------------------------------

    async def _open(self) -> None:
        """Open the store. On a web server this asks whether it lists. Operations need not wait."""
        await super()._open()
        await self._backend.discover(self._base)

    def close(self) -> None:
        super().close()
        self._backend.close()

    async def aclose(self) -> None:
        super().close()
        await self._backend.aclose()

    @property
    def supports_writes(self) -> bool:
        return self._backend.supports_writes

    @property
    def supports_deletes(self) -> bool:
        return self._backend.supports_deletes

    @property
    def supports_listing(self) -> bool:
        return self._backend.supports_listing

    @property
    def supports_atomic_create(self) -> bool:
        return self._backend.supports_atomic_create

    @property
    def supports_compare_and_swap(self) -> bool:
        return self._backend.supports_replace

    @property
    def _runs_in_place(self) -> bool:
        return self._backend.runs_in_place

    @property
    def _concurrency(self) -> int:
        return self._max_concurrency or self._backend.default_concurrency

    # -- Reading -------------------------------------------------------------------------------

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        make = self._maker(prototype)
        request = None if byte_range is None else check_byte_range(byte_range)
        data = await self._read(key, request)
        return None if data is None else make(data)

    async def get_version(
        self, key: str, prototype: BufferPrototype | None = None
    ) -> Versioned | None:
        make = self._maker(prototype)
        path = self._path(key)
        try:
            with self._translating("read", key):
                found = await self._backend.read_version(path)
        except RangeNotSatisfiableError as error:
            raise self._unexpected_416(key) from error
        except AccessDeniedError as error:
            self._count_as_missing(error)
            return None
        if found is None:
            return None
        data, version = found
        return Versioned(make(memoryview(data)), version)

    async def exists(self, key: str) -> bool:
        return await self._size(key) is not None

    async def getsize(self, key: str) -> int:
        size = await self._size(key)
        if size is None:
            raise KeyNotFoundError(
                f"no key {key!r} in {self._url}{self._missing_root()}", key=key, url=self._url
            )
        return size

    async def _read(self, key: str, request: ByteRequest | None) -> memoryview | None:
        if request is not None and is_empty_request(request):
            return await self._read_nothing(key, request)
        path = self._path(key)
        handled = sys.exception()
        try:
            # Every read passes here: a context manager would be three further calls.
            try:
                data = await self._backend.read(path, request)
            except BaseException as error:
                self._action("read", key).raise_translated(error, handled)
                raise
        except RangeNotSatisfiableError as error:
            if request is None:
                raise self._unexpected_416(key) from error
            return self._out_of_range_answer(key, request, error.size)
        except AccessDeniedError as error:
            self._count_as_missing(error)
            return None
        return None if data is None else memoryview(data)

    async def _read_nothing(self, key: str, request: ByteRequest) -> memoryview | None:
        """Answer a request for no bytes: it still needs to know whether the key exists."""
        nothing = (
            memoryview(b"")
            if isinstance(request, SuffixByteRequest)
            else self._out_of_range_answer(key, request, None)
        )
        return nothing if await self._size(key) is not None else None

    async def _read_out_of_range(
        self, key: str, request: ByteRequest, size: int | None
    ) -> memoryview | None:
        return self._out_of_range_answer(key, request, size)

    def _out_of_range_answer(self, key: str, request: ByteRequest, size: int | None) -> memoryview:
        if self._out_of_range == "empty":
            return memoryview(b"")
        raise out_of_range(key, request, size)

    def _unexpected_416(self, key: str) -> BackendError:
        return BackendError(
            f"cannot read {key!r} in {self._url}: the service answered a request for the whole "
            "value with 416, range not satisfiable",
            key=key,
            url=self._url,
        )

    async def _size(self, key: str) -> int | None:
        """Size of a value in bytes; ``None`` when the key is missing."""
        path = self._path(key)
        handled = sys.exception()
        try:
            try:
                return await self._backend.size(path)
            except BaseException as error:
                self._action("look for", key).raise_translated(error, handled)
                raise
        except AccessDeniedError as error:
            self._count_as_missing(error)
            return None

    def _count_as_missing(self, error: AccessDeniedError) -> None:
        """Count a 403 as a missing key where the store is configured so, else raise it."""
        # A response to invalid credentials says nothing about the key.
        may_be_missing = not isinstance(error, UnauthenticatedError)
        if not (self._missing_on_forbidden and may_be_missing):
            raise error
        self._backend.settings.stats.forbidden_as_missing += 1

    def _missing_root(self) -> str:
        """What a message adds when the root of the store does not exist."""
        return ""

    # -- Writing and deleting ------------------------------------------------------------------

    async def set(self, key: str, value: Buffer, *, if_match: str | None = None) -> None:
        if if_match is not None and not isinstance(if_match, str):
            raise TypeError(f"if_match is a version of {key!r}, got {type(if_match).__name__}")
        path, data = self._path_and_data(key, value)
        handled = sys.exception()
        try:
            if if_match is None:
                await self._backend.write(path, data)
            elif not await self._backend.replace(path, data, if_match):
                raise VersionMismatchError(
                    f"{key!r} in {self._url} no longer is version {if_match!r}",
                    key=key,
                    url=self._url,
                )
        except BaseException as error:
            self._action("write", key).raise_translated(error, handled)
            raise

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write the value if the key is missing. An existing value stays as it is.

        Where `supports_atomic_create` is true, exactly one of many concurrent writers writes.
        Elsewhere the store refuses, unless it was made with ``allow_racy_create=True``: then it
        checks first and then writes, and overwrites the value of a writer in between.

        Parameters
        ----------
        key : str
            The key.
        value : Buffer
            The value. Wrap bytes with `Buffer.from_bytes`.

        Raises
        ------
        UnsupportedOperationError
            When the backend cannot create atomically, and the store allows no race.
        """
        path, data = self._path_and_data(key, value)
        with self._translating("create", key):
            await create(self._backend, path, data, allow_race=self._allow_racy_create)

    async def _write_parts(self, item: tuple[str, Parts]) -> None:
        key, parts = item
        path = self._path(key)
        with self._translating("write parts of", key):
            is_written = await write_parts(self._backend, path, parts)
        if not is_written:
            raise VersionMismatchError(
                f"{key!r} in {self._url} was changed by others {WRITE_TRIES} times while parts of "
                "it were to be written",
                key=key,
                url=self._url,
            )

    async def delete(self, key: str) -> None:
        self._check_writable()
        self._require("deletes")
        path = self._path(key)
        with self._translating("delete", key):
            await self._backend.remove(path)

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

    # -- Listing -------------------------------------------------------------------------------

    async def list_prefix(self, prefix: str, *, fan_out: int = 1) -> AsyncGenerator[str, None]:
        # Not by `list_sizes`: each further generator costs as much for a key as its parsing.
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

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        self._require("listing")
        directory = self._directory(prefix)
        with self._translating("list", prefix):
            async with aclosing(children(self._backend, directory)) as pages:
                async for names in pages:
                    for name in names:
                        yield name

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
            raise ValueError(f"fan_out is at least 1, got {fan_out!r}")
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

    # -- What killed writers left --------------------------------------------------------------

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
                if is_older(leftover, older_than):
                    full = leftover._replace(key=self._base + leftover.key)
                    with self._translating("remove leftovers of", leftover.key):
                        refuse_relative([full.key], self._base)
                        await self._backend.remove_leftover(full)
                    removed.append(leftover)
        return removed

    # -- Keys and paths ------------------------------------------------------------------------

    def _path(self, key: str) -> str:
        """The full path of a checked key. The store counts as open from here on."""
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

    def _directory(self, prefix: str) -> str:
        """The full path of a prefix, ending in ``/``. The store counts as open from here on."""
        directory = directory_prefix(prefix)
        self._is_open = True
        path = self._base + directory
        return PrivateURL(path) if self._backend.has_secret_paths else path

    def _path_and_data(self, key: str, value: Buffer) -> tuple[str, memoryview]:
        """The path and the bytes of a write that is allowed."""
        if self._read_only:
            self._check_writable()
        if not self._backend.supports_writes:
            self._require("writes")
        if not callable(getattr(value, "as_numpy_array", None)):
            raise TypeError(
                f"the value of {key!r} is not a buffer, got {type(value).__name__}; "
                "wrap bytes with Buffer.from_bytes"
            )
        return self._path(key), as_view(value)

    def _check_writable(self) -> None:
        if self._read_only:
            error = ReadOnlyError(
                "store was opened in read-only mode and does not support writing", url=self._url
            )
            error.add_note(f"the store is {self!r}")
            raise error

    def _action(self, name: str, key: str) -> Action:
        may_be_missing = name in _READS and not self._missing_on_forbidden
        return Action(self._backend, name, key, self._url, may_be_missing)

    def _translating(self, name: str, key: str) -> ErrorTranslation:
        """A context that raises the errors of this package in place of the backend's."""
        return ErrorTranslation(self._action(name, key))
