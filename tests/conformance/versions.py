"""Rules of `get_version` and ``set(..., if_match=...)``, and of partial writers at once."""

from __future__ import annotations

import asyncio

import pytest

from fsspec_store.errors import ReadOnlyError, UnsupportedOperationError, VersionMismatchError

from .support import MakeStore, Rules, buf, put, read, unless


class VersionRules(Rules):
    of_writing = True

    async def test_it_states_whether_it_can_compare_and_swap(self, make_store: MakeStore) -> None:
        store = make_store()
        assert store.supports_compare_and_swap == (self.limits.compare_and_swap is None)
        if not store.supports_compare_and_swap:
            await put(store, "a")
            with pytest.raises(UnsupportedOperationError):
                await store.get_version("a")
            with pytest.raises(UnsupportedOperationError):
                await store.set("a", buf(b"new"), if_match="1")
            assert await read(store, "a") == b"a"

    async def test_a_value_with_its_version(self, make_store: MakeStore) -> None:
        unless(self.limits.compare_and_swap)
        store = make_store()
        assert await store.get_version("missing") is None
        for value in (b"", b"first"):
            await put(store, "a/b", data=value)
            found = await store.get_version("a/b")
            assert found.value.to_bytes() == value
            assert isinstance(found.version, str)
            assert (await store.get_version("a/b")).version == found.version
        await put(store, "a/b", data=b"second")
        assert (await store.get_version("a/b")).version != found.version

    async def test_only_the_version_that_was_read_is_replaced(self, make_store: MakeStore) -> None:
        unless(self.limits.compare_and_swap)
        store = make_store()
        await put(store, "a", data=b"first")
        first = (await store.get_version("a")).version
        await store.set("a", buf(b"second"), if_match=first)
        assert await read(store, "a") == b"second"
        for value in (b"third", b"", b"first"):
            with pytest.raises(VersionMismatchError, match="'a'") as caught:
                await store.set("a", buf(value), if_match=first)
            assert caught.value.key == "a"
        assert await read(store, "a") == b"second"
        await store.set("a", buf(b"third"), if_match=(await store.get_version("a")).version)
        assert await read(store, "a") == b"third"

    async def test_an_invalid_version_replaces_nothing(self, make_store: MakeStore) -> None:
        unless(self.limits.compare_and_swap)
        store = make_store()
        await put(store, "a")
        for version in ("", "*", "1", '"a', '"a", "b"', 'W/""', "é", '"a\r\nX: y"'):
            with pytest.raises(VersionMismatchError):
                await store.set("a", buf(b"new"), if_match=version)
        for number in (1, b"1"):
            with pytest.raises(TypeError, match="if_match"):
                await store.set("a", buf(b"new"), if_match=number)
        assert await read(store, "a") == b"a"

    async def test_no_version_of_a_missing_key_is_replaced(self, make_store: MakeStore) -> None:
        unless(self.limits.compare_and_swap)
        store = make_store()
        await put(store, "a")
        version = (await store.get_version("a")).version
        await store.delete("a")
        with pytest.raises(VersionMismatchError):
            await store.set("a", buf(b"again"), if_match=version)
        assert not await store.exists("a")
        with pytest.raises(ReadOnlyError):
            await make_store(read_only=True).set("a", buf(b"again"), if_match=version)

    async def test_of_many_replacements_one_wins(self, make_store: MakeStore) -> None:
        unless(self.limits.compare_and_swap)
        stores = [make_store() for _ in range(4)]
        await put(stores[0], "a", data=b"first")
        version = (await stores[0].get_version("a")).version

        async def replace(number: int) -> bytes | None:
            value = b"%d" % number * 100
            try:
                await stores[number % 4].set("a", buf(value), if_match=version)
            except VersionMismatchError:
                return None
            return value

        winners = [value for value in await asyncio.gather(*map(replace, range(8))) if value]
        assert [await read(stores[0], "a")] == winners

    @pytest.mark.parametrize("there", [True, False])
    async def test_partial_writers_at_the_same_time_lose_nothing(
        self, make_store: MakeStore, there: bool
    ) -> None:
        unless(self.limits.compare_and_swap)
        stores = [make_store() for _ in range(4)]
        if there:
            await put(stores[0], "a", data=b"\xff" * 160)

        async def write(number: int) -> None:
            part = bytes([number + 1]) * 10
            await stores[number % 4].set_partial_values([("a", number * 10, part)])

        await asyncio.gather(*map(write, range(16)))
        expected = b"".join(bytes([number + 1]) * 10 for number in range(16))
        assert await read(stores[0], "a") == expected
        for store in stores:
            await store.aclose()
