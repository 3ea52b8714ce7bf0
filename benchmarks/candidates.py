"""Who is compared: how each opens a store at a place, and what it calls each operation.

A candidate is called as its own users call it, through one thin layer that is as deep for each.
Does not know which operations are run, nor how they are measured. Libraries are imported when a
candidate that needs them is opened.
"""

# What the methods do is said once, by `Subject`.
# ruff: noqa: D102

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.places import REGION, AzureEndpoint, GCSEndpoint, S3Endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from obstore.store import ClientConfig

    from benchmarks.places import Place

THIS = "fsspec-store"
BY_LIBRARY = "fsspec-store-library"
ZARR_FSSPEC = "zarr-fsspec"
ZARR_OBJECT = "zarr-object"
OBSTORE = "obstore"


class Subject(Protocol):
    """A store of one candidate, as the operations see it."""

    store: Any
    """The candidate's own object."""

    def supports(self, method: str) -> bool:
        """Whether it has a method that not every release of its library has."""

    def value(self, data: bytes) -> Any:
        """What `set` takes for some bytes."""

    def get(self, key: str) -> Awaitable[Any]:
        """A whole value; None when the key is missing."""

    def get_range(self, key: str, start: int, end: int) -> Awaitable[Any]:
        """A part of a value."""

    def get_partial_values(
        self, key: str, ranges: Sequence[tuple[int, int]]
    ) -> Awaitable[Sequence[Any]]:
        """Parts of a value, in order, by the call that takes pairs of key and range."""

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Awaitable[Sequence[Any]]:
        """Parts of a value, in order, by the call that is for one key."""

    def exists(self, key: str) -> Awaitable[bool]:
        """Whether there is such a key."""

    def set(self, key: str, value: Any) -> Awaitable[Any]:
        """Write a value, see `value`."""

    def list_all(self) -> Awaitable[list[str]]:
        """All keys."""

    def list_dir(self, prefix: str) -> Awaitable[list[str]]:
        """Names of the keys and folders directly in a folder."""

    def getsize_prefix(self, prefix: str) -> Awaitable[int]:
        """Bytes below a folder."""

    def delete_dir(self, prefix: str) -> Awaitable[None]:
        """Delete what is below a folder."""


class ZarrSubject:
    """A `zarr.abc.store.Store`, called as zarr calls it."""

    def __init__(self, store: Any) -> None:
        from zarr.abc.store import RangeByteRequest
        from zarr.core.buffer import default_buffer_prototype

        self.store = store
        self._prototype = default_buffer_prototype()
        self._range = RangeByteRequest

    def supports(self, method: str) -> bool:
        return hasattr(self.store, method)

    def value(self, data: bytes) -> Any:
        return self._prototype.buffer.from_bytes(data)

    def get(self, key: str) -> Any:
        return self.store.get(key, self._prototype)

    def get_range(self, key: str, start: int, end: int) -> Any:
        return self.store.get(key, self._prototype, self._range(start, end))

    def get_partial_values(self, key: str, ranges: Sequence[tuple[int, int]]) -> Any:
        asked = [(key, self._range(*bounds)) for bounds in ranges]
        return self.store.get_partial_values(self._prototype, asked)

    async def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[Any]:
        asked = [self._range(*bounds) for bounds in ranges]
        found: list[Any] = [None] * len(asked)
        async for batch in self.store.get_ranges(key, asked, prototype=self._prototype):
            for place, data in batch:
                found[place] = data
        return found

    def exists(self, key: str) -> Any:
        return self.store.exists(key)

    def set(self, key: str, value: Any) -> Any:
        return self.store.set(key, value)

    async def list_all(self) -> list[str]:
        return [key async for key in self.store.list()]

    async def list_dir(self, prefix: str) -> list[str]:
        return [name async for name in self.store.list_dir(prefix)]

    def getsize_prefix(self, prefix: str) -> Any:
        return self.store.getsize_prefix(prefix)

    def delete_dir(self, prefix: str) -> Any:
        return self.store.delete_dir(prefix)


