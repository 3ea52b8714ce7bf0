"""Stores in memory that the tests of transfers fill, watch and break."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from fsspec_store import Buffer, FsspecStore, Store
from fsspec_store._store.entries import Entry
from fsspec_store.contract import Reader
from fsspec_store.errors import AccessDeniedError

S = TypeVar("S", bound=Store)

_numbers = itertools.count()

ARRAY = {
    "zarr.json": b"group",
    "air/zarr.json": b"array",
    "air/c/0/0": b"chunk 0",
    "air/c/0/1": b"chunk 1",
    "air-raw/zarr.json": b"other",
}


class Recording(FsspecStore):
    """Notes the keys that are written and deleted, and rejects some."""

    events: list[str]
    denied: frozenset[str]

    async def _copy(self, source: Any, key: str, *options: Any) -> None:
        self._note(f"copy {key}", key)
        await super()._copy(source, key, *options)

    async def delete(self, key: str) -> None:
        self._note(f"delete {key}", key)
        await super().delete(key)

    async def _delete_many(self, keys: Sequence[str], *, limit: int) -> None:
        for key in keys:
            self._note(f"delete {key}", key)
        await super()._delete_many(keys, limit=limit)

    def _note(self, event: str, key: str) -> None:
        if key in self.denied:
            raise AccessDeniedError(f"access denied: {key!r}", key=key)
        self.events.append(event)


class Listing(FsspecStore):
    """States other details of its entries, as another service would, and notes what is read."""

    stated: Callable[[Entry], Entry]
    read: list[str]
    #: Whether the stated versions are the ETags of S3.
    is_s3: bool

    @property
    def _versions_are_md5s(self) -> bool:
        return self.is_s3

    async def list_entries(self, prefix: str = "", **options: Any) -> AsyncGenerator[Entry, None]:
        async with aclosing(super().list_entries(prefix, **options)) as entries:
            async for entry in entries:
                yield self.stated(entry)

    def open_reader(self, key: str, *, version: str | None = None, start: int = 0) -> Reader:
        self.read.append(key)
        return super().open_reader(key, start=start)


class Unreadable(FsspecStore):
    """Rejects reads of some keys. Copies on the service are no reads."""

    denied: frozenset[str]

    def open_reader(self, key: str, *, version: str | None = None, start: int = 0) -> Reader:
        if key in self.denied:
            raise AccessDeniedError(f"access denied: {key!r}", key=key)
        return super().open_reader(key, version=version, start=start)


def recording(*denied: str) -> Recording:
    store = Recording.from_url(f"memory://transfer/{next(_numbers)}")
    store.events, store.denied = [], frozenset(denied)
    return store


def unreadable(*denied: str) -> Unreadable:
    store = Unreadable.from_url(f"memory://transfer/{next(_numbers)}")
    store.denied = frozenset(denied)
    return store


async def listing(
    values: dict[str, bytes], stated: Callable[[Entry], Entry], *, is_s3: bool = True
) -> Listing:
    store = Listing.from_url(f"memory://transfer/{next(_numbers)}")
    store.stated, store.read, store.is_s3 = stated, [], is_s3
    return await filled(store, values)


async def store_with(values: dict[str, bytes]) -> FsspecStore:
    return await filled(FsspecStore.from_url(f"memory://transfer/{next(_numbers)}"), values)


async def filled(store: S, values: dict[str, bytes]) -> S:
    for key, value in values.items():
        await store.set(key, Buffer.from_bytes(value))
    return store


async def contents(store: Store) -> dict[str, bytes]:
    found = {}
    async for key in store.list():
        value = await store.get(key)
        assert value is not None
        found[key] = value.to_bytes()
    return found
