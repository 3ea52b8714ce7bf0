"""`FsspecStore`: the store contract on any fsspec filesystem.

Knows filesystems, URLs and the options of a store: how a store is created, compared, pickled and
shown. What it does with keys is in `backend_store`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from fsspec.implementations.local import LocalFileSystem

from .._backends import backend_for
from .._core.redaction import public_url
from .._http.retry_policy import RetryPolicy
from .._http.settings import Settings, Transport
from ..errors import StoreURLError
from .backend_store import BackendStore
from .filesystem import (
    from_location,
    from_mapper,
    from_upath,
    from_url,
    missing_folder,
    root_path,
    root_url,
)
from .parameters import check_parameters, with_current_names

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from fsspec import AbstractFileSystem

    from .._http.stats import Stats

__all__ = ["FsspecStore"]


class FsspecStore(BackendStore):
    """The store contract on an fsspec filesystem.

    The store never closes or changes the filesystem it is given. It uses its class and options.
    The sessions of asynchronous filesystems belong to one event loop, so the store creates its own
    filesystem for each loop that uses it. These are closed by `close`, at the end of their loop, or
    at exit.

    Parameters
    ----------
    fs : AbstractFileSystem
        An fsspec filesystem, asynchronous or not.
    path : str, optional
        The store's root on the filesystem: ``bucket/prefix``, ``/folder``, or a URL of the same
        protocol.
    read_only : bool, optional
        Reject writes and deletes.
    out_of_range : {"raise", "empty"}, optional
        The result of a byte range that is empty, or starts at or past the end of the value:
        "raise" is a `ByteRangeError`, "empty" an empty buffer.
    max_concurrency : int, optional
        Requests that one call (`get_partial_values`, `delete_dir`, ...) has in flight at once,
        ``>= 1``. The default is the backend's. A second limit holds for all calls of the process to
        one service together; it falls when the service throttles.
    timeout : float, default 20
        Maximum time in seconds without a response, for one attempt of a request, ``> 0``.
        The connect timeout is at most 5 s. No attempt starts when failed attempts and waits have
        taken twice this time.
    retries : int, default 6
        How often a request is sent again after a transient error, ``>= 0``.
    missing_on_forbidden : bool, optional
        Treat a 403 response to a read as a missing key: some buckets respond 403 for missing keys.
        `stats.forbidden_as_missing` counts them. Missing, invalid or expired credentials stay an
        error.
    allow_racy_create : bool, optional
        Let `set_if_not_exists` check first and then write where the backend cannot create
        atomically. Without it `set_if_not_exists` raises on such a backend.
    transport : {"auto", "library"}, default "auto"
        The transport of requests to S3, Google Cloud Storage and Azure. "auto": the native one,
        with the filesystem's credentials and settings, where it supports them, and the library
        otherwise; `stats.native` counts its requests. "library": s3fs on S3, aiohttp on the others,
        for every request. Results are the same. Other filesystems have only one transport.
    large_value_bytes : int, optional
        Size in bytes above which a value is read and written in parts, ``>= 1``; 32 MiB for reads
        and 64 MiB for writes when left out. At most the service's limit for an upload in one
        request: 5 GiB on S3, 5000 MiB on Azure, 5 TiB on Google Cloud Storage. Values are written
        in parts on these three, and read in parts there and on web servers.
    part_bytes : int, optional
        Size of one part in bytes; 8 MiB for reads and 16 MiB for writes when left out. 5 MiB to
        5 GiB on S3, at most 4000 MiB on Azure, a multiple of 256 KiB on Google Cloud Storage.
        Uploads take larger parts where a value would need more than 10,000 (S3) or 50,000 (Azure).
    read_memory_bytes : int, optional
        Bound in bytes of the memory of values that the process is receiving, ``>= 1``: a read of
        this store waits if it would exceed it, and a value that is larger is received alone. 512
        MiB, or an eighth of the machine's memory if that is less, when left out. Values that reads
        have returned do not count. For S3, Google Cloud Storage, Azure, web servers and WebDAV.
    hedge : bool or float, default False
        Request a read again on another connection when it takes longer than 95 % of the recent
        reads of its kind and size, and use the first response: up to 5 % more reads with ``True``,
        or this share of them, ``0 <= hedge <= 1``. Not while the service throttles or fails, or
        when many reads are slow at once. `stats.hedges` counts them. For S3, Google Cloud Storage,
        Azure, web servers and WebDAV; without effect on other filesystems.
    io_threads : int, optional
        Number of threads that transfer values of 256 KiB and more while the event loop does other
        work, ``>= 1``; one for each core, and at most 8, when left out. Stores with the same number
        share them. For S3, Google Cloud Storage and Azure.

    Raises
    ------
    StoreURLError
        When the path is invalid, or the filesystem cannot hold a store there.
    StorageOptionError
        When the filesystem was created with an option it cannot use.
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
        read_memory_bytes: int | None = None,
        hedge: bool | float = False,
        io_threads: int | None = None,
    ) -> None:
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
            "read_memory_bytes": read_memory_bytes,
            "hedge": hedge,
            "io_threads": io_threads,
        }
        settings = Settings(
            RetryPolicy(timeout, retries),
            transport=transport,
            large_value_bytes=large_value_bytes,
            part_bytes=part_bytes,
            read_memory_bytes=read_memory_bytes,
            hedge=hedge,
            io_threads=io_threads,
        )
        inner, self._root = root_path(fs, path)
        if inner is fs and type(fs) is LocalFileSystem:
            # The working folder may differ where the store is created again.
            self._given = (fs, self._root or fs.root_marker)
        url = public_url(root_url(inner, self._root))
        backend = backend_for(inner, settings)
        problem = backend.check_root(self._root)
        if problem:
            raise StoreURLError(f"{url!r}: {problem}", url=url)
        super().__init__(
            backend,
            # Paths without a common beginning (members of a zip file) have no base.
            self._root + "/" if self._root or inner.root_marker else "",
            url,
            read_only=read_only,
            out_of_range=out_of_range,
            max_concurrency=max_concurrency,
            missing_on_forbidden=missing_on_forbidden,
            allow_racy_create=allow_racy_create,
        )

    # -- Other constructors ---------------------------------------------------------------------

    @classmethod
    def from_url(
        cls,
        url: str | os.PathLike[str],
        storage_options: Mapping[str, Any] | None = None,
        *,
        read_only: bool = False,
        **options: Any,
    ) -> Self:
        """Create a store at a URL.

        Parameters
        ----------
        url : str, os.PathLike or UPath
            A ``str`` is parsed by fsspec: ``s3://bucket/path``, ``file:///folder``,
            ``memory://name``, a path. A path object is a local path and is not parsed.
        storage_options : mapping, optional
            Options of the filesystem: ``key``, ``secret``, ``endpoint_url``, ``anon``, ...
        read_only : bool, optional
            Reject writes and deletes.
        **options
            Further parameters of the constructor.

        Returns
        -------
        FsspecStore
            Not opened. The first operation opens it.

        Raises
        ------
        StoreURLError
            When the URL is invalid, or its protocol is unknown.
        StorageOptionError
            When the filesystem has no such option, or the store no such parameter.
        MissingExtraError
            When the library for the protocol is not installed. The message names the command.
        """
        return cls._at(lambda: from_url(url, storage_options), read_only, options)

    @classmethod
    def from_upath(cls, upath: Any, *, read_only: bool = False, **options: Any) -> Self:
        """Create a store at a ``UPath``, or at any object with a filesystem ``fs`` and a ``path``.

        The other parameters are as of `FsspecStore.from_url`.
        """
        return cls._at(lambda: from_upath(upath), read_only, options)

    @classmethod
    def from_mapper(cls, mapper: Any, *, read_only: bool = False, **options: Any) -> Self:
        """Create a store at the root of an ``fsspec.FSMap``, as ``fsspec.get_mapper`` returns it.

        The other parameters are as of `FsspecStore.from_url`.
        """
        return cls._at(lambda: from_mapper(mapper), read_only, options)

    @classmethod
    def _at(
        cls,
        find: Callable[[], tuple[AbstractFileSystem, str]],
        read_only: bool,
        options: Mapping[str, Any],
    ) -> Self:
        """Create a store at a location that is looked up after the options were checked."""
        options = with_current_names(options)
        check_parameters(cls, options)
        return cls(*find(), read_only=read_only, **options)

    @classmethod
    def _at_location(
        cls,
        location: Any,
        storage_options: Mapping[str, Any] | None,
        *,
        read_only: bool,
        **options: Any,
    ) -> Self:
        """Create a store from a URL, a path, a mapper or a store of another class."""
        if not isinstance(location, FsspecStore) or isinstance(location, cls):
            return cls._at(lambda: from_location(location, storage_options), read_only, options)
        if storage_options is not None:
            raise TypeError("storage_options given with a FsspecStore, which has its own")
        # The defaults of these two differ between the classes.
        given = {
            name: value
            for name, value in location._options.items()
            if name not in ("out_of_range", "allow_racy_create")
        }
        read_only = read_only or location.read_only
        return cls._at(lambda: location._given, read_only, {**given, **options})

    def with_read_only(self, read_only: bool = False) -> Self:
        return type(self)(*self._given, read_only=read_only, **self._options)

    # -- What this store is --------------------------------------------------------------------

    @property
    def fs(self) -> AbstractFileSystem:
        """The filesystem of `path`: the one given, or the one inside a wrapper."""
        return self._backend.fs

    @property
    def path(self) -> str:
        """The store's root as a path of `fs`, without a trailing ``/``."""
        return self._root

    @property
    def url(self) -> str:
        """The URL of the store's root, without any secret."""
        return self._url

    @property
    def stats(self) -> Stats:
        """Counters of this store's requests: sent, retried, throttled, and more."""
        return self._backend.settings.stats

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, FsspecStore)
            and type(self) is type(other)
            and self._identity() == other._identity()
        )

    def __hash__(self) -> int:
        return hash((type(self), self._url, self._read_only))

    def _identity(self) -> tuple[object, ...]:
        return (*self._backend.service, self._root, self._read_only, self._options)

    def __reduce__(self) -> tuple[Any, ...]:
        options = {"read_only": self._read_only, **self._options}
        return _restore, (type(self), self._given, options)

    def __str__(self) -> str:
        return self._url

    def __repr__(self) -> str:
        mode = ", read_only=True" if self._read_only else ""
        # zarr shows this in its error when it finds nothing in the store.
        missing = missing_folder(self._backend.fs, self._root)
        return f"{type(self).__name__}({self._url!r}{mode})" + (f" ({missing})" if missing else "")

    def _missing_root(self) -> str:
        missing = missing_folder(self._backend.fs, self._root)
        return f": {missing}" if missing else ""


def _restore(
    cls: type[FsspecStore], given: tuple[AbstractFileSystem, str], options: dict[str, Any]
) -> FsspecStore:
    return cls(*given, **options)
