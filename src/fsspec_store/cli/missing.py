"""Places without keys: their error, and folders that a web server does not have."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .. import FsspecStore
    from ..errors import KeyNotFoundError
    from .place import Place

__all__ = ["missing_as_empty", "no_keys", "require_keys"]


def no_keys(place: Place) -> KeyNotFoundError:
    """The error for a URL at which no key is, and under which none is."""
    from ..errors import KeyNotFoundError

    return KeyNotFoundError(f"no key at {place.shown!r} or under it", url=place.shown)


@contextmanager
def missing_as_empty() -> Iterator[None]:
    """End the block if a web server has no folder at the URL, which may be the URL of a key."""
    from ..errors import UnsupportedOperationError

    try:
        yield
    except UnsupportedOperationError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise


def require_keys(store: FsspecStore, place: Place) -> None:
    """Raise `KeyNotFoundError` if a place has no keys: its URL may be mistyped."""
    if store.sync.is_empty(""):
        raise no_keys(place)
