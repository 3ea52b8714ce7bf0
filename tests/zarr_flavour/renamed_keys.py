"""Stores for zarr's random sequences on services that cannot store every key.

A wrapper changes the names of keys for the service, or omits prefixes without keys from listings.
Knows zarr's wrapper of stores, and no service.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, ClassVar

from zarr.storage import WrapperStore

from fsspec_store.zarr import ZarrStore


class RenamedKeys(WrapperStore[ZarrStore]):
    """A store that appends a sign to every segment of a key.

    It has every method with a key or a prefix that a sequence or zarr's pipelines call.
    """

    #: The sign of a folder's segment, and of a value's.
    folder: ClassVar[str] = ""
    value: ClassVar[str] = ""

    @classmethod
    def _renamed_segment(cls, segment: str, sign: str) -> str:
        return segment + sign

    @classmethod
    def _renamed(cls, key: str) -> str:
        *folders, name = key.split("/")
        renamed = [cls._renamed_segment(folder, cls.folder) for folder in folders]
        return "/".join([*renamed, cls._renamed_segment(name, cls.value)])

    @classmethod
    def _renamed_prefix(cls, prefix: str) -> str:
        segments = (segment for segment in prefix.split("/") if segment)
        return "/".join(cls._renamed_segment(segment, cls.folder) for segment in segments)

    @classmethod
    def _original(cls, key: str) -> str:
        signs = cls.folder + cls.value
        return "/".join(
            segment[:-1] if segment.endswith(tuple(signs)) else segment
            for segment in key.split("/")
        )

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        return await self._store.get(self._renamed(key), prototype, byte_range)

    async def get_partial_values(
        self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]
    ) -> list[Any]:
        return await self._store.get_partial_values(
            prototype, [(self._renamed(key), byte_range) for key, byte_range in key_ranges]
        )

    async def get_ranges(
        self, key: str, byte_ranges: Any, *, prototype: Any, **bounds: Any
    ) -> AsyncIterator[Any]:
        ranges = self._store.get_ranges(
            self._renamed(key), byte_ranges, prototype=prototype, **bounds
        )
        async for batch in ranges:
            yield batch

    def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Any:
        return self._store.get_sync(self._renamed(key), prototype=prototype, byte_range=byte_range)

    def get_ranges_sync(self, key: str, byte_ranges: Any, *, prototype: Any, **bounds: Any) -> Any:
        return self._store.get_ranges_sync(
            self._renamed(key), byte_ranges, prototype=prototype, **bounds
        )

    async def exists(self, key: str) -> bool:
        return await self._store.exists(self._renamed(key))

    async def set(self, key: str, value: Any) -> None:
        await self._store.set(self._renamed(key), value)

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        await self._store.set_if_not_exists(self._renamed(key), value)

    async def _set_many(self, values: Iterable[tuple[str, Any]]) -> None:
        await self._store._set_many([(self._renamed(key), value) for key, value in values])

    async def _get_many(self, requests: Iterable[tuple[str, Any, Any]]) -> AsyncIterator[Any]:
        renamed = [(self._renamed(key), prototype, part) for key, prototype, part in requests]
        async for key, value in self._store._get_many(renamed):
            yield self._original(key), value

    def set_sync(self, key: str, value: Any) -> None:
        self._store.set_sync(self._renamed(key), value)

    def delete_sync(self, key: str) -> None:
        self._store.delete_sync(self._renamed(key))

    async def delete(self, key: str) -> None:
        await self._store.delete(self._renamed(key))

    async def delete_dir(self, prefix: str) -> None:
        await self._store.delete_dir(self._renamed_prefix(prefix))

    async def is_empty(self, prefix: str) -> bool:
        return await self._store.is_empty(self._renamed_prefix(prefix))

    async def getsize(self, key: str) -> int:
        return await self._store.getsize(self._renamed(key))

    async def getsize_prefix(self, prefix: str) -> int:
        return await self._store.getsize_prefix(self._renamed_prefix(prefix))

    async def list(self) -> AsyncIterator[str]:
        async for key in self._store.list():
            yield self._original(key)

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        async for key in self._store.list_prefix(self._renamed_prefix(prefix)):
            yield self._original(key)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        # A key and its children, which are two names for the service, are one.
        names = {
            self._original(name)
            async for name in self._store.list_dir(self._renamed_prefix(prefix))
        }
        for name in names:
            yield name


class WithFoldersApart(RenamedKeys):
    """No key is a prefix of another: ``a/b`` is ``a+/b=`` for the service."""

    folder, value = "+", "="


class WithoutDotsAtTheEnd(RenamedKeys):
    """No segment ends in a dot: ``a./b`` is ``a.=/b`` for the service, and ``a/b`` itself."""

    folder = value = "="

    @classmethod
    def _renamed_segment(cls, segment: str, sign: str) -> str:
        return segment + sign if segment.endswith((".", sign)) else segment


class WithoutEmptied(WrapperStore[ZarrStore]):
    """A store whose listings omit prefixes without keys. It calls `is_empty` for each prefix."""

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        async for name in self._store.list_dir(prefix):
            key = f"{prefix.rstrip('/')}/{name}".lstrip("/")
            if await self._store.exists(key) or not await self._store.is_empty(key):
                yield name
