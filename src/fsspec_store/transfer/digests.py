"""Checksums of values that are read for a comparison."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from .._backends.checksums import ALGORITHMS, Hash, md5
from .._runtime.threads import in_thread, run_in_place
from .._store.buffer import as_view
from ..errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._store.entries import Entry
    from .._store.store_reading import ReadableStore

__all__ = [
    "Check",
    "CompositeMD5",
    "common_checksum",
    "composite_md5s",
    "computable",
    "content_md5",
    "digest",
    "matching",
    "possible_md5",
    "possible_part_sizes",
]

_MIB = 2**20

#: Algorithms that can be computed here, the strongest first.
_HASHES: dict[str, Callable[[], Hash]] = {
    name: found
    for name, found in {
        "sha256": ALGORITHMS.get("sha256"),
        "sha1": ALGORITHMS.get("sha1"),
        "md5": md5,
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
_COMPOSITE_MD5 = re.compile(r'"?[0-9a-f]{32}-([1-9][0-9]{0,4})"?')
#: Part sizes of this package, AWS's command line, rclone, and other programs, in bytes.
_PART_SIZES = [size * _MIB for size in (16, 8, 5, 10, 15, 32, 50, 64, 100, 128, 25, 256, 512)]
_MOST_SIZES = 4


def possible_md5(etag: str | None) -> bytes | None:
    """The MD5 that an ETag may be; ``None`` for ETags of another form.

    The ETag of a multipart upload, which ends in ``-`` and the number of parts, is none.
    """
    found = _MD5.fullmatch(etag or "")
    return bytes.fromhex(found[1]) if found else None


def content_md5(entry: Entry, etag: str | None) -> str | None:
    """The MD5 of a value as hexadecimal digits, or of the MD5s of its parts: ``digits-number``.

    Equal ones prove equal bytes. Different ones prove nothing; see `possible_md5`. The ETag is
    ``None`` for services whose ETags are no MD5s.
    """
    digest = entry.checksums.get("md5") or possible_md5(etag)
    if digest is not None:
        return digest.hex()
    return etag.strip('"') if etag and _COMPOSITE_MD5.fullmatch(etag) else None


def common_checksum(one: Entry, other: Entry) -> str | None:
    """Name of the strongest checksum that both listings state, ``None`` if there is none."""
    shared = one.checksums.keys() & other.checksums.keys()
    return min(shared, key=_rank, default=None)


def computable(entry: Entry) -> str | None:
    """Name of the strongest checksum that the listing states and this process can compute."""
    return min((name for name in entry.checksums if name in _HASHES), key=_rank, default=None)


def _rank(name: str) -> int:
    return _STRENGTH.index(name) if name in _HASHES else len(_STRENGTH)


def possible_part_sizes(etag: str | None, size: int) -> list[int]:
    """Sizes in bytes of the parts of which a value may have the ETag; empty for other ETags.

    The ETag of an upload in parts is the MD5 of the MD5s of the parts, ``-``, and their number
    (Amazon S3, "Checking object integrity": "composite checksums"). Its part size is not listed:
    here are those of the number of parts, the common ones first, at most `_MOST_SIZES`.
    """
    found = _COMPOSITE_MD5.fullmatch(etag or "")
    count = int(found[1]) if found else 0
    if count < 1:
        return []
    # The last part may be smaller, and is not empty.
    least = -(-size // count)
    end = -(-size // (count - 1)) if count > 1 else size + 1
    common = [part_size for part_size in _PART_SIZES if least <= part_size < end]
    whole = range(-(-least // _MIB) * _MIB, min(end, 5 * 2**30 + 1), _MIB)
    sizes = dict.fromkeys([*common, least, *islice(whole, _MOST_SIZES)])
    return list(sizes)[:_MOST_SIZES]


async def composite_md5s(
    store: ReadableStore, entry: Entry, part_sizes: Sequence[int]
) -> list[str]:
    """Read a value once, and return the ETags that it has as an upload in parts of each size."""
    composites = [CompositeMD5(size) for size in part_sizes]
    async with store.open_reader(entry.key, version=entry.version) as reader:
        async for part in reader:
            for composite in composites:
                await in_thread(composite.update, as_view(part))
    return [composite.etag() for composite in composites]


class CompositeMD5:
    """The ETag of a value as an upload in parts.

    Parameters
    ----------
    part_size : int
        Size of all parts but the last, in bytes.
    """

    def __init__(self, part_size: int) -> None:
        self._part_size = self._left = part_size
        self._part, self._all = md5(), md5()
        self._count = 0

    def update(self, data: memoryview) -> None:
        """Add the next bytes."""
        while data:
            self._part.update(data[: self._left])
            taken = min(len(data), self._left)
            data, self._left = data[taken:], self._left - taken
            if not self._left:
                self._end_part()

    def etag(self) -> str:
        """Return the ETag, without quotes, after the last byte."""
        if self._left < self._part_size:
            self._end_part()
        return f"{self._all.hexdigest()}-{self._count}"

    def _end_part(self) -> None:
        self._all.update(self._part.digest())
        self._part, self._left = md5(), self._part_size
        self._count += 1


class Check(NamedTuple):
    """A value of a local store, and the checksum that the other store lists for its key."""

    store: ReadableStore
    entry: Entry
    name: str
    digest: bytes


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


async def matching(checks: Sequence[Check]) -> list[bool]:
    """Which values have their checksum. One thread reads all; one that it cannot read has none."""
    return await in_thread(_matching, checks)


def _matching(checks: Sequence[Check]) -> list[bool]:
    found = []
    for store, entry, name, listed in checks:
        try:
            found.append(run_in_place(digest(store, entry, name)) == listed)
        except (StoreError, OSError):
            found.append(False)
    return found
