"""One key of a store as an object: protocols for it, and `StorePath`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from .._core.byte_requests import ByteRequest
    from .buffer import Buffer, BufferPrototype
    from .store_writing import WritableStore

__all__ = ["ByteGetter", "ByteSetter", "StorePath", "set_or_delete"]


@runtime_checkable
class ByteGetter(Protocol):
    """An object that reads one value."""

    async def get(
        self, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read the value, or a part of it; ``None`` when the key is missing. See `Store.get`."""


@runtime_checkable
class ByteSetter(ByteGetter, Protocol):
    """An object that reads, writes and deletes one value."""

    async def set(self, value: Buffer) -> None:
        """Replace the whole value. See `Store.set`."""

    async def delete(self) -> None:
        """Delete the key. A missing key is not an error. See `Store.delete`."""

    async def set_if_not_exists(self, default: Buffer) -> None:
        """Write the value if the key is missing. See `Store.set_if_not_exists`."""


class StorePath:
    """A store and a path in it. The path is a key, or a prefix: ``/`` joins further segments.

    Parameters
    ----------
    store : Store
        The store.
    path : str, optional
        A key or prefix relative to the store's root; ``""`` is the root itself.
    """

    def __init__(self, store: WritableStore, path: str = "") -> None:
        self.store = store
        self.path = path.removesuffix("/")

    def __truediv__(self, other: str) -> StorePath:
        return StorePath(self.store, f"{self.path}/{other}" if self.path else other)

    async def get(
        self, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read the value at this path; ``None`` when the key is missing. See `Store.get`."""
        return await self.store.get(self.path, prototype, byte_range)

    async def set(self, value: Buffer) -> None:
        """Replace the value at this path. See `Store.set`."""
        await self.store.set(self.path, value)

    async def set_if_not_exists(self, default: Buffer) -> None:
        """Write the value if this path has none. See `Store.set_if_not_exists`."""
        await self.store.set_if_not_exists(self.path, default)

    async def delete(self) -> None:
        """Delete the value at this path. See `Store.delete`."""
        await self.store.delete(self.path)

    async def delete_dir(self) -> None:
        """Delete every key under this path. See `Store.delete_dir`."""
        await self.store.delete_dir(self.path)

    async def exists(self) -> bool:
        """Whether this path is a key. See `Store.exists`."""
        return await self.store.exists(self.path)

    async def is_empty(self) -> bool:
        """Whether there is no key under this path. See `Store.is_empty`."""
        return await self.store.is_empty(self.path)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StorePath):
            return NotImplemented
        return self.store == other.store and self.path == other.path

    def __hash__(self) -> int:
        return hash((type(self), self.path))

    def __str__(self) -> str:
        return f"{str(self.store).rstrip('/')}/{self.path}"

    def __repr__(self) -> str:
        return f"StorePath({self.store!r}, {self.path!r})"


async def set_or_delete(byte_setter: ByteSetter, value: Buffer | None) -> None:
    """Write a value, or delete the key when the value is ``None``.

    Parameters
    ----------
    byte_setter : ByteSetter
        The key: a `StorePath`, for example.
    value : Buffer or None
        The value, or ``None`` to delete the key.
    """
    if value is None:
        await byte_setter.delete()
    else:
        await byte_setter.set(value)
