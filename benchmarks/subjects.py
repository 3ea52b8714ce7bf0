"""The stores of the candidates, with one interface: a layer that is as thin for each of them.

Does not know how a store is opened, see `candidates`, nor which operations are run.
"""

# The methods are documented in `Subject`.
# ruff: noqa: D102

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence


class Subject(Protocol):
    """A store of one candidate, as the operations see it."""

    store: Any
    """The object of the candidate's library."""

    def supports(self, method: str) -> bool:
        """Whether the installed release of its library has a method."""

    def value(self, data: bytes) -> Any:
        """The argument of `set` for some bytes."""

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
        """Write a result of `value`."""

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
        requests = [(key, self._range(*bounds)) for bounds in ranges]
        return self.store.get_partial_values(self._prototype, requests)

    async def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[Any]:
        requests = [self._range(*bounds) for bounds in ranges]
        found: list[Any] = [None] * len(requests)
        async for batch in self.store.get_ranges(key, requests, prototype=self._prototype):
            for index, data in batch:
                found[index] = data
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
