"""Copies of a value to another store, through the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import KeyNotFoundError, VersionMismatchError
from .buffer import Buffer

if TYPE_CHECKING:
    from .store_reading import ReadableStore
    from .store_writing import WritableStore

__all__ = ["copy_through_client", "key_not_found", "version_mismatch"]


async def copy_through_client(
    source: ReadableStore, key: str, target: WritableStore, to: str, version: str | None
) -> None:
    """Read a value in parts and write them; a value of one part is written by `Store.set`."""
    async with source.open_reader(key, version=version) as reader:
        first = await reader.next_part()
        if first is None or len(first) == reader.size:
            await target.set(to, Buffer.from_bytes(b"") if first is None else first)
            return
        async with target.open_writer(to, size=reader.size) as writer:
            await writer.write(first)
            del first
            async for part in reader:
                await writer.write(part)
            await writer.finish()


def key_not_found(source: ReadableStore, key: str) -> KeyNotFoundError:
    """The error for a missing key."""
    url = getattr(source, "url", None)
    return KeyNotFoundError(f"cannot copy {key!r} in {source}: no such key", key=key, url=url)


def version_mismatch(source: ReadableStore, key: str, version: str) -> VersionMismatchError:
    """The error for a key with another version."""
    text = f"cannot copy {key!r} in {source}: it no longer has version {version!r}"
    return VersionMismatchError(text, key=key, url=getattr(source, "url", None))
