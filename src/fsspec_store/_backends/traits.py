"""Properties of a service that no flag of a backend states: for people, and for the command."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Traits"]


class Traits(NamedTuple):
    """Properties of a service.

    Attributes
    ----------
    versions : str or None
        What `Store.get_version` returns as the version of a value; ``None`` where it cannot.
    listed_checksums : sequence of str
        Algorithms of the checksums that listings state.
    largest_copy : float
        Size in bytes up to which values are copied on the service; 0 if none is.
    longest_key : str or None
        The limit on the length of keys, with the prefix of the store's root.
    forbidden : str or None
        What keys must not contain, besides what no store allows.
    versions_are_md5s : bool
        Whether a version of 32 hexadecimal digits is the MD5 of the value, and one with ``-number``
        that of the MD5s of its parts. Other services make such ETags of names and times.
    """

    versions: str | None = None
    listed_checksums: tuple[str, ...] = ()
    largest_copy: float = 0
    longest_key: str | None = None
    forbidden: str | None = None
    versions_are_md5s: bool = False
