"""Rules of `delete`, `delete_dir` and `clear`."""

from __future__ import annotations

from .support import MakeStore, Rules, buf, listed, put, unless


class DeletingRules(Rules):
    of_writing = True

    async def test_delete(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a/b", "a/c")
        await store.delete("a/b")
        assert not await store.exists("a/b")
        assert await listed(store.list()) == ["a/c"]
        await put(store, "a/d", "e f")
        await store._delete_many(["a/c", "e f", "missing"], limit=2)
        assert await listed(store.list()) == ["a/d"]
        await store._delete_many([], limit=1)

    async def test_a_missing_key_is_not_an_error(self, make_store: MakeStore) -> None:
        store = make_store()
        await store.delete("missing")
        await put(store, "a/b")
        await store.delete("a/missing")
        await store.delete("a/b/missing")
        assert await listed(store.list()) == ["a/b"]

    async def test_delete_never_removes_keys_below(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a/b/c", "a/b/d/e")
        await store.delete("a")
        await store.delete("a/b")
        assert await listed(store.list()) == ["a/b/c", "a/b/d/e"]

    async def test_delete_takes_keys_literally(self, make_store: MakeStore) -> None:
        store = make_store()
        what = "what*" if self.limits.query_characters else "what?"
        keys = ["q[1]/x", "q1/x", "star*", "starry", what, "whats"]
        await put(store, *keys)
        for key in ("q[1]/x", "star*", what):
            await store.delete(key)
        assert await listed(store.list()) == ["q1/x", "starry", "whats"]
        await put(store, *keys)
        await store.delete_dir("q[1]")
        assert await listed(store.list_prefix("q")) == ["q1/x"]

    async def test_delete_dir(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "foo/a", "foo/b/c/d", "foo-bar/a", "foobar", "z/foo/a")
        await store.delete_dir("foo")
        assert await listed(store.list()) == ["foo-bar/a", "foobar", "z/foo/a"]
        await store.delete_dir("z/")
        assert await listed(store.list()) == ["foo-bar/a", "foobar"]

    async def test_delete_dir_of_nothing(self, make_store: MakeStore) -> None:
        store = make_store()
        await store.delete_dir("missing")
        await put(store, "key")
        await store.delete_dir("key")
        await store.delete_dir("ke")
        assert await listed(store.list()) == ["key"]

    async def test_delete_dir_of_many(self, make_store: MakeStore) -> None:
        store = make_store()
        numbers = range(self.limits.many)
        await store._set_many((f"c/{number // 50}/{number}", buf(b"x")) for number in numbers)
        await put(store, "kept")
        await store.delete_dir("c")
        assert await listed(store.list()) == ["kept"]

    async def test_clear(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "zarr.json", "a/b", "a/c/d")
        await store.clear()
        assert await listed(store.list()) == []
        assert await store.is_empty("")
        await store.clear()
        await put(store, "again")
        assert await listed(store.list()) == ["again"]

    async def test_what_was_a_prefix_may_become_a_key(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a/b/c", "d")
        await store.delete("a/b/c")
        assert await listed(store.list()) == ["d"]
        assert await store.is_empty("a")
        await put(store, "a")
        assert await listed(store.list()) == ["a", "d"]
        await put(store, "e/f")
        await store.delete_dir("e")
        await put(store, "e")
        assert await listed(store.list()) == ["a", "d", "e"]

    async def test_a_prefix_without_keys_is_not_listed(self, make_store: MakeStore) -> None:
        unless(self.limits.prefix_gone_at_once)
        store = make_store()
        await put(store, "a/b/c", "d", "e/f")
        await store.delete("a/b/c")
        await store.delete_dir("e")
        assert await listed(store.list_dir("")) == ["d"]
        assert await listed(store.list_dir("a")) == []
