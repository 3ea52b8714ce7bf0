"""Reads a value that is copied to another store, through the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import KeyNotFoundError, VersionMismatchError

if TYPE_CHECKING:
    from .buffer import Buffer
    from .store_reading import ReadableStore

__all__ = ["key_not_found", "value_to_copy", "version_mismatch"]


async def value_to_copy(source: ReadableStore, key: str, version: str | None) -> Buffer:
    """The value of a key, if it has this version."""
    if version is None:
        value = await source.get(key)
    else:
        found = await source.get_version(key)
        if found is not None and found.version != version:
            raise version_mismatch(source, key, version)
        value = None if found is None else found.value
    if value is None:
        raise key_not_found(source, key)
    return value


def key_not_found(source: ReadableStore, key: str) -> KeyNotFoundError:
    """The error for a missing key."""
    url = getattr(source, "url", None)
    return KeyNotFoundError(f"cannot copy {key!r} in {source}: no such key", key=key, url=url)


def version_mismatch(source: ReadableStore, key: str, version: str) -> VersionMismatchError:
    """The error for a key with another version."""
    text = f"cannot copy {key!r} in {source}: it no longer has version {version!r}"
    return VersionMismatchError(text, key=key, url=getattr(source, "url", None))
