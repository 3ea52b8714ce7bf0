"""Sorts entries by key in bounded memory, in a temporary file if there are many. Knows no store."""

from __future__ import annotations

import pickle
import tempfile
from heapq import merge
from itertools import islice
from operator import attrgetter
from os import SEEK_END
from typing import TYPE_CHECKING, Self

from .._runtime.threads import in_thread
from .entries import Entry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
    from typing import IO

__all__ = ["EntrySort"]

#: Entries that are sorted in memory, about 25 MB.
_RUN_ENTRIES = 50_000
#: Entries that are written and read at once. Of each run one block is in memory.
_BLOCK_ENTRIES = 250
_BATCH_ENTRIES = 1000

_key = attrgetter("key")


class EntrySort:
    """Entries that are added in any order and returned in the order of their keys, each key once.

    Unicode strings and their UTF-8 bytes sort alike. The temporary file has no name, where the
    operating system allows it, and is readable by the user only.
    """

    def __init__(self, *, run_entries: int = _RUN_ENTRIES) -> None:
        self._run_entries = run_entries
        self._run: list[Entry] = []
        #: Offsets of the blocks of each run in the file.
        self._written: list[list[int]] = []
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def __bool__(self) -> bool:
        return bool(self._run or self._written)

    async def add(self, entries: Sequence[Entry]) -> None:
        """Add entries, and write those in memory to the file if there are too many."""
        self._run += entries
        if len(self._run) >= self._run_entries:
            await in_thread(self._write_run)

    async def batches(self) -> AsyncGenerator[Sequence[Entry], None]:
        """Yield all entries in order. Then there are none, and others can be added."""
        found = self._merged()
        if self._written:
            while batch := await in_thread(next, found, None):
                yield batch
        else:
            for batch in found:
                yield batch
        self._run, self._written = [], []

    def _merged(self) -> Generator[Sequence[Entry], None, None]:
        self._run.sort(key=_key)
        runs = [self._read_run(offsets) for offsets in self._written]
        ordered = merge(*runs, self._run, key=_key) if runs else iter(self._run)
        last = None
        while batch := list(islice(ordered, _BATCH_ENTRIES)):
            unique = []
            for entry in batch:
                if entry.key != last:
                    last = entry.key
                    unique.append(entry)
            if unique:
                yield unique

    def _write_run(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="fsspec-store-")  # noqa: SIM115
        self._file.seek(0, SEEK_END)
        self._run.sort(key=_key)
        offsets = []
        for start in range(0, len(self._run), _BLOCK_ENTRIES):
            offsets.append(self._file.tell())
            block = [
                (each.key, each.size, each.modified, each.version, dict(each.checksums))
                for each in self._run[start : start + _BLOCK_ENTRIES]
            ]
            pickle.dump(block, self._file, pickle.HIGHEST_PROTOCOL)
        self._written.append(offsets)
        self._run = []

    def _read_run(self, offsets: list[int]) -> Iterator[Entry]:
        assert self._file is not None
        for offset in offsets:
            self._file.seek(offset)
            for fields in pickle.load(self._file):
                yield Entry(*fields)
