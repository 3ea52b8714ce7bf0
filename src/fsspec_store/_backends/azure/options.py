"""Rejects options of an adlfs filesystem that have no effect. No I/O."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from ...errors import StorageOptionError
from ..option_names import ADLFS, AZURE_IDENTITY
from ..options import refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fsspec import AbstractFileSystem

__all__ = ["check_names", "check_options"]

#: Options that adlfs passes to fsspec.
_FSSPEC_OPTIONS = {"batch_size", "listings_expiry_time", "max_paths", "use_listings_cache"}


def check_options(fs: AbstractFileSystem) -> None:
    """Raise `StorageOptionError` for options that adlfs ignores, or that have no effect."""
    if fs.location_mode not in ("primary", "secondary"):
        raise StorageOptionError(
            f"location_mode must be 'primary' or 'secondary', got {fs.location_mode!r}"
        )
    if fs.request_session is not None:
        raise StorageOptionError(
            "adlfs ignores request_session, and a session serves only one event loop"
        )
    check_names(type(fs), fs.kwargs)


def check_names(cls: type[AbstractFileSystem], given: Iterable[str]) -> None:
    """Raise `StorageOptionError` for names that adlfs ignores."""
    known = _FSSPEC_OPTIONS | AZURE_IDENTITY
    if not known.issuperset(given):
        known |= set(inspect.signature(cls.__init__).parameters)
        refuse_unknown("adlfs takes no storage option", given, known, ADLFS)
