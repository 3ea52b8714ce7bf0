"""The contract on a store that implements only the abstract members: the defaults do the rest."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Self

import pytest
from conformance import Limits, StoreConformance

from fsspec_store import Buffer, BufferPrototype, RangeByteRequest, Store, default_buffer_prototype
from fsspec_store._core.byte_requests import check_byte_range
from fsspec_store._core.ranges import is_out_of_range, resolve
from fsspec_store._store.buffer import as_view
from fsspec_store._store.keys import check_key, check_prefix, directory_prefix
from fsspec_store.contract import ByteRequest
from fsspec_store.errors import ByteRangeError, UnsupportedOperationError

_places: dict[int, dict[str, bytes]] = {}
_numbers = itertools.count()


class DictStore(Store):
    """Values of a dictionary, by full keys below a root."""

    supports_writes = True
    supports_deletes = True
    supports_listing = True

    def __init__(
        self,
        place: int,
        root: str = "",
        *,
        read_only: bool = False,
        out_of_range: str = "raise",
        allow_racy_create: bool = True,
        part_bytes: int | None = None,
    ) -> None:
        super().__init__(read_only=read_only)
        # The defaults of the contract have parts of a size of their own.
        del part_bytes
        self.place, self.root, self.out_of_range = place, root, out_of_range
        self.allow_racy_create = allow_racy_create

    @property
    def values(self) -> dict[str, bytes]:
        return _places.setdefault(self.place, {})

    def __eq__(self, value: object) -> bool:
        return isinstance(value, DictStore) and vars(value) | {"_is_open": 0} == vars(self) | {
            "_is_open": 0
        }

    def __hash__(self) -> int:
        return hash((self.place, self.root))

    def __reduce__(self) -> Any:
        return _restore, (self.place, self.root, self.read_only)

    def with_read_only(self, read_only: bool = False) -> Self:
        return type(self)(self.place, self.root, read_only=read_only)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        request = check_byte_range(byte_range)
        check_key(key)
        await self._ensure_open()
        data = self.values.get(self.root + key)
        if data is None:
            return None
        if request is not None and is_out_of_range(request, len(data)):
            if self.out_of_range == "raise":
                raise ByteRangeError(f"{key}: {request}", key=key, byte_range=request)
            data = b""
        start, end = resolve(request, len(data))
        return (prototype or default_buffer_prototype()).buffer.from_bytes(data[start:end])

    async def exists(self, key: str) -> bool:
        return await self.get(key) is not None

    async def set(self, key: str, value: Buffer, *, if_match: str | None = None) -> None:
        self._check_writable()
        if if_match is not None:
            self._require("compare_and_swap")
        check_key(key)
        if not hasattr(value, "as_numpy_array"):
            raise TypeError(f"{key!r}: {type(value).__name__}")
        await self._ensure_open()
        self.values[self.root + key] = bytes(as_view(value))

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        if not hasattr(value, "as_numpy_array"):
            raise TypeError(f"{key!r}: {type(value).__name__}")
        if not self.allow_racy_create:
            raise UnsupportedOperationError("not atomic without allow_racy_create")
        await super().set_if_not_exists(key, value)

    async def delete(self, key: str) -> None:
        self._check_writable()
        check_key(key)
        await self._ensure_open()
        self.values.pop(self.root + key, None)

    async def list_prefix(self, prefix: str, *, fan_out: int = 1) -> AsyncGenerator[str, None]:
        check_prefix(prefix)
        await self._ensure_open()
        for key in sorted(self.values):
            if key.startswith(self.root + prefix):
                yield key[len(self.root) :]

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        directory = directory_prefix(prefix)
        names = {
            key[len(directory) :].partition("/")[0] async for key in self.list_prefix(directory)
        }
        for name in sorted(names):
            yield name


def _restore(place: int, root: str, read_only: bool) -> DictStore:
    return DictStore(place, root, read_only=read_only)


class TestMinimal(StoreConformance):
    limits = Limits(
        atomic_create="the default checks first and then writes",
        compare_and_swap="a dictionary has no versions",
    )

    @pytest.fixture
    def make_store(self) -> Iterator[Any]:
        place = next(_numbers)

        def make(below: str = "", **options: Any) -> DictStore:
            return DictStore(place, directory_prefix(below), **options)

        yield make
        _places.pop(place, None)


def test_a_store_may_lack_operations() -> None:
    class Silent(DictStore):
        supports_listing = False
        supports_deletes = False

        def with_read_only(self, read_only: bool = False) -> Any:
            return Store.with_read_only(self, read_only)

    store = Silent(next(_numbers))
    for use in (
        lambda: store.is_empty(""),
        lambda: store.getsize_prefix(""),
        lambda: store.delete_dir(""),
        lambda: store.clear(),
        lambda: store.remove_leftovers(),
        lambda: store.get_version("a"),
        lambda: store.set("a", Buffer.from_bytes(b"x"), if_match="1"),
        lambda: store.list_sizes().asend(None),
        lambda: store.list_leftovers().asend(None),
    ):
        with pytest.raises(NotImplementedError, match="does not support"):
            use().send(None)
    with pytest.raises(NotImplementedError, match="with_read_only is not implemented"):
        store.with_read_only(True)


async def test_sizes_and_leftovers_have_defaults() -> None:
    store = DictStore(next(_numbers))
    await store.set("a/0", Buffer.from_bytes(b"0123"))
    await store.set("b", Buffer.from_bytes(b""))
    assert sorted([entry async for entry in store.list_sizes()]) == [("a/0", 4), ("b", 0)]
    assert [entry async for entry in store.list_sizes("a", fan_out=2)] == [("a/0", 4)]
    assert [entry async for entry in store.list_leftovers()] == []
    assert await store.remove_leftovers(older_than=0) == []


async def test_methods_without_the_options_of_later_releases_will_do() -> None:
    class Plain(DictStore):
        async def set(self, key: str, value: Buffer) -> None:  # type: ignore[override]
            await super().set(key, value)

        async def list_prefix(self, prefix: str) -> AsyncGenerator[str, None]:  # type: ignore[override]
            async for key in super().list_prefix(prefix):
                yield key

    def use() -> None:
        store = Plain(next(_numbers))
        store.sync.set("a/0", Buffer.from_bytes(b"0123"))
        assert [*store.sync.list()] == [*store.sync.list_prefix("a")] == ["a/0"]
        assert [*store.sync.list_sizes()] == [("a/0", 4)]
        assert store.sync.getsize_prefix("a") == 4

    await asyncio.to_thread(use)


async def test_a_key_that_is_deleted_while_sizes_are_listed_is_left_out() -> None:
    class Deleting(DictStore):
        async def getsize(self, key: str) -> int:
            self.values.pop("b", None)
            return await super().getsize(key)

    store = Deleting(next(_numbers))
    for key in ("a", "b"):
        await store.set(key, Buffer.from_bytes(key.encode()))
    assert [entry async for entry in store.list_sizes()] == [("a", 1)]
    await store.set("b", Buffer.from_bytes(b"b"))
    assert await store.getsize_prefix("") == 1


def test_it_has_the_blocking_methods() -> None:
    store = DictStore(next(_numbers))
    store.sync.set("a/0", Buffer.from_bytes(b"0123"))
    part = store.sync.get("a/0", None, RangeByteRequest(1, 3))
    assert part is not None
    assert part.to_bytes() == b"12"
    assert list(store.sync.list()) == ["a/0"]
    assert repr(store.sync) == f"{store!r}.sync"
