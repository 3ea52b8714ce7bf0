"""Rules of `list`, `list_prefix`, `list_dir`, `is_empty` and `getsize_prefix`."""

from __future__ import annotations

from collections.abc import Iterable

from .support import MakeStore, Rules, buf, collect, listed, put, unless

TREE = ["zarr.json", "c/0/0", "c/0/1", "c/1/0", "c.x/0", "cc", "group/a/zarr.json", "group/a/c/0"]
PREFIXES = ["", "c", "c/", "c/0", "c/0/", "c/0/1", "cc", "c.", "z"]
PREFIXES += ["group/a/", "group/a/c", "no/", "c/0/0/"]
CHILDREN: dict[str, list[str]] = {
    "": ["c", "c.x", "cc", "group", "zarr.json"],
    "c": ["0", "1"],
    "c/0": ["0", "1"],
    "group": ["a"],
    "group/a": ["c", "zarr.json"],
    "missing": [],
    "c/0/0": [],
    "grou": [],
}


def starting_with(prefix: str, keys: Iterable[str]) -> list[str]:
    return sorted(key for key in keys if key.startswith(prefix))


class ListingRules(Rules):
    async def test_an_empty_store_lists_nothing(self, make_store: MakeStore) -> None:
        store = make_store()
        assert await collect(store.list()) == []
        assert await collect(store.list_prefix("a/")) == []
        assert await collect(store.list_dir("")) == []
        assert await collect(store.list_dir("a")) == []
        assert await store.is_empty("")
        assert await store.getsize_prefix("") == 0

    async def test_list(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, *TREE)
        assert await listed(store.list()) == sorted(TREE)

    async def test_list_prefix_is_string_prefix(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, *TREE)
        for prefix in PREFIXES:
            assert await listed(store.list_prefix(prefix)) == starting_with(prefix, TREE)

    async def test_a_prefix_may_be_the_dots_that_a_name_begins_with(
        self, make_store: MakeStore
    ) -> None:
        unless(self.limits.hidden_names)
        tree = [".zattrs", "..b", "a/.zarray", "a/..c/d", "a/b", "b"]
        store = make_store()
        await put(store, *tree)
        for prefix in (".", "..", "a/.", "a/..", "a/.z"):
            assert await listed(store.list_prefix(prefix)) == starting_with(prefix, tree)

    async def test_listing_prefixes_side_by_side_changes_nothing(
        self, make_store: MakeStore
    ) -> None:
        store = make_store()
        await put(store, *TREE)
        for prefix in ("", "c", "c/", "c/0/1", "group", "no/"):
            expected = starting_with(prefix, TREE)
            assert await listed(store.list_prefix(prefix, fan_out=3)) == expected
            if not prefix or prefix.endswith("/"):
                size = sum(len(key) for key in expected)
                assert await store.getsize_prefix(prefix, fan_out=3) == size

    async def test_list_dir(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, *TREE)
        for prefix, children in CHILDREN.items():
            assert await listed(store.list_dir(prefix)) == children
            if prefix:
                assert await listed(store.list_dir(prefix + "/")) == children

    async def test_a_key_beside_keys_below_it_is_listed_once(self, make_store: MakeStore) -> None:
        unless(self.limits.key_beside_children)
        store = make_store()
        await put(store, "a", "a/b", "a/c/d")
        assert await listed(store.list_dir("")) == ["a"]
        assert await listed(store.list()) == ["a", "a/b", "a/c/d"]
        assert await listed(store.list_dir("a")) == ["b", "c"]

    async def test_many_keys_are_listed_once_each(self, make_store: MakeStore) -> None:
        store = make_store()
        keys = [f"c/{number}" for number in range(self.limits.many)]
        await store._set_many((key, buf(b"xy")) for key in keys)
        assert await listed(store.list()) == sorted(keys)
        assert await listed(store.list_dir("c")) == sorted(key[2:] for key in keys)
        assert await store.getsize_prefix("c") == 2 * len(keys)

    async def test_a_listing_may_be_left_early(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, *TREE)
        listing = store.list()
        assert await anext(listing) in TREE
        await listing.aclose()
        assert await listed(store.list()) == sorted(TREE)

    async def test_is_empty(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "foo/bar")
        assert not await store.is_empty("")
        assert not await store.is_empty("foo")
        assert not await store.is_empty("foo/")
        assert await store.is_empty("fo")
        assert await store.is_empty("foo/bar")
        assert await store.is_empty("spam/")

    async def test_getsize_prefix(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "c/0", "c/1/x", "cc/0", "d", data=b"0123")
        assert await store.getsize_prefix("c") == 8
        assert await store.getsize_prefix("c/") == 8
        assert await store.getsize_prefix("") == 16
        assert await store.getsize_prefix("missing") == 0

    async def test_stores_see_only_what_is_below_their_root(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "sub/a", "sub-way/b", "c")
        below = make_store(below="sub")
        assert await listed(below.list()) == ["a"]
        assert await listed(below.list_dir("")) == ["a"]
        assert await below.exists("a")
        assert not await below.exists("c")
        await put(below, "new/d")
        assert await store.exists("sub/new/d")
        await below.clear()
        assert await listed(store.list()) == ["c", "sub-way/b"]
