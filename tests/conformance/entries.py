"""Rules of `list_entries`."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pickle import dumps, loads

import pytest

from fsspec_store._backends.checksums import ALGORITHMS
from fsspec_store.contract import Entry

from .listing import TREE
from .support import Limits, MakeStore, Rules, buf, collect, put

#: In the order of their bytes. Characters before "/", and two whose order is another in UTF-16.
ORDERED = [
    "a b",
    "a!b/c",
    "a#b",
    "a$b/c",
    "a%b",
    "a&b/c",
    "a'b",
    "a(b)c",
    "a+b/c",
    "a,b",
    "a-b",
    "a-b-c/d",
    "a.b/c",
    "a/b",
    "a/b-c/d",
    "a/b.c",
    "a/b0/c",
    "a/c",
    "a0",
    "aa/b",
    "b/c/d/e",
    "b/c0/d",
    "é/a",
    "\uff5e",
    "\U0001f600",
]
#: The same for a service where a key may be the beginning of others.
NESTED = ["a", "a-", "a-b", "a/b", "a/b-", "a/b/c", "aa"]


class EntryRules(Rules):
    async def test_an_entry_has_what_the_service_lists(self, make_store: MakeStore) -> None:
        store = make_store()
        values = {"empty": b"", "a/b": b"0123456789", "a/c": b"x" * 70_000}
        for key, value in values.items():
            await store.set(key, buf(value))
        found = {entry.key: entry async for entry in store.list_entries()}
        assert found.keys() == values.keys()
        level = sorted(await collect(store.list_dir_entries("")), key=itemgetter(0))
        assert level == [("a", None), ("empty", found["empty"])]
        level = sorted(await collect(store.list_dir_entries("a/")), key=itemgetter(0))
        assert level == [("b", found["a/b"]), ("c", found["a/c"])]
        assert await collect(store.list_dir_entries("no")) == []
        for key, value in values.items():
            # The response for one key may state more than the listing, and in other units of time.
            one = await store.get_entry(key)
            assert (one.key, one.size) == (key, len(value))
            assert one.version in (found[key].version, None) or found[key].version is None
            assert (one.modified is None) or one.modified.tzinfo is UTC
            entry = found[key]
            assert isinstance(entry, Entry)
            assert loads(dumps(entry)) == entry
            assert entry.size == len(value)
            if entry.modified is not None:
                assert entry.modified.tzinfo is UTC
                # A server may have another clock.
                assert abs(datetime.now(UTC) - entry.modified) < timedelta(days=1)
            if entry.version is not None and store.supports_compare_and_swap:
                assert entry.version == (await store.get_version(key)).version
            for name, digest in entry.checksums.items():
                algorithm = hashlib.new(name) if name == "md5" else ALGORITHMS[name]()
                algorithm.update(memoryview(value))
                assert digest == algorithm.digest()

    @pytest.mark.parametrize("prefix", ["", "c", "c/", "c/0/1", "cc", "z", "group/a/", "no/"])
    async def test_entries_are_those_of_list_sizes(
        self, make_store: MakeStore, prefix: str
    ) -> None:
        store = make_store()
        await put(store, *TREE)
        sizes = dict(await collect(store.list_sizes(prefix)))
        found = await collect(store.list_entries(prefix))
        assert [entry.key for entry in found] == sorted(sizes)
        assert all(sizes[entry.key] in (entry.size, None) for entry in found)
        assert all(entry.size == len(entry.key) for entry in found)

    async def test_entries_are_in_the_order_of_their_bytes(self, make_store: MakeStore) -> None:
        store = make_store()
        keys = _keys(self.limits)
        await put(store, *reversed(keys))
        for prefix in ("", "a", "a/", "a-", "a/b", "é"):
            expected = [key for key in keys if key.startswith(prefix)]
            for _ in range(2):
                found = await collect(store.list_entries(prefix))
                assert [entry.key for entry in found] == expected

    async def test_entries_after_a_key(self, make_store: MakeStore) -> None:
        store = make_store()
        keys = _keys(self.limits)
        await put(store, *keys)
        afters = ["", " ", "a", "a-", "a-b", "a.", "a/", "a/b", "a/b-c/d", "b/c/", "\uff5e", "zz"]
        for after in afters:
            for prefix in ("", "a/", "z"):
                found = await collect(store.list_entries(prefix, start_after=after))
                expected = [key for key in keys if key > after and key.startswith(prefix)]
                assert [entry.key for entry in found] == expected

    async def test_many_entries_are_in_order_too(self, make_store: MakeStore) -> None:
        store = make_store()
        keys = sorted(
            f"{folder}/{number}"
            for number in range(self.limits.many // 3 + 1)
            for folder in ("c", "c-", "c/d")
        )
        await store._set_many((key, buf(b"xy")) for key in keys)
        for after in ("", keys[-3], keys[0], keys[len(keys) // 2]):
            found = await collect(store.list_entries(start_after=after))
            assert [entry.key for entry in found] == [key for key in keys if key > after]

    async def test_entries_of_an_empty_store(self, make_store: MakeStore) -> None:
        store = make_store()
        assert await collect(store.list_entries()) == []
        assert await collect(store.list_entries("a/", start_after="a/b")) == []


def _keys(limits: Limits) -> list[str]:
    return sorted(ORDERED if limits.key_beside_children else {*ORDERED, *NESTED})
