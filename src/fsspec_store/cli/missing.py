"""The error for a place without keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .. import FsspecStore
    from ..errors import KeyNotFoundError
    from .place import Place

__all__ = ["no_keys", "require_keys"]


def no_keys(place: Place) -> KeyNotFoundError:
    """The error for a URL at which no key is, and under which none is."""
    from ..errors import KeyNotFoundError

    return KeyNotFoundError(f"no key at {place.shown!r} or under it", url=place.shown)


def require_keys(store: FsspecStore, place: Place) -> None:
    """Raise `KeyNotFoundError` if a place has no keys: its URL may be mistyped."""
    if store.sync.is_empty(""):
        raise no_keys(place)
