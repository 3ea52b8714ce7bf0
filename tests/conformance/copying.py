"""Rules of `copy_from`: within a store, between stores of one service, and from another service."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from fsspec_store import FsspecStore
from fsspec_store.errors import (
    InvalidKeyError,
    KeyNotFoundError,
    ReadOnlyError,
    UnsupportedOperationError,
    VersionMismatchError,
)

from .support import MakeStore, Rules, content, listed, put, read, unless

SPECIAL = [
    "with space",
    "per%cent%20encoded%2F",
    "plus+plus",
    "question?mark",
    "hash#tag",
    "amp&and=equals",
    "ünïcödé/日本語",
    "🧊",
    "quote'double\"",
]


class CopyRules(Rules):
    of_writing = True

    @pytest.mark.parametrize("size", [0, 1, 300 * 2**10, 9 * 2**20 + 1])
    async def test_a_copy_has_the_same_bytes(self, make_store: MakeStore, size: int) -> None:
        store, data = make_store(), content(size)
        await put(store, "a/b", data=data)
        await store.copy_from(store, "a/b", "c/d/e")
        assert await read(store, "c/d/e") == data
        assert await read(store, "a/b") == data

    async def test_a_copy_is_not_changed_with_its_source(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a", data=b"first")
        await put(store, "b", data=b"a longer value that is replaced")
        await store.copy_from(store, "a", "b")
        assert await read(store, "b") == b"first"
        await put(store, "a", data=b"second")
        assert await read(store, "b") == b"first"
        await store.copy_from(store, "a", "b")
        assert await read(store, "b") == b"second"

    async def test_a_copy_between_two_roots_of_a_service(self, make_store: MakeStore) -> None:
        source, target = make_store("one"), make_store("two/three")
        await put(source, "a/b")
        await target.copy_from(source, "a/b")
        assert await read(target, "a/b") == b"a/b"
        assert await listed(target.list()) == ["a/b"]
        assert await listed(source.list()) == ["a/b"]

    async def test_a_copy_from_another_service(self, make_store: MakeStore) -> None:
        source = FsspecStore.from_url(f"memory://{uuid4()}")
        store, data = make_store(), content(300 * 2**10)
        await put(source, "a", data=data)
        await store.copy_from(source, "a", "b/c")
        assert await read(store, "b/c") == data
        await source.copy_from(store, "b/c", "back")
        assert await read(source, "back") == data
        version = (await source.get_version("a")).version
        await store.copy_from(source, "a", "b/d", version=version)
        with pytest.raises(VersionMismatchError):
            await store.copy_from(source, "a", "b/e", version="another")
        with pytest.raises(KeyNotFoundError):
            await store.copy_from(source, "missing", "b/e")
        assert await listed(store.list()) == ["b/c", "b/d"]

    @pytest.mark.parametrize("key", SPECIAL)
    async def test_keys_are_copied_literally(self, make_store: MakeStore, key: str) -> None:
        if "?" in key:
            unless(self.limits.query_characters)
        store = make_store()
        await put(store, f"from/{key}", data=key.encode())
        await store.copy_from(store, f"from/{key}", "plain")
        await store.copy_from(store, "plain", f"to/{key}")
        assert await read(store, f"to/{key}") == key.encode()
        assert await listed(store.list()) == sorted([f"from/{key}", "plain", f"to/{key}"])

    async def test_a_missing_key_is_not_copied(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a", "folder/b")
        for key in ("missing", "folder", "a/below"):
            for to in ("a", "new/c", None):
                with pytest.raises(KeyNotFoundError) as caught:
                    await store.copy_from(store, key, to)
                assert caught.value.key == key
        assert await read(store, "a") == b"a"
        assert await listed(store.list()) == ["a", "folder/b"]
        assert await listed(store.list_dir("")) == ["a", "folder"]

    async def test_a_copy_onto_itself_changes_nothing(self, make_store: MakeStore) -> None:
        store, above = make_store("a"), make_store()
        await put(store, "b/c", data=b"value")
        await store.copy_from(store, "b/c")
        await store.copy_from(store, "b/c", "b/c")
        await store.copy_from(above, "a/b/c", "b/c")
        assert await read(store, "b/c") == b"value"

    async def test_only_the_version_that_is_named_is_copied(self, make_store: MakeStore) -> None:
        store = make_store()
        await put(store, "a", data=b"first")
        if self.limits.compare_and_swap:
            with pytest.raises(UnsupportedOperationError):
                await store.copy_from(store, "a", "b", version="1")
            assert await listed(store.list()) == ["a"]
        unless(self.limits.compare_and_swap)
        first = (await store.get_version("a")).version
        await store.copy_from(store, "a", "b", version=first)
        await store.copy_from(store, "a", version=first)
        assert await read(store, "b") == b"first"
        await put(store, "a", data=b"second")
        for version in (first, "", "*", "1", '"a"', "é", '"a\r\nX: y"'):
            for to in ("b", "new", "a"):
                with pytest.raises(VersionMismatchError, match="'a'") as caught:
                    await store.copy_from(store, "a", to, version=version)
                assert caught.value.key == "a"
        with pytest.raises(KeyNotFoundError):
            await store.copy_from(store, "missing", "b", version=first)
        assert await read(store, "b") == b"first"
        assert await listed(store.list()) == ["a", "b"]

    async def test_what_cannot_be_copied_is_refused(self, make_store: MakeStore) -> None:
        store, other = make_store(), FsspecStore.from_url(f"memory://{uuid4()}")
        await put(store, "a")
        await put(other, "a")
        refused: list[tuple[type[Exception], Any, tuple[Any, ...], dict[str, Any]]] = [
            (ReadOnlyError, make_store(read_only=True), ("a", "b"), {}),
            (InvalidKeyError, store, ("../a", "b"), {}),
            (InvalidKeyError, store, ("a", "b/../../c"), {}),
            (InvalidKeyError, store, ("a", ""), {}),
            (InvalidKeyError, store, ("", None), {}),
            (TypeError, store, ("a", "b"), {"version": 1}),
        ]
        for error, target, keys, options in refused:
            for source in (store, other):
                with pytest.raises(error):
                    await target.copy_from(source, *keys, **options)
        assert await listed(store.list()) == ["a"]

    async def test_a_copy_without_await(self, make_store: MakeStore) -> None:
        store, other = make_store(), FsspecStore.from_url(f"memory://{uuid4()}")
        await put(store, "a")
        await store.aclose()
        store.sync.copy_from(store, "a", "b")
        store.sync.copy_from(store, "b", "c")
        other.sync.copy_from(store, "c", "d")
        assert other.sync.get("d").to_bytes() == b"a"
        with pytest.raises(KeyNotFoundError):
            store.sync.copy_from(store, "missing")
        store.sync.close()