class ObstoreSubject:
    """A store of obstore, by its asynchronous functions."""

    def __init__(self, store: Any) -> None:
        import obstore

        self.store = store
        self._obstore = obstore

    def supports(self, method: str) -> bool:
        return True

    def value(self, data: bytes) -> Any:
        return data

    async def get(self, key: str) -> Any:
        try:
            found = await self._obstore.get_async(self.store, key)
        except FileNotFoundError:
            return None
        return await found.bytes_async()

    def get_range(self, key: str, start: int, end: int) -> Any:
        return self._obstore.get_range_async(self.store, key, start=start, end=end)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Any:
        starts, ends = [start for start, _ in ranges], [end for _, end in ranges]
        return self._obstore.get_ranges_async(self.store, key, starts=starts, ends=ends)

    get_partial_values = get_ranges

    async def exists(self, key: str) -> bool:
        try:
            await self._obstore.head_async(self.store, key)
        except FileNotFoundError:
            return False
        return True

    def set(self, key: str, value: Any) -> Any:
        return self._obstore.put_async(self.store, key, value)

    async def list_all(self) -> list[str]:
        return [entry["path"] for entry in await self._below("")]

    async def list_dir(self, prefix: str) -> list[str]:
        found = await self._obstore.list_with_delimiter_async(self.store, prefix)
        paths = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
        return [path[len(prefix) + 1 :] for path in paths]

    async def getsize_prefix(self, prefix: str) -> int:
        return sum(entry["size"] for entry in await self._below(prefix))

    async def delete_dir(self, prefix: str) -> None:
        paths = [entry["path"] for entry in await self._below(prefix)]
        await self._obstore.delete_async(self.store, paths)

    def _below(self, prefix: str) -> Any:
        return self._obstore.list(self.store, prefix or None).collect_async()


@dataclass(frozen=True)
class Candidate:
    """One of those that are compared.

    Attributes
    ----------
    title
        What tables and plots call it.
    open
        Opens its store at a place.
    why_not
        Why it cannot take part at a place; None when it can.
    is_zarr_store
        Whether zarr takes its store.
    """

    title: str
    open: Callable[[Place], Subject]
    why_not: Callable[[Place], str | None]
    is_zarr_store: bool = True


def _this(place: Place, **options: Any) -> Subject:
    from fsspec_store.zarr import ZarrStore

    storage_options = place.endpoint.storage_options()
    return ZarrSubject(ZarrStore.from_url(place.url, storage_options, **options))


def _zarr_fsspec(place: Place) -> Subject:
    from zarr.storage import FsspecStore

    options = {
        **place.endpoint.storage_options(),
        "asynchronous": True,
        # A filesystem's sessions belong to one event loop, and a process of a run has two.
        "skip_instance_cache": True,
        # A listing that is answered from memory is not what is measured here.
        "use_listings_cache": False,
    }
    if isinstance(place.endpoint, GCSEndpoint):
        from gcsfs.core import GCSFileSystem

        path = f"{place.bucket}/{place.root}"
        return ZarrSubject(FsspecStore(GCSFileSystem(**options), path=path))
    return ZarrSubject(FsspecStore.from_url(place.url, options))


def _obstore(place: Place) -> Any:
    from obstore.store import AzureStore, S3Store

    endpoint = place.endpoint
    client: ClientConfig = {"allow_http": True}
    if isinstance(endpoint, AzureEndpoint):
        return AzureStore(
            container_name=place.bucket,
            prefix=place.root,
            endpoint=endpoint.url,
            account_name=endpoint.account,
            account_key=endpoint.key,
            client_options=client,
        )
    assert isinstance(endpoint, S3Endpoint)
    return S3Store(
        place.bucket,
        prefix=place.root,
        endpoint=endpoint.url,
        access_key_id=endpoint.key,
        secret_access_key=endpoint.secret,
        region=REGION,
        virtual_hosted_style_request=False,
        client_options=client,
    )


def _zarr_object(place: Place) -> Subject:
    from zarr.storage import ObjectStore

    return ZarrSubject(ObjectStore(_obstore(place)))


def _always(place: Place) -> None:
    return None


def _has_no_transports(place: Place) -> str | None:
    from fsspec_store.zarr import ZarrStore

    if "transport" not in inspect.signature(ZarrStore).parameters:
        return "this release has no such option"
    return None


def _no_xml(place: Place) -> str | None:
    if isinstance(place.endpoint, GCSEndpoint):
        return "fake-gcs-server lacks the XML API by which obstore writes and lists"
    return None


CANDIDATES = {
    THIS: Candidate("fsspec-store", _this, _always),
    BY_LIBRARY: Candidate(
        "fsspec-store, transport=library",
        lambda place: _this(place, transport="library"),
        _has_no_transports,
    ),
    ZARR_FSSPEC: Candidate("zarr FsspecStore", _zarr_fsspec, _always),
    ZARR_OBJECT: Candidate("zarr ObjectStore", _zarr_object, _no_xml),
    OBSTORE: Candidate(
        "obstore", lambda place: ObstoreSubject(_obstore(place)), _no_xml, is_zarr_store=False
    ),
}
