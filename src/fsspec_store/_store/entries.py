"""`Entry`: what a listing states about a key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with what a listing states about its value.

    Attributes
    ----------
    key : str
        Relative to the store's root.
    size : int
        In bytes.
    modified : datetime or None
        Time of the last change, in UTC; ``None`` when the service does not list it.
    version : str or None
        The version that `Store.get_version` returns, such as an ETag or a generation; ``None`` when
        the service does not list it.
    checksums : mapping
        Digests of the whole value by the name of the algorithm: ``"md5"``, ``"crc32c"``. Empty when
        the service lists none. An ETag is not among them: it may be an MD5, or not.
    """

    key: str
    size: int
    modified: datetime | None = None
    version: str | None = None
    checksums: Mapping[str, bytes] = field(default_factory=dict, hash=False)
