"""Errors of copies from another store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import KeyNotFoundError, VersionMismatchError

if TYPE_CHECKING:
    from .store_reading import ReadableStore

__all__ = ["check_size_listed", "key_not_found", "version_mismatch"]


def check_size_listed(source: ReadableStore, key: str, size: int, listed: int | None) -> None:
    """Raise `VersionMismatchError` for a value with another size than the listed one."""
    if listed is not None and size != listed:
        raise VersionMismatchError(
            f"cannot copy {key!r} in {source}: it has changed since it was listed, from {listed} "
            f"to {size} bytes",
            key=key,
            url=getattr(source, "url", None),
        )


def key_not_found(source: ReadableStore, key: str) -> KeyNotFoundError:
    """The error for a missing key."""
    url = getattr(source, "url", None)
    return KeyNotFoundError(f"cannot copy {key!r} in {source}: no such key", key=key, url=url)


def version_mismatch(source: ReadableStore, key: str, version: str | None) -> VersionMismatchError:
    """The error for a key with another version, or whose value changed during the copy."""
    problem = (
        "it was changed while it was copied"
        if version is None
        else f"it no longer has version {version!r}"
    )
    text = f"cannot copy {key!r} in {source}: {problem}"
    return VersionMismatchError(text, key=key, url=getattr(source, "url", None))
