"""`BackendStore`: the store contract over a `Backend`.

Converts keys to paths, and values to buffers. Does not know any service or fsspec filesystem.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from .._core.byte_requests import (
    ByteRequest,
    OffsetByteRequest,
    SuffixByteRequest,
    check_byte_range,
)
from .._core.failures import ChangedWhileReadError, RangeNotSatisfiableError
from .._core.ranges import is_empty_request
from .._core.redaction import PrivateURL
from ..errors import (
    AccessDeniedError,
    BackendError,
    InvalidKeyError,
    KeyNotFoundError,
    RefusedError,
    UnauthenticatedError,
    VersionMismatchError,
)
from .backend_listing import BackendListing
from .buffer import Buffer, BufferPrototype, as_view, check_prototype
from .copying import key_not_found, version_mismatch
from .entries import Entry
from .keys import check_key
from .partial_writes import WRITE_ATTEMPTS, Parts, write_parts
from .range_reads import out_of_range
from .store_reading import ReadableStore, Versioned
from .streams import Reader, Writer, check_size, check_start

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from typing import TypeGuard

    from .._core.streams import OpenValue, ValueWriter
    from .store_base import StoreBase

__all__ = ["BackendStore"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class BackendStore(BackendListing):
    """The store contract over a backend, under one root path; see `BackendBase`."""

    # -- Reading -------------------------------------------------------------------------------

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        if prototype is None:
            prototype = self._default_prototype
        else:
            check_prototype(prototype)
        request = None if byte_range is None else check_byte_range(byte_range)
        data = await self._read(key, request)
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_version(
        self, key: str, prototype: BufferPrototype | None = None
    ) -> Versioned | None:
        make = self._maker(prototype)
        try:
            found = await self._run("read", key, self._backend.read_version)
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
            raise self._not_found(key)
        return size

    async def get_entry(self, key: str) -> Entry:
        try:
            found = await self._run("look for", key, self._backend.stat)
        except AccessDeniedError as error:
            self._count_as_missing(error)
            found = None
        if found is None:
            raise self._not_found(key)
        size, details = found
        return Entry(key, size, *details)

    def _not_found(self, key: str) -> KeyNotFoundError:
        return KeyNotFoundError(
            f"no key {key!r} in {self._url}{self._missing_root()}", key=key, url=self._url
        )

    def open_reader(self, key: str, *, version: str | None = None, start: int = 0) -> Reader:
        check_key(key)
        check_start(key, start)
        return Reader(key, start, partial(self._open_value, key, version, start), self._maker(None))

    async def _open_value(self, key: str, version: str | None, start: int) -> OpenValue:
        try:
            value = await self._run("read", key, self._backend.open_value, start, version)
        except ChangedWhileReadError:
            raise VersionMismatchError(
                f"{key!r} in {self._url} does not have version {version!r}", key=key, url=self._url
            ) from None
        except RangeNotSatisfiableError as error:
            raise out_of_range(key, OffsetByteRequest(start), error.size) from None
        except AccessDeniedError as error:
            self._count_as_missing(error)
            value = None
        if value is None:
            raise self._not_found(key)
        read_part = value.read

        async def read(start: int, end: int) -> bytes | memoryview:
            try:
                with self._translating("read", key):
                    return await read_part(start, end)
            except ChangedWhileReadError:
                raise VersionMismatchError(
                    f"{key!r} in {self._url} was changed or deleted while it was read",
                    key=key,
                    url=self._url,
                ) from None

        return replace(value, read=read)

    async def _read(self, key: str, request: ByteRequest | None) -> memoryview | None:
        if request is not None and is_empty_request(request):
            return await self._read_nothing(key, request)
        try:
            data = await self._run("read", key, self._backend.read, request)
        except RangeNotSatisfiableError as error:
            if request is None:
                raise self._unexpected_416(key) from error
            return await self._read_out_of_range(key, request, error.size)
        except AccessDeniedError as error:
            self._count_as_missing(error)
            return None
        return None if data is None else memoryview(data)

    async def _read_nothing(self, key: str, request: ByteRequest) -> memoryview | None:
        """The result of a request for no bytes, which depends on whether the key exists."""
        nothing = (
            memoryview(b"")
            if isinstance(request, SuffixByteRequest)
            else await self._read_out_of_range(key, request, None)
        )
        return nothing if await self._size(key) is not None else None

    async def _read_out_of_range(
        self, key: str, request: ByteRequest, size: int | None
    ) -> memoryview:
        if self._out_of_range == "empty":
            return memoryview(b"")
        raise out_of_range(key, request, size)

    def _unexpected_416(self, key: str) -> BackendError:
        return BackendError(
            f"cannot read {key!r} in {self._url}: unexpected response 416, range not "
            "satisfiable, to a request for the whole value",
            key=key,
            url=self._url,
        )

    async def _size(self, key: str) -> int | None:
        """Size of a value in bytes; ``None`` when the key is missing."""
        try:
            return await self._run("look for", key, self._backend.size)
        except AccessDeniedError as error:
            self._count_as_missing(error)
            return None

    def _count_as_missing(self, error: AccessDeniedError) -> None:
        """Count a 403 as a missing key with ``missing_on_forbidden=True``, else raise it."""
        # A response to invalid credentials does not depend on the key.
        may_be_missing = not isinstance(error, UnauthenticatedError)
        if not (self._missing_on_forbidden and may_be_missing):
            raise error
        self._backend.settings.stats.forbidden_as_missing += 1

    # -- Writing and deleting ------------------------------------------------------------------

    async def set(self, key: str, value: Buffer, *, if_match: str | None = None) -> None:
        if if_match is not None and not isinstance(if_match, str):
            raise TypeError(f"if_match must be a version of {key!r}, got {type(if_match).__name__}")
        data = self._bytes_to_write(key, value)
        if if_match is None:
            await self._run("write", key, self._backend.write, data)
        elif not await self._run("write", key, self._backend.replace, data, if_match):
            raise VersionMismatchError(
                f"{key!r} in {self._url} no longer has version {if_match!r}", key=key, url=self._url
            )

    def open_writer(self, key: str, *, size: int | None = None) -> Writer:
        check_key(key)
        check_size(key, size)
        self._check_writable()
        self._require("writes")
        return self._writer(key, size, partial(self._backend.open_writer, self._path(key), size))

    def _continue_writer(self, key: str, size: int) -> Writer:
        start = partial(self._backend.continue_writer, self._path(key), size)
        return self._writer(key, size, start)

    def _writer(self, key: str, size: int | None, start: Callable[[], ValueWriter]) -> Writer:
        async def run(work: Awaitable[T]) -> T:
            with self._translating("write", key):
                return await work

        return Writer(key, size, start, run)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write the value if the key is missing. An existing value stays as it is.

        Where `supports_atomic_create` is true, exactly one of many concurrent writers writes.
        Elsewhere it raises, unless the store has ``allow_racy_create=True``: then it checks first
        and then writes, and overwrites the value of a writer in between.

        Parameters
        ----------
        key : str
            The key.
        value : Buffer
            The value. Wrap bytes with `Buffer.from_bytes`.

        Raises
        ------
        UnsupportedOperationError
            When the backend cannot create atomically, and ``allow_racy_create`` is false.
        """
        await self._run("create", key, self._create, self._bytes_to_write(key, value))

    async def _create(self, path: str, data: memoryview) -> None:
        backend = self._backend
        if backend.supports_atomic_create:
            try:
                await backend.create(path, data)
                return
            except NotImplementedError:
                if not self._allow_racy_create:
                    raise
        elif not self._allow_racy_create:
            raise NotImplementedError(
                "this backend cannot create atomically; with allow_racy_create=True the store "
                "checks first and then writes, which may overwrite the value of a concurrent writer"
            )
        if await backend.size(path) is None:
            await backend.write(path, data)

    async def _write_parts(self, item: tuple[str, Parts]) -> None:
        key, parts = item
        write = partial(write_parts, self._backend)
        if not await self._run("write parts of", key, write, parts):
            raise VersionMismatchError(
                f"{key!r} in {self._url} was changed by other writers {WRITE_ATTEMPTS} times "
                "before its parts were written",
                key=key,
                url=self._url,
            )

    def _copies_on_service(self, source: ReadableStore, size: int) -> bool:
        return self._is_on_service_of(source) and size <= self._backend.traits.largest_copy

    def _is_on_service_of(self, source: StoreBase) -> TypeGuard[BackendStore]:
        return isinstance(source, BackendStore) and source._backend.service == self._backend.service

    async def _copy_on_service(
        self, source: ReadableStore, key: str, to: str, version: str | None
    ) -> bool:
        path, backend = self._path(to), self._backend
        if not self._is_on_service_of(source):
            return False
        if source._path(key) == path:
            # Raises the errors of a missing key and of another version.
            async with source.open_reader(key, version=version):
                return True

        async def copy(path: str, source_path: str) -> bool | None:
            try:
                return await backend.copy(source_path, path, version)
            except NotImplementedError:
                return None

        async def copy_path(source_path: str) -> bool | None:
            return await self._run(f"copy {key!r} in {source} to", to, copy, source_path)

        try:
            is_copied = await source._run("copy", key, copy_path)
        except ChangedWhileReadError as error:
            raise version_mismatch(source, key, version) from error
        if is_copied is False:
            raise key_not_found(source, key)
        return is_copied is not None

    async def delete(self, key: str) -> None:
        self._check_writable()
        self._require("deletes")
        await self._run("delete", key, self._backend.remove)

    async def _delete_many(self, keys: Sequence[str], *, limit: int) -> None:
        self._check_writable()
        self._require("deletes")
        paths = [self._path(key) for key in keys]
        with self._translating("delete", f"{len(keys)} keys"):
            await self._backend.remove_many(paths, limit=limit)

    def _check_no_links(self, keys: Iterable[str]) -> None:
        real = self._backend.real_directory
        root = real(self._base)
        for folder, key in {key[: key.rfind("/") + 1]: key for key in keys}.items():
            if real(self._base + folder) != root + folder:
                raise RefusedError(
                    f"refused to delete {key!r} in {self._url} through a link to a folder: remove "
                    "the link, or exclude its keys",
                    key=key,
                    url=self._url,
                )

    # -- Keys and paths ------------------------------------------------------------------------

    def prefix_in(self, other: StoreBase) -> str | None:
        if not self._is_on_service_of(other):
            return None
        real = self._backend.real_directory
        # First with links: the other store may have these keys below a link to a folder outside.
        for base, above in ((self._base, other._base), (real(self._base), real(other._base))):
            if base.startswith(above):
                return base.removeprefix(above)
        return None

    def _path(self, key: str) -> str:
        """The path of a key. Also marks the store as open."""
        path = self._base + check_key(key)
        if self._backend.has_secret_paths:
            path = PrivateURL(path)
        problem = self._backend.check_path(path)
        if problem:
            raise InvalidKeyError(
                f"{self._url} cannot store the key {key!r}: {problem}", key=key, url=self._url
            )
        self._is_open = True
        return path

    async def _run(
        self, action: str, key: str, operation: Callable[[str, *Ts], Awaitable[T]], *args: *Ts
    ) -> T:
        """Await an operation of the backend on the path of a key, and translate its errors."""
        path = self._path(key)
        handled = sys.exception()
        try:
            return await operation(path, *args)
        except BaseException as error:
            self._action(action, key).raise_translated(error, handled)
            raise

    def _bytes_to_write(self, key: str, value: Buffer) -> memoryview:
        """The bytes of a write, if the store can write."""
        if self._read_only:
            self._check_writable()
        if not self._backend.supports_writes:
            self._require("writes")
        if not callable(getattr(value, "as_numpy_array", None)):
            raise TypeError(
                f"the value of {key!r} is not a buffer, got {type(value).__name__}; "
                "wrap bytes with Buffer.from_bytes"
            )
        return as_view(value)
