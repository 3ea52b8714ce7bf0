"""Places without keys: their errors, and folders that a web server does not have."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .. import FsspecStore
    from ..errors import StoreError
    from .place import Place

__all__ = [
    "is_missing_folder",
    "keys_below_noted",
    "missing_as_empty",
    "no_keys",
    "require_folder",
    "require_keys",
]


def no_keys(place: Place, name: str = "URL") -> StoreError:
    """The error for a URL at which no key is, and under which none is."""
    from ..errors import KeyNotFoundError, StoreError, StoreURLError

    with place.open() as store:
        try:
            require_folder(store, name)
        except StoreURLError as error:
            return error
        # Not for a URL without a key, or one whose key cannot be looked up.
        with suppress(StoreError):
            above, key = place.split()
            with above.open() as parent:
                if parent.sync.exists(key):
                    hint = ": cp copies one key" if name == "SRC" else ""
                    return StoreURLError(
                        f"{name} is a key, {place.shown!r}, not a prefix{hint}", url=place.shown
                    )
        return KeyNotFoundError(
            f"no key at {place.shown!r} or under it{store._missing_root()}", url=place.shown
        )


def require_folder(store: FsspecStore, name: str) -> None:
    """Raise `StoreURLError` if a local file is at the URL of an argument, or above it."""
    from fsspec.implementations.local import LocalFileSystem

    from ..errors import StoreURLError

    if type(store.fs) is not LocalFileSystem:
        return
    path = store.path
    while path and not os.path.exists(path):
        path = os.path.dirname(path) if path != os.path.dirname(path) else ""
    if os.path.isfile(path):
        if path != store.path:
            reason = f"is below a file: {path!r}"
        elif name == "SRC":
            reason = "is a file: cp copies one key"
        else:
            reason = f"is a file, not a folder: {path!r}"
        raise StoreURLError(f"{name} {reason}", url=store.url)


def is_missing_folder(store: FsspecStore) -> bool:
    """Whether a store is local, and no folder is there."""
    return bool(store._missing_root())


@contextmanager
def missing_as_empty() -> Iterator[None]:
    """End the block if a web server has no folder at the URL, which may be the URL of a key."""
    from ..errors import UnsupportedOperationError

    try:
        yield
    except UnsupportedOperationError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise


@contextmanager
def keys_below_noted(store: FsspecStore, key: str, advice: str = "") -> Iterator[None]:
    """Add to the error of a missing key whether it is a prefix of keys, and an advice then."""
    from ..errors import KeyNotFoundError, StoreError

    try:
        yield
    except KeyNotFoundError as error:
        is_prefix = False
        # The key is missing, whether the place can be listed or not.
        with suppress(StoreError):
            is_prefix = not store.sync.is_empty(key)
        if not is_prefix:
            raise
        raise KeyNotFoundError(
            f"{error}, but keys below it{advice}", key=key, url=store.url
        ) from None


def require_keys(store: FsspecStore, place: Place, name: str = "URL") -> None:
    """Raise `KeyNotFoundError` if a place has no keys: its URL may be mistyped."""
    if store.sync.is_empty(""):
        raise no_keys(place, name)
