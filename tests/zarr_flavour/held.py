"""Stores that zarr's random sequences can be run on where a service cannot hold every key.

What is asked for is the sequence's own; what differs is the name that the service sees, or that a
prefix without keys is left out of a listing. Knows zarr's wrapper of stores, and no service.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from zarr.storage import WrapperStore

from fsspec_store.zarr import FsspecStore

_FOLDER, _VALUE = "+", "="


class Spelled(WrapperStore[FsspecStore]):
    """Keys spelled so that no key is a prefix of another, and no segment ends in a dot.

    ``a/b.`` is ``a+/b.=`` for the service.
    """

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        return await self._store.get(_spelled(key), prototype, byte_range)

    async def get_partial_values(
        self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]
    ) -> list[Any]:
        return await self._store.get_partial_values(
            prototype, [(_spelled(key), byte_range) for key, byte_range in key_ranges]
        )

    async def get_ranges(self, key: str, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for batch in self._store.get_ranges(_spelled(key), *args, **kwargs):
            yield batch

    async def exists(self, key: str) -> bool:
        return await self._store.exists(_spelled(key))

    async def set(self, key: str, value: Any) -> None:
        await self._store.set(_spelled(key), value)

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        await self._store.set_if_not_exists(_spelled(key), value)

    async def _set_many(self, values: Iterable[tuple[str, Any]]) -> None:
        await self._store._set_many([(_spelled(key), value) for key, value in values])

    async def _get_many(self, requests: Iterable[tuple[str, Any, Any]]) -> AsyncIterator[Any]:
        spelled = [(_spelled(key), prototype, part) for key, prototype, part in requests]
        async for key, value in self._store._get_many(spelled):
            yield _read(key), value

    async def delete(self, key: str) -> None:
        await self._store.delete(_spelled(key))

    async def delete_dir(self, prefix: str) -> None:
        await self._store.delete_dir(_spelled_prefix(prefix))

    async def is_empty(self, prefix: str) -> bool:
        return await self._store.is_empty(_spelled_prefix(prefix))

    async def getsize(self, key: str) -> int:
        return await self._store.getsize(_spelled(key))

    async def getsize_prefix(self, prefix: str) -> int:
        return await self._store.getsize_prefix(_spelled_prefix(prefix))

    def get_sync(self, key: str, **kwargs: Any) -> Any:
        return self._store.get_sync(_spelled(key), **kwargs)

    def set_sync(self, key: str, value: Any) -> None:
        self._store.set_sync(_spelled(key), value)

    def delete_sync(self, key: str) -> None:
        self._store.delete_sync(_spelled(key))

    async def list(self) -> AsyncIterator[str]:
        async for key in self._store.list():
            yield _read(key)

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        async for key in self._store.list_prefix(_spelled_prefix(prefix)):
            yield _read(key)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        # A key and its children, which are two names for the service, are one.
        names = {_read(name) async for name in self._store.list_dir(_spelled_prefix(prefix))}
        for name in names:
            yield name


class WithoutEmptied(WrapperStore[FsspecStore]):
    """Listed without prefixes that hold no key any more; `is_empty` is asked of each."""

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        async for name in self._store.list_dir(prefix):
            key = f"{prefix.rstrip('/')}/{name}".lstrip("/")
            if await self._store.exists(key) or not await self._store.is_empty(key):
                yield name


def _spelled_prefix(prefix: str) -> str:
    segments = [segment + _FOLDER for segment in prefix.split("/") if segment]
    return "/".join(segments)


def _spelled(key: str) -> str:
    *folders, name = key.split("/")
    return "/".join([*(folder + _FOLDER for folder in folders), name + _VALUE])


def _read(key: str) -> str:
    return "/".join(segment[:-1] for segment in key.split("/"))
