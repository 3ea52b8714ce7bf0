"""Checksums of values that are read for a comparison."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import TYPE_CHECKING

from .._backends.checksums import ALGORITHMS, Hash
from .._runtime.threads import in_thread
from .._store.buffer import as_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._store.entries import Entry
    from .._store.store_reading import ReadableStore

__all__ = ["common_checksum", "computable", "digest", "possible_md5"]

#: Algorithms that can be computed here, the strongest first.
_HASHES: dict[str, Callable[[], Hash]] = {
    name: found
    for name, found in {
        "sha256": ALGORITHMS.get("sha256"),
        "sha1": ALGORITHMS.get("sha1"),
        "md5": partial(hashlib.md5, usedforsecurity=False),
        "crc64nvme": ALGORITHMS.get("crc64nvme"),
        "crc32c": ALGORITHMS.get("crc32c"),
        "crc32": ALGORITHMS.get("crc32"),
    }.items()
    if found is not None
}
_STRENGTH = tuple(_HASHES)

#: An ETag that is the MD5 of the value, unless the service encrypts with its own keys: then it has
#: the same form (Amazon S3, "Object"). So an equal one proves equal bytes, and another one nothing.
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


def possible_md5(entry: Entry) -> bytes | None:
    """The MD5 that the version may be; ``None`` for versions of another form.

    The ETag of a multipart upload, which ends in ``-`` and the number of parts, is none.
    """
    found = _MD5.fullmatch(entry.version or "")
    return bytes.fromhex(found[1]) if found else None


def common_checksum(one: Entry, other: Entry) -> str | None:
    """Name of the strongest checksum that both listings state, ``None`` if there is none."""
    shared = one.checksums.keys() & other.checksums.keys()
    return min(shared, key=_rank, default=None)


def computable(entry: Entry) -> str | None:
    """Name of the strongest checksum that the listing states and this process can compute."""
    return min((name for name in entry.checksums if name in _HASHES), key=_rank, default=None)


def _rank(name: str) -> int:
    return _STRENGTH.index(name) if name in _HASHES else len(_STRENGTH)


async def digest(store: ReadableStore, entry: Entry, name: str) -> bytes:
    """Read a value and return its checksum.

    Raises
    ------
    KeyNotFoundError, VersionMismatchError
        When the value was removed or changed after it was listed.
    """
    found = _HASHES[name]()
    async with store.open_reader(entry.key, version=entry.version) as reader:
        async for part in reader:
            await in_thread(found.update, as_view(part))
    return found.digest()
