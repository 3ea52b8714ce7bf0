"""Whether the values of one key in two stores are equal."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from .._store.buffer import as_view
from .digests import (
    Check,
    common_checksum,
    composite_md5s,
    computable,
    content_md5,
    digest,
    possible_md5,
    possible_part_sizes,
)
from .memory import reads_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._store.entries import Entry
    from .._store.store_reading import ReadableStore
    from .._store.streams import Reader
    from .memory import Memory
    from .operations import Reason

__all__ = ["Compare", "Comparison"]

#: How values are compared. Their sizes are compared first.
Compare: TypeAlias = Literal["size", "checksum", "bytes", "mtime"]


class Comparison:
    """Compares the values of two stores.

    Parameters
    ----------
    compare : {"size", "checksum", "bytes", "mtime"}
        ``"checksum"`` uses the strongest checksum that both listings state. Where one states none,
        and the other store is local, the local value is read. Otherwise both values are read.
        ``"bytes"`` reads both values. ``"mtime"`` takes a value of the target for equal that is
        not older: an edit of equal size with an older time is not found. A time of the source in
        whole seconds counts as the end of that second.

    Raises
    ------
    ValueError
        When ``compare`` is none of these.
    """

    def __init__(
        self, source: ReadableStore, target: ReadableStore, compare: Compare, memory: Memory
    ) -> None:
        if compare not in get_args(Compare):
            known = ", ".join(map(repr, get_args(Compare)))
            raise ValueError(f"compare must be one of {known}, got {compare!r}")
        self._source = source
        self._target = target
        self._compare = compare
        self._memory = memory

    def listed(self, source: Entry, target: Entry) -> tuple[bool, Reason | None]:
        """Whether the listings show how two values of a key compare, and how they differ."""
        if source.size != target.size:
            return True, "size"
        if self._compare == "size" or not source.size:
            return True, None
        if self._compare == "mtime":
            return True, self._by_time(source, target)
        if self._compare == "bytes":
            return False, None
        name = common_checksum(source, target)
        if name is not None:
            return True, None if source.checksums[name] == target.checksums[name] else "checksum"
        ours = content_md5(source, _etag(self._source, source))
        return ours is not None and ours == content_md5(target, _etag(self._target, target)), None

    def check(self, source: Entry, target: Entry) -> Check | None:
        """What shows that two small values are equal, if one is local and no other read is needed.

        When it does not hold, they may be equal: see `difference`.
        """
        if self._compare == "checksum" and not self._memory.counts(source.size):
            for store, local, listed, etag in self._sides(source, target):
                if store.reads_locally:
                    return _check(store, local, listed, etag)
        return None

    async def difference(self, source: Entry, target: Entry) -> Reason | None:
        """Return how two values of a key differ; ``None`` when they are equal.

        Raises
        ------
        KeyNotFoundError, VersionMismatchError
            When a value changes while it is compared.
        """
        is_known, reason = self.listed(source, target)
        return reason if is_known else await self.unlisted_difference(source, target)

    async def unlisted_difference(self, source: Entry, target: Entry) -> Reason | None:
        """Like `difference`, of two values that `listed` cannot compare."""
        both = ((self._source, source), (self._target, target))
        copies = sum(reads_whole(store, entry.version) for store, entry in both)
        async with self._memory.of_value(source.size, copies=copies):
            if self._compare == "bytes":
                return await self._by_bytes(source, target)
            return await self._by_checksum(source, target)

    def _by_time(self, source: Entry, target: Entry) -> Reason | None:
        if source.modified is None or target.modified is None:
            return "unknown"
        # A service that lists whole seconds cuts off the rest: the edit may be later by that.
        cut_off = timedelta(seconds=0 if source.modified.microsecond else 1)
        return "newer" if source.modified + cut_off > target.modified else None

    async def _by_checksum(self, source: Entry, target: Entry) -> Reason | None:
        for store, local, listed, etag in self._sides(source, target):
            if store.reads_locally:
                found = await self._beside_listed(store, local, listed, etag)
                if found is not None:
                    return None if found else "checksum"
        return await self._by_bytes(source, target)

    def _sides(
        self, source: Entry, target: Entry
    ) -> Iterator[tuple[ReadableStore, Entry, Entry, str | None]]:
        """Each store with its entry, and with the entry and the ETag of the other one."""
        yield self._source, source, target, _etag(self._target, target)
        yield self._target, target, source, _etag(self._source, source)

    async def _beside_listed(
        self, store: ReadableStore, local: Entry, listed: Entry, etag: str | None
    ) -> bool | None:
        """Whether a local value has the checksum that is listed; ``None`` if that is unknown."""
        check = _check(store, local, listed, etag)
        if check is not None:
            is_equal = await digest(store, local, check.name) == check.digest
            if is_equal or check.name in listed.checksums:
                return is_equal
        sizes = possible_part_sizes(etag, listed.size)
        # Each size costs more processor time than reading the value.
        for part_sizes in (sizes[:1], sizes[1:]):
            if part_sizes and content_md5(listed, etag) in await composite_md5s(
                store, local, part_sizes
            ):
                return True
        return None

    async def _by_bytes(self, source: Entry, target: Entry) -> Reason | None:
        async with (
            self._source.open_reader(source.key, version=source.version) as ours,
            self._target.open_reader(target.key, version=target.version) as theirs,
        ):
            left, right = memoryview(b""), memoryview(b"")
            while True:
                if not left:
                    left = await _next_part(ours)
                if not right:
                    right = await _next_part(theirs)
                count = min(len(left), len(right))
                if left[:count] != right[:count]:
                    return "bytes"
                if not count:
                    return "bytes" if left or right else None
                left, right = left[count:], right[count:]


def _check(store: ReadableStore, local: Entry, listed: Entry, etag: str | None) -> Check | None:
    """A check by the strongest checksum that is listed, or by an ETag that may be an MD5."""
    name = computable(listed)
    if name is not None:
        return Check(store, local, name, listed.checksums[name])
    md5 = possible_md5(etag)
    return None if md5 is None else Check(store, local, "md5", md5)


def _etag(store: ReadableStore, entry: Entry) -> str | None:
    """The version of a value, if its service makes it of the bytes."""
    return entry.version if store._versions_are_md5s else None


async def _next_part(reader: Reader) -> memoryview:
    part = await reader.next_part()
    return memoryview(b"") if part is None else as_view(part)
