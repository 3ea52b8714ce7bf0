"""What a store asks of a backend: bytes, sizes and listings of full paths.

A backend speaks for one configured filesystem. It knows how its service does each thing best, and
which of its errors mean what. It knows nothing of keys relative to a root, of buffers, or of zarr.
"""

from __future__ import annotations

import enum
import hashlib
import re
from abc import ABC, abstractmethod
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..concurrency import for_each
from ..redaction import hidden, public_text, secret_options
from .page_checks import checked_pages, refuse_relative

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from fsspec import AbstractFileSystem

    from ..byte_requests import ByteRequest
    from ..leftovers import Leftover
    from ..retries import RetryPolicy
    from ..sending import Stats

__all__ = [
    "Backend",
    "BucketMissingError",
    "Failure",
    "Page",
    "RangeNotSatisfiableError",
    "builtin_failure",
    "content_version",
    "is_etag",
    "is_strong_etag",
]


_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]+"')


class Failure(enum.Enum):
    """What an exception of a filesystem means to the store."""

    #: Whoever asks may not have this, or may not know that it is missing.
    FORBIDDEN = "forbidden"
    #: Nobody knows who asks: no credentials, wrong ones, or expired ones.
    UNAUTHENTICATED = "unauthenticated"
    NO_BUCKET = "no bucket"
    CONFLICT = "conflict"
    UNSUPPORTED = "unsupported"
    INVALID_PATH = "invalid path"
    BACKEND = "backend"
    #: Not the filesystem's doing: a mistake in the program, raised as it is.
    NOT_OURS = "not ours"


class RangeNotSatisfiableError(Exception):
    """The object is there and has no byte the request names.

    Parameters
    ----------
    size : int or None
        Size of the object in bytes, where the service said it.
    """

    def __init__(self, size: int | None) -> None:
        super().__init__(size)
        self.size = size


class BucketMissingError(Exception):
    """An object is missing because its whole bucket is."""


class Page(NamedTuple):
    """One page of a listing: full paths of objects with their sizes, and of common prefixes.

    A size is ``None`` where the service lists none. Prefixes have no trailing ``/``. Temporary
    objects (`fsspec_store.backends.temporary`) are no keys, and are removed with them.
    """

    objects: Sequence[tuple[str, int | None]]
    prefixes: Sequence[str] = ()
    temporary: Sequence[str] = ()


