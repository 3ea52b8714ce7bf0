"""Thousands of random operations on a store that fails now and then, held against a model.

The model knows, for every key, the values it may have: one while all goes well; two after a write
that failed with an error, since it may have happened all the same; one again once it was read. An
operation either answers what the model allows, or raises one of the package's errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

from conformance.support import buf, listed

from fsspec_store import (
    FsspecStore,
    OffsetByteRequest,
    RangeByteRequest,
    StoreError,
    SuffixByteRequest,
)
from fsspec_store.errors import BackendError, KeyNotFoundError

_KEYS = 12


class Worker:
    """One user of the store, with keys of its own.

    Parameters
    ----------
    store : FsspecStore
        The store all workers share.
    prefix : str
        Below which its keys lie.
    seed : int
        Decides what it does.
    values : mapping, optional
        What is there already; then the worker only reads.
    """

    def __init__(
        self,
        store: FsspecStore,
        prefix: str,
        seed: int,
        values: Mapping[str, bytes | None] | None = None,
    ) -> None:
        self.store = store
        self.prefix = prefix
        self.random = Random(f"{seed} {prefix}")
        keys = [f"{prefix}/{folder}/k {n}%" for folder in "ab" for n in range(_KEYS // 2)]
        #: The values each key may have; ``None`` is: missing.
        self.may_be: dict[str, set[bytes | None]] = {
            key: {value} for key, value in (values or dict.fromkeys(keys)).items()
        }
        reading = ["do_read", "do_read_range", "do_exists", "do_getsize"]
        self.operations = reading if values else [name for name in dir(self) if name[:3] == "do_"]
        if not (values or store.supports_compare_and_swap):
            self.operations.remove("do_replace")
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.errors: list[StoreError] = []

    async def run(self, operations: int) -> None:
        """Do so many operations, and then look at everything once more."""
        for _ in range(operations):
            name = self.random.choice(self.operations)
            key = self.random.choice(list(self.may_be))
            try:
                await getattr(self, name)(key)
            except BackendError as error:
                # Nothing else: a fault is no missing key, no refusal and no bad request.
                self.failed[name] += 1
                self.errors.append(error)
            else:
                self.done[name] += 1

    async def check_nothing_is_lost(self) -> None:
        """Read every key, with no faults any more."""
        for key in self.may_be:
            await self.do_read(key)
        if "do_list" in self.operations:
            await self.do_list("")

    async def do_read(self, key: str) -> None:
        value = await self.store.get(key)
        self._saw(key, None if value is None else value.to_bytes())

    async def do_read_range(self, key: str) -> None:
        start = self.random.randrange(3000)
        length = self.random.randrange(1, 3000)
        request: Any = self.random.choice(
            [
                RangeByteRequest(start, start + length),
                OffsetByteRequest(start),
                SuffixByteRequest(length),
            ]
        )
        part = await self.store.get(key, byte_range=request)
        expected = {_part(value, request) for value in self.may_be[key]}
        found = None if part is None else part.to_bytes()
        assert found in expected, (key, request, found, expected)

    async def do_exists(self, key: str) -> None:
        there = await self.store.exists(key)
        assert there in {value is not None for value in self.may_be[key]}
        self._keep(key, lambda value: (value is not None) == there)

    async def do_getsize(self, key: str) -> None:
        try:
            size = await self.store.getsize(key)
        except KeyNotFoundError:
            self._saw(key, None)
        else:
            assert size in {len(value) for value in self.may_be[key] if value is not None}
            self._keep(key, lambda value: value is not None and len(value) == size)

    async def do_write(self, key: str) -> None:
        value = self._new_value()
        async with self._changing(key, value):
            await self.store.set(key, buf(value))

    async def do_create(self, key: str) -> None:
        value = self._new_value()
        if self.may_be[key] == {None}:
            async with self._changing(key, value):
                await self.store.set_if_not_exists(key, buf(value))
            return
        before = set(self.may_be[key])
        # What may be missing may be created; what is there stays.
        self.may_be[key] = before | ({value} if None in before else set())
        await self.store.set_if_not_exists(key, buf(value))
        self._keep(key, lambda value: value is not None)

    async def do_replace(self, key: str) -> None:
        found = await self.store.get_version(key)
        self._saw(key, None if found is None else found.value.to_bytes())
        if found is None:
            return
        value = self._new_value()
        async with self._changing(key, value):
            # No other writer has this key, so nothing but its own lost answer could be in the way.
            await self.store.set(key, buf(value), if_match=found.version)

    async def do_write_part(self, key: str) -> None:
        start, part = self.random.randrange(2000), self._new_value()
        before = set(self.may_be[key])
        after: set[bytes | None] = {_patched(value, start, part) for value in before}
        self.may_be[key] = before | after
        await self.store.set_partial_values([(key, start, part)])
        self.may_be[key] = after

    async def do_delete(self, key: str) -> None:
        async with self._changing(key, None):
            await self.store.delete(key)

    async def do_delete_dir(self, key: str) -> None:
        if self.random.random() < 0.7:
            return
        folder = key.rpartition("/")[0]
        below = [other for other in self.may_be if other.startswith(folder + "/")]
        for other in below:
            self.may_be[other] |= {None}
        await self.store.delete_dir(folder)
        for other in below:
            self.may_be[other] = {None}

    async def do_list(self, key: str) -> None:
        found = await listed(self.store.list_prefix(self.prefix + "/"))
        assert len(set(found)) == len(found)
        assert set(found) <= set(self.may_be)
        for other in self.may_be:
            there = other in found
            assert there in {value is not None for value in self.may_be[other]}, (other, found)
            self._keep(other, lambda value, there=there: (value is not None) == there)

    async def do_list_dir(self, key: str) -> None:
        folder = key.rpartition("/")[0]
        found = set(await listed(self.store.list_dir(folder)))
        for other in self.may_be:
            if other.startswith(folder + "/"):
                there = other.rpartition("/")[2] in found
                assert there in {value is not None for value in self.may_be[other]}, (other, found)

    def _new_value(self) -> bytes:
        # Seldom empty or large, and never the same twice.
        size = self.random.choice([0, 10, 1000, 3000, 100_000])
        return self.random.randbytes(size)

    def _saw(self, key: str, value: bytes | None) -> None:
        assert value in self.may_be[key], (
            f"{key!r} is {_short(value)}, and may be {[_short(each) for each in self.may_be[key]]}"
        )
        self.may_be[key] = {value}

    def _keep(self, key: str, fits: Any) -> None:
        self.may_be[key] = {value for value in self.may_be[key] if fits(value)}

    def _changing(self, key: str, value: bytes | None) -> _Changing:
        return _Changing(self.may_be, key, value)


class _Changing:
    """While a change is under way, and after it failed, a key is what it was or what it becomes."""

    def __init__(self, may_be: dict[str, set[bytes | None]], key: str, value: bytes | None) -> None:
        self.may_be, self.key, self.value = may_be, key, value

    async def __aenter__(self) -> None:
        self.may_be[self.key] = self.may_be[self.key] | {self.value}

    async def __aexit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        if exc_type is None:
            self.may_be[self.key] = {self.value}


def _part(value: bytes | None, request: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(request, RangeByteRequest):
        return value[request.start : request.end]
    if isinstance(request, OffsetByteRequest):
        return value[request.offset :]
    return value[max(len(value) - request.suffix, 0) :]


def _patched(value: bytes | None, start: int, part: bytes) -> bytes | None:
    if not part and value is not None:
        return value
    old = value or b""
    if not part:
        return old
    old = old.ljust(start, b"\0")
    return old[:start] + part + old[start + len(part) :]


def _short(value: bytes | None) -> str:
    return "missing" if value is None else f"{len(value)} bytes {value[:8].hex()}"
