"""One key of a store, as an object that can be handed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from .._core.byte_requests import ByteRequest
    from .buffer import Buffer, BufferPrototype
    from .contract import Store

__all__ = ["ByteGetter", "ByteSetter", "StorePath", "set_or_delete"]


@runtime_checkable
class ByteGetter(Protocol):
    """Something one value can be read from."""

    async def get(
        self, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read the value or a part of it; parameters and answers as of `Store.get`."""


@runtime_checkable
class ByteSetter(ByteGetter, Protocol):
    """Something one value can be read from, written to and removed from."""

    async def set(self, value: Buffer) -> None:
        """Replace the value; see `Store.set`."""

    async def delete(self) -> None:
        """Remove the value, if there is one; see `Store.delete`."""

    async def set_if_not_exists(self, default: Buffer) -> None:
        """Write the value if there is none; see `Store.set_if_not_exists`."""


class StorePath:
    """A store and a path in it: a key, or a prefix that keys are joined to with ``/``.

    Parameters
    ----------
    store : Store
        The store.
    path : str, optional
        A key or prefix relative to the store's root; ``""`` is the root itself.
    """

    def __init__(self, store: Store, path: str = "") -> None:
        self.store = store
        self.path = path.removesuffix("/")

    def __truediv__(self, other: str) -> StorePath:
        return StorePath(self.store, f"{self.path}/{other}" if self.path else other)

    async def get(
        self, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read the value at this path; see `Store.get`."""
        return await self.store.get(self.path, prototype, byte_range)

    async def set(self, value: Buffer) -> None:
        """Write the value at this path; see `Store.set`."""
        await self.store.set(self.path, value)

    async def set_if_not_exists(self, default: Buffer) -> None:
        """Write the value at this path if there is none; see `Store.set_if_not_exists`."""
        await self.store.set_if_not_exists(self.path, default)

    async def delete(self) -> None:
        """Remove the value at this path; see `Store.delete`."""
        await self.store.delete(self.path)

    async def delete_dir(self) -> None:
        """Remove every key under this path; see `Store.delete_dir`."""
        await self.store.delete_dir(self.path)

    async def exists(self) -> bool:
        """Whether there is a value at this path; see `Store.exists`."""
        return await self.store.exists(self.path)

    async def is_empty(self) -> bool:
        """Whether no key lies under this path; see `Store.is_empty`."""
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
    """Write a value, or remove it when it is ``None``.

    Parameters
    ----------
    byte_setter : ByteSetter
        Where to.
    value : Buffer or None
        The value, or ``None`` for none.
    """
    if value is None:
        await byte_setter.delete()
    else:
        await byte_setter.set(value)