class Backend(ABC):
    """Byte-level operations on the full paths of one filesystem.

    Every method takes paths as the filesystem spells them, without its protocol, and raises
    whatever the filesystem raises; `failure` says what that means. A missing object is ``None``
    where a method can say so, and never an error of `remove`.

    Parameters
    ----------
    fs : AbstractFileSystem
        The filesystem as the user configured it. It is read, never closed and never changed.
    policy : RetryPolicy
        How long to wait for the service, and how often to ask again.
    stats : Stats
        Where requests are counted.
    """

    supports_writes: bool = True
    supports_deletes: bool = True
    supports_listing: bool = True
    #: Whether `create` has one winner among concurrent writers.
    supports_atomic_create: bool = True
    #: Whether `read_version` and `replace` work, and of concurrent replacements one wins.
    supports_replace: bool = True
    #: Whether parts of a listing side by side may come sooner than the whole.
    fans_out: ClassVar[bool] = True
    #: How many requests a store keeps in flight on this backend unless it is told otherwise.
    default_concurrency: ClassVar[int] = 64
    #: Whether a refused read may be how the service answers for a missing key.
    hides_missing_keys: ClassVar[bool] = True
    #: Whether paths are URLs, with the user names, passwords and queries of those.
    has_secret_paths: bool = False
    #: Whether single operations wait for nothing but the disk, so that they need no event loop.
    runs_in_place: ClassVar[bool] = False
    #: Whether plain requests can be left to the filesystem's library: ``fast=False``.
    has_choice_of_lanes: ClassVar[bool] = False

    def __init__(self, fs: AbstractFileSystem, policy: RetryPolicy, stats: Stats) -> None:
        self.fs = fs
        self.policy = policy
        self.stats = stats

    async def discover(self, directory: str) -> None:  # noqa: B027
        """Find out what the service can do for this directory, where that takes asking.

        Called as a store is opened. Never raises: what could not be found out stays as assumed.
        """

    @abstractmethod
    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        """The bytes a request names, clamped to the object; ``None`` when it is missing.

        Never sent an empty request.

        Raises
        ------
        RangeNotSatisfiableError
            When a range or offset starts at or past the end. A suffix of an empty object is empty.
        """

    @abstractmethod
    async def size(self, path: str) -> int | None:
        """Size of an object in bytes, ``None`` when there is no object at this path."""

    @abstractmethod
    async def write(self, path: str, data: memoryview) -> None:
        """Replace the whole object; readers see the old bytes or the new ones."""

    async def create(self, path: str, data: memoryview) -> bool:
        """Write the object only if there is none, and say whether this call did.

        An attempt whose answer was lost may have written all the same; an object that is there
        afterwards, with these very bytes, counts as this call's.

        Raises
        ------
        NotImplementedError
            When the service turns out to ignore the condition; `supports_atomic_create` is false
            from then on. Where it was false before, `create` is never called.
        """
        raise NotImplementedError("creating atomically")

    async def read_version(self, path: str) -> tuple[bytes | memoryview, str] | None:
        """The whole object with the version that `replace` takes: an ETag, a generation."""
        raise NotImplementedError("versions of objects")

    async def replace(self, path: str, data: memoryview, version: str) -> bool:
        """Replace the object if it still is this version, and say whether this call did.

        As for `create`, an answer that was lost is made up for by reading back.
        """
        raise NotImplementedError("replacing one version of an object")

    @abstractmethod
    async def remove(self, path: str) -> None:
        """Remove an object if it is there. Never a directory."""

    @abstractmethod
    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        """Remove objects, in as few requests as the service allows; raise what any one raised.

        Parameters
        ----------
        limit : int
            Requests in flight, ``>= 1``.
        """

    @abstractmethod
    def pages(
        self, directory: str, stem: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        """The objects below ``directory`` whose path goes on with ``stem``, page by page.

        Parameters
        ----------
        directory : str
            A path ending in ``/``, or ``""`` on filesystems whose paths have no common beginning.
        stem : str
            The beginning of a name in that directory, without ``/``; often empty.
        recursive : bool
            All objects below, or only the direct children and the common prefixes.
        page_size : int, optional
            At most this many entries on the first page, where the service can be told.
        """

    def checked_pages(
        self, directory: str, stem: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        """As `pages`, where a page with an entry that was not asked for is an error."""
        pages = self.pages(directory, stem, recursive=recursive, page_size=page_size)
        return checked_pages(pages, directory, stem, recursive=recursive, redactor=self.redactor)

    async def remove_below(self, directory: str, *, limit: int, is_root: bool) -> None:
        """Remove every object below a directory, one page's removal beside the next one's listing.

        The directory itself (a bucket, the store's folder) stays.

        Parameters
        ----------
        limit : int
            Requests in flight, ``>= 1``.
        is_root : bool
            Whether the directory is the store's root, which may be a link to another place.
        """
        await self.remove_pages(
            self.checked_pages(directory, "", recursive=True), directory, limit=limit
        )

    async def remove_pages(
        self, pages: AsyncGenerator[Page, None], directory: str, *, limit: int
    ) -> None:
        """Remove what checked pages of a directory hold; see `remove_below`."""
        pages_at_once = min(2, limit)

        async def batches() -> AsyncGenerator[list[str], None]:
            async for page in pages:
                paths = [path for path, _ in page.objects]
                paths += page.temporary
                refuse_relative(paths, directory)
                yield paths

        async with aclosing(pages), aclosing(batches()) as found:
            await for_each(
                partial(self.remove_many, limit=limit // pages_at_once),
                found,
                limit=pages_at_once,
            )

    async def remove_empty_folders(self, directory: str, root: str) -> None:  # noqa: B027
        """Remove a directory that `remove_below` has emptied, and each one above it that is empty.

        Nothing where a directory is no more than the paths of its objects.

        Parameters
        ----------
        directory, root : str
            Paths that end in ``/``. The root (the store's) stays, and so does what holds anything.
        """

    async def leftovers(self, directory: str) -> AsyncGenerator[Leftover, None]:
        """What killed writers left below a directory, with full paths; none unless overridden.

        Parameters
        ----------
        directory : str
            As of `pages`.
        """
        nothing: tuple[Leftover, ...] = ()
        for leftover in nothing:
            yield leftover

    async def remove_leftover(self, leftover: Leftover) -> None:
        """Remove what `leftovers` found, if it is still there."""
        await self.remove(leftover.key)

    def check_root(self, root: str) -> str | None:
        """Why no store can be at this root, if none can. No I/O."""
        return None

    def check_path(self, path: str) -> str | None:
        """Why this backend cannot hold an object of this path, if it cannot. No I/O."""
        return None

    @abstractmethod
    def failure(self, error: Exception) -> Failure:
        """What an exception raised by this backend's filesystem means."""

    def reason(self, error: Exception) -> str:
        """What the service said, for people."""
        return str(error) or type(error).__name__

    def secrets(self) -> set[str]:
        """Secrets that are known before any request is sent; no message may hold them."""
        return secret_options(self.fs.storage_options)

    def redactor(self) -> Callable[[str], str]:
        """The function that removes the secrets of this backend from a text."""
        secrets = self.secrets()
        return lambda text: hidden(public_text(text), secrets)

    def close(self) -> None:  # noqa: B027
        """Release what this backend opened itself; it may be used again afterwards."""

    async def aclose(self) -> None:
        """As `close`, awaiting what can be awaited."""
        self.close()


def builtin_failure(error: Exception) -> Failure:
    """What one of Python's own exceptions means, for backends to fall back on."""
    if isinstance(error, PermissionError):
        return Failure.FORBIDDEN
    if isinstance(error, (IsADirectoryError, NotADirectoryError, FileExistsError)):
        return Failure.CONFLICT
    if isinstance(error, NotImplementedError):
        return Failure.UNSUPPORTED
    if isinstance(error, (OSError, TimeoutError, EOFError)):
        return Failure.BACKEND
    return Failure.NOT_OURS if _is_builtin(type(error)) else Failure.BACKEND


def content_version(data: bytes | memoryview) -> str:
    """A version for backends that keep none: equal bytes are the same version."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def is_etag(version: str) -> bool:
    """Whether it names one version of an object (RFC 9110, section 8.8.3), and not any or none."""
    return _ETAG.fullmatch(version) is not None


def is_strong_etag(version: str) -> bool:
    """Whether a version is a strong ETag: values that differ may share a weak one."""
    return is_etag(version) and not version.startswith("W/")


def _is_builtin(cls: type[Any]) -> bool:
    return cls.__module__.partition(".")[0] in ("builtins", "asyncio", "fsspec_store")
