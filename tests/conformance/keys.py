"""Rules of keys: which are refused, and that all others are kept as they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsspec_store.errors import InvalidKeyError

from .support import MakeStore, Rules, buf, listed, put, read, run_property, unless

REFUSED: list[Any] = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    "//",
    ".",
    "..",
    "./a",
    "../a",
    "a/./b",
    "a/../b",
    "a/..",
    "a\0b",
    "\ud800",
    None,
    0,
    b"a",
    ("a",),
]

#: By the characters that a service may not support.
UNUSUAL = {
    "supported by all": [
        "with space",
        " leading and trailing ",
        "per%cent%20encoded%2F",
        "plus+plus",
        "hash#tag",
        "amp&and=equals",
        "star*",
        "br[ack]et[1]",
        "{cur}ly",
        "quote'double\"",
        "at@sign$dollar!",
        "comma,tilde~",
        "pipe|caret^",
        "<angle>",
        "ünïcödé",
        "e\u0301 and \u00e9",
        "日本語/キー",
        "🧊",
        "-dash",
        "file:name",
        "s3:",
        "a" * 255,
    ],
    "query": ["question?mark", "semi;colon:colon"],
    "version": ["v?versionId=1"],
    "backslash": ["back\\slash"],
    "dot at the beginning": [".hidden", "..double"],
    "dot at the end": ["trailing."],
    "dots": ["..."],
}

segments = st.text(
    st.characters(codec="utf-8", exclude_characters="\0/", exclude_categories=["Cc", "Cn", "Cs"]),
    min_size=1,
    max_size=12,
).filter(lambda segment: segment not in (".", ".."))
keys = st.lists(segments, min_size=1, max_size=4).map("/".join)


class KeyRules(Rules):
    async def test_a_bad_key_is_refused(self, make_store: MakeStore) -> None:
        store = make_store()
        value = buf(b"x")
        for key in REFUSED:
            for use in (
                store.get(key),
                store.exists(key),
                store.getsize(key),
                store.set(key, value),
                store.set_if_not_exists(key, value),
                store.set_partial_values([("good", 0, b"x"), (key, 0, b"x")]),
                store.get_partial_values(None, [(key, None)]),
                store.delete(key),
                anext(aiter(store.get_ranges(key, [None]))),
                anext(aiter(store.get_ranges(key, []))),
            ):
                with pytest.raises(InvalidKeyError) as caught:
                    await use
                assert isinstance(caught.value, ValueError)
                assert repr(key) in str(caught.value)
        assert await listed(store.list()) == []

    async def test_a_bad_prefix_is_refused(self, make_store: MakeStore) -> None:
        store = make_store()
        prefixes: list[Any] = ["/", "/a", "a//", "../", "a/../", "./a", "\0", None, 3]
        for prefix in prefixes:
            for use in (
                anext(store.list_prefix(prefix)),
                anext(store.list_dir(prefix)),
                store.is_empty(prefix),
                store.getsize_prefix(prefix),
                store.delete_dir(prefix),
            ):
                with pytest.raises(InvalidKeyError):
                    await use

    @pytest.mark.parametrize("keys", UNUSUAL.values(), ids=UNUSUAL)
    async def test_unusual_keys_are_kept(self, make_store: MakeStore, keys: list[str]) -> None:
        first = keys[0]
        unless(self.limits.backslash if "\\" in first else None)
        unless(self.limits.trailing_dot if first.endswith(".") else None)
        unless(self.limits.query_characters if {"?", ";"} & set(first) else None)
        if self.limits.version_in_key and "?versionId=" in first:
            with pytest.raises(InvalidKeyError, match="versionId"):
                await put(make_store(), first)
            unless(self.limits.version_in_key)
        store = make_store()
        below = {key: f"{number}/{key}" for number, key in enumerate(keys)}
        names = [*keys, *(f"{prefix}/b" for prefix in below.values())]
        for name in names:
            await put(store, name)
            assert await read(store, name) == name.encode()
            assert await store.exists(name)
            assert await store.getsize(name) == len(name.encode())
        unless(self.limits.hidden_names if first.startswith(".") else None)
        assert await listed(store.list()) == sorted(names)
        for number, (key, prefix) in enumerate(below.items()):
            assert await listed(store.list_dir(str(number))) == [key.partition("/")[0]]
            assert await listed(store.list_prefix(prefix)) == [f"{prefix}/b"]
            await store.delete(key)
            await store.delete_dir(prefix)
        assert await listed(store.list()) == []

    async def test_keys_that_look_alike_are_different(self, make_store: MakeStore) -> None:
        store = make_store()
        alike = ["v", "a b", "a+b", "a%20b", "A b", "é", "e\u0301"]
        if not (self.limits.version_in_key or self.limits.query_characters):
            alike.append("v?versionId=1")
        await put(store, *alike)
        for key in alike:
            assert await read(store, key) == key.encode()
        assert await listed(store.list()) == sorted(alike)

    async def test_a_key_of_1000_characters(self, make_store: MakeStore) -> None:
        store = make_store()
        key = "/".join(["twenty-four-characters-"] * 41) + "/" + "e" * 16
        assert len(key) == 1000
        await put(store, key)
        assert await read(store, key) == key.encode()
        assert await listed(store.list()) == [key]

    async def test_a_segment_of_300_bytes(self, make_store: MakeStore) -> None:
        store = make_store()
        key = "c/" + "n" * 300
        if self.limits.long_names:
            for write in (store.set, store.set_if_not_exists):
                with pytest.raises(InvalidKeyError, match="n" * 300):
                    await write(key, buf(b"x"))
            assert await listed(store.list()) == []
        unless(self.limits.long_names)
        await put(store, key)
        assert await read(store, key) == key.encode()

    async def test_a_key_beside_keys_below_it(self, make_store: MakeStore) -> None:
        unless(self.limits.key_beside_children)
        store = make_store()
        await put(store, "a/b", "a", "a/b/c")
        for key in ("a", "a/b", "a/b/c"):
            assert await read(store, key) == key.encode()
            assert await store.exists(key)
        assert await listed(store.list()) == ["a", "a/b", "a/b/c"]
        await store.delete("a/b")
        assert await listed(store.list()) == ["a", "a/b/c"]
        await store.delete_dir("a")
        assert await listed(store.list()) == ["a"]

    def _can_hold(self, key: str) -> bool:
        backslash = self.limits.backslash and "\\" in key
        hidden = self.limits.hidden_names and "/." in "/" + key
        dotted = self.limits.trailing_dot and "./" in key + "/"
        query = self.limits.query_characters and {"?", ";"} & set(key)
        return not (backslash or hidden or dotted or query)

    async def test_any_key_round_trips(self, make_store: MakeStore) -> None:
        store = make_store()

        @settings(max_examples=self.limits.examples // 2)
        @given(keys.filter(self._can_hold))
        async def check(key: str) -> None:
            await put(store, key)
            try:
                assert await read(store, key) == key.encode()
                assert await listed(store.list()) == [key]
                children = await listed(store.list_dir(""))
                if self.limits.prefix_gone_at_once:
                    assert key.partition("/")[0] in children
                else:
                    assert children == [key.partition("/")[0]]
            finally:
                await store.delete(key)
            assert await store.get(key) is None

        await run_property(check)
