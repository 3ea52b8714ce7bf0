"""The interface of backends: bytes, sizes and listings of full paths.

A backend belongs to one configured filesystem. It knows its service and classifies its errors. It
does not know keys relative to a root, buffers or zarr.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from .._core.failures import ChangedWhileReadError, RangeNotSatisfiableError
from .._core.redaction import hidden, public_text, secret_options
from .._core.streams import OpenValue, ValueWriter, in_memory
from .._http.settings import PartLimits, Settings
from .._runtime.concurrency import for_each
from .collected import CollectedValue
from .pages import Details, Page, checked_pages, refuse_relative
from .traits import Traits

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from fsspec import AbstractFileSystem

    from .._core.byte_requests import ByteRequest
    from .._core.failures import Failure
    from .._core.leftovers import Leftover

__all__ = ["Backend"]


class Backend(ABC):
    """Byte-level operations on the full paths of one filesystem.

    Methods take paths of the filesystem, without the protocol, and raise the filesystem's errors,
    which `failure` classifies. Methods that return a value return ``None`` for a missing object.
    `remove` ignores it.

    The filesystem is as the user configured it, and is never closed or changed. The constructor
    raises ``ValueError`` when the part size in the settings is outside of the service's limits.
    """

    supports_writes: bool = True
    supports_deletes: bool = True
    supports_listing: bool = True
    #: Whether `create` succeeds for exactly one of several concurrent writers.
    supports_atomic_create: bool = True
    #: Whether `read_version` and `replace` work, and one of several concurrent calls succeeds.
    supports_replace: bool = True
    #: Whether concurrent listings of common prefixes may be faster than one listing.
    fans_out: ClassVar[bool] = True
    #: Whether listings are in the order of the UTF-8 bytes of paths; ``None`` if it is unknown.
    #: `fsspec_store._store.entry_listing` updates it.
    lists_in_order: bool | None = False
    #: Default number of requests that one call of a store has in flight.
    default_concurrency: ClassVar[int] = 64
    #: Whether the service may respond 403 to a read of a missing key.
    hides_missing_keys: ClassVar[bool] = True
    #: Whether paths are URLs, which may contain user names, passwords and queries.
    has_secret_paths: bool = False
    #: Whether single operations only wait for the disk, so that they need no event loop.
    runs_in_place: ClassVar[bool] = False
    #: Whether values of a known version are read, and values are written, in memory of a few parts.
    streams: ClassVar[bool] = False
    #: Whether an interrupted copy leaves an upload for `continue_writer`, which a cleanup removes.
    keeps_uploads: bool = False
    traits: Traits = Traits()
    #: The service's limits for multipart uploads.
    part_limits: ClassVar[PartLimits] = PartLimits()

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        settings.check(self.part_limits)
        self.fs = fs
        self.settings = settings
        self._writes = settings.writes

    @property
    def service(self) -> tuple[object, ...]:
        """The service, its options and credentials: equal for backends with the same objects."""
        fs = self.fs
        # fs == fs would compare fsspec's tokens, which contain the process and the thread.
        options = {
            name: value
            for name, value in fs.storage_options.items()
            if name not in ("asynchronous", "loop", "skip_instance_cache")
        }
        # An in-memory filesystem without the global store shares its keys with no other.
        own = id(fs) if getattr(fs, "global_store", True) is False else None
        return type(fs), fs.storage_args, options, own

    @property
    def address(self) -> str | None:
        """The URL of the service without any secret, after a request; ``None`` if it has none."""
        return None

    def real_directory(self, directory: str) -> str:
        """The same directory for all paths that lead to it through links; it ends in ``/``."""
        return directory

    def _part_bytes(self, size: int) -> int | None:
        """Size of the parts of an upload; ``None`` for a value that one request writes."""
        if size <= self._writes.above:
            return None
        return self.part_limits.part_size(size, self._writes.size)

    async def discover(self, directory: str) -> None:  # noqa: B027
        """Probe the features of the service for a directory, where that needs a request.

        Called when a store is opened. Never raises: after a failure the defaults apply.
        """

    @abstractmethod
    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        """The bytes of a request, clamped to the object; ``None`` when the object is missing.

        Never called with an empty request.

        Raises
        ------
        RangeNotSatisfiableError
            When a range or offset starts at or past the end. A suffix of an empty object is empty.
        """

    @abstractmethod
    async def size(self, path: str) -> int | None:
        """Size of an object in bytes, ``None`` when there is no object at this path."""

    async def stat(self, path: str) -> tuple[int, Details] | None:
        """Like `size`, with what the response states besides: as few requests, and no value.

        This default knows the size only.
        """
        size = await self.size(path)
        return None if size is None else (size, Details())

    @abstractmethod
    async def write(self, path: str, data: memoryview) -> str | None:
        """Replace the whole object. Readers see either the old bytes or the new bytes.

        Returns the version, as `read_version` does, if the response states it.
        """

    async def create(self, path: str, data: memoryview) -> bool:
        """Write the object only if it is missing; return whether this call wrote it.

        If the response of an attempt was lost, the object is read back. Equal bytes count as
        written by this call.

        Raises
        ------
        NotImplementedError
            When the service ignores the condition. `supports_atomic_create` is false from then on,
            and `create` is not called again.
        """
        raise NotImplementedError("the backend cannot create atomically")

    async def read_version(self, path: str) -> tuple[bytes | memoryview, str] | None:
        """The whole object and its version for `replace`, such as an ETag or a generation."""
        raise NotImplementedError("the backend has no versions of objects")

    async def replace(self, path: str, data: memoryview, version: str) -> bool:
        """Replace the object if it has this version; return whether this call replaced it.

        As for `create`, the object is read back after a lost response.
        """
        raise NotImplementedError("the backend cannot compare and swap")

    async def copy(self, source_path: str, path: str, version: str | None = None) -> bool:
        """Replace the object by a copy of another one, whose bytes stay on the service.

        ``source_path`` is a path of a backend with an equal `service`, and differs from ``path``.
        Return ``False`` when there is no object at it. A repeated call has the same effect.

        Raises
        ------
        ChangedWhileReadError
            When the source has another version than ``version``. Nothing is written.
        NotImplementedError
            When the service cannot copy this object. Nothing is written.
        """
        raise NotImplementedError("the backend cannot copy on the service")

    async def open_value(self, path: str, start: int, version: str | None) -> OpenValue | None:
        """Open one version of a value, to read it in parts from ``start``; ``None`` if missing.

        This default reads the whole value.

        Raises
        ------
        ChangedWhileReadError
            When the value does not have this version.
        RangeNotSatisfiableError
            When ``start`` is past the end of the value. At the end, no bytes are left to read.
        """
        if version is None:
            data = await self.read(path, None)
        else:
            found = await self.read_version(path)
            if found is not None and found[1] != version:
                raise ChangedWhileReadError
            data = None if found is None else found[0]
        if data is None:
            return None
        if start > len(data):
            raise RangeNotSatisfiableError(len(data))
        return in_memory(data, part_bytes=self.settings.reads.size, version=version)

    def open_writer(self, path: str, size: int | None) -> ValueWriter:
        """Begin to write a value of this size in parts; ``None`` for an unknown size. No I/O.

        This default collects the value, in a temporary file if it is large.
        """
        return CollectedValue(partial(self.write, path), max_bytes=self._writes.size)

    def continue_writer(self, path: str, size: int) -> ValueWriter:
        """Like `open_writer`, with the parts that an interrupted write to the path has stored.

        Parts are kept when the write is abandoned. Only parts with the bytes of the new value are
        used. Writes to one path at the same time may share an upload: one of them raises
        `UploadLostError` if it cannot be completed. This default begins again.
        """
        return self.open_writer(path, size)

    def _streamed_part_bytes(self, size: int | None, index: int) -> int:
        """Size of one part of a value that `open_writer` writes."""
        limits, part_bytes = self.part_limits, self._writes.size
        if size is None:
            return limits.part_size_at(index, part_bytes)
        return limits.part_size(size, part_bytes)

    @abstractmethod
    async def remove(self, path: str) -> None:
        """Remove an object if it exists. Never removes a directory."""

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        """Remove objects, in as few requests as possible; raise the error of any of them.

        At most ``limit`` requests are in flight.
        """
        await for_each(self.remove, paths, limit=limit)

    @abstractmethod
    def pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        """The objects below ``directory`` whose names start with ``name_prefix``, page by page.

        Parameters
        ----------
        directory : str
            A path ending in ``/``, or ``""`` on filesystems whose paths have no common root.
        name_prefix : str
            Start of a name in that directory, without ``/``; often empty.
        recursive : bool
            Whether to list all objects below, or only direct children and common prefixes.
        page_size : int, optional
            Maximum number of entries of the first page, where the service supports it.
        """

    def checked_pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        """Like `pages`, with checked entries; see `fsspec_store._backends.pages`."""
        pages = self.pages(directory, name_prefix, recursive=recursive, page_size=page_size)
        return checked_pages(
            pages, directory, name_prefix, recursive=recursive, redactor=self.redactor
        )

    def detailed_pages(
        self,
        directory: str,
        name_prefix: str,
        *,
        recursive: bool = True,
        start_after: str = "",
        page_size: int | None = None,
    ) -> AsyncGenerator[Page, None]:
        """Like `pages`, with the details that the service lists.

        Where the service supports it, and always if `lists_in_order` is ``None``, a recursive
        listing begins at or after the path ``start_after`` in the service's own order.
        """
        return self.pages(directory, name_prefix, recursive=recursive, page_size=page_size)

    def checked_detailed_pages(
        self,
        directory: str,
        name_prefix: str,
        *,
        recursive: bool = True,
        start_after: str = "",
        page_size: int | None = None,
    ) -> AsyncGenerator[Page, None]:
        """Like `detailed_pages`, with checked entries; see `fsspec_store._backends.pages`."""
        pages = self.detailed_pages(
            directory,
            name_prefix,
            recursive=recursive,
            start_after=start_after,
            page_size=page_size,
        )
        return checked_pages(
            pages, directory, name_prefix, recursive=recursive, redactor=self.redactor
        )

    async def remove_below(self, directory: str, *, limit: int, is_root: bool) -> None:
        """Remove every object below a directory. Removal of a page and the next listing overlap.

        The directory itself (a bucket, the store's folder) stays. At most ``limit`` requests are in
        flight. The directory may be a symbolic link if it is the store's root (``is_root``).
        """
        pages = self.checked_pages(directory, "", recursive=True)
        await self.remove_pages(pages, directory, limit=limit)

    async def remove_pages(
        self, pages: AsyncGenerator[Page, None], directory: str, *, limit: int
    ) -> None:
        """Remove the objects of checked pages of a directory; see `remove_below`."""
        pages_at_once = min(2, limit)

        async def batches() -> AsyncGenerator[list[str], None]:
            async for page in pages:
                paths = [path for path, _ in page.objects]
                paths += page.temporary
                refuse_relative(paths, directory)
                yield paths

        async with aclosing(pages), aclosing(batches()) as removals:
            await for_each(
                partial(self.remove_many, limit=limit // pages_at_once),
                removals,
                limit=pages_at_once,
            )

    async def remove_empty_folders(self, directory: str, root: str) -> None:  # noqa: B027
        """Remove a directory after `remove_below`, and its empty parents.

        Both paths end in ``/``. The store's root and directories with content stay. Does nothing on
        services without real directories.
        """

    async def leftovers(self, directory: str) -> AsyncGenerator[Leftover, None]:
        """Leftovers of killed writers below a directory, with full paths. The default is none."""
        nothing: tuple[Leftover, ...] = ()
        for leftover in nothing:
            yield leftover

    async def remove_leftover(self, leftover: Leftover) -> None:
        """Remove an entry of `leftovers` if it still exists."""
        await self.remove(leftover.key)

    def check_root(self, root: str) -> str | None:
        """Why this root is invalid for a store, ``None`` if it is valid. No I/O."""
        return None

    def check_path(self, path: str) -> str | None:
        """Why this path is invalid for an object, ``None`` if it is valid. No I/O."""
        return None

    @abstractmethod
    def failure(self, error: Exception) -> Failure:
        """Classify an exception of this backend's filesystem."""

    def reason(self, error: Exception) -> str:
        """The service's reason, for error messages."""
        return str(error) or type(error).__name__

    def secrets(self) -> set[str]:
        """Secrets that are known before any request; messages must not contain them."""
        return secret_options(self.fs.storage_options)

    def redactor(self) -> Callable[[str], str]:
        """A function that removes the secrets of this backend from a text."""
        secrets = self.secrets()
        return lambda text: hidden(public_text(text), secrets)

    def close(self) -> None:  # noqa: B027
        """Release the resources that this backend opened. It may be used again afterwards."""

    async def aclose(self) -> None:
        """Like `close`, and await what can be awaited."""
        self.close()
