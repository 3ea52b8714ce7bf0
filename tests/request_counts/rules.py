"""The rules: no operation takes more requests than it needs, from a store's very first on.

A test class inherits the rules that its service can keep, and a class of `proxied`: the fixtures
``proxy`` and ``make_store``. A new store is made for each operation that is counted, since a store
may remember what an earlier request has shown.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pytest
from conformance.support import MakeStore, buf, collect, content, listed, read, unless
from servers.fault_proxy import FaultProxy

from fsspec_store import FsspecStore, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from fsspec_store.errors import ByteRangeError, VersionMismatchError

from .counting import counting, methods, query

DATA = b"0123456789"

Use: TypeAlias = Callable[[FsspecStore], Awaitable[Any]]


@dataclass(frozen=True)
class Protocol:
    """What a service's protocol settles; reasons are given where it takes more than one request.

    Parameters
    ----------
    page_keys : int
        Keys on a page of a listing, where no number is asked for.
    page_size : str
        The query's parameter that asks for one.
    batch_keys : int
        Keys that one request deletes, at most.
    crowd : int
        Keys enough for several batches, and for several pages where those are not too long.
    disconnects : str, optional
        Why a connection serves for one request only.
    head_misses_disconnect : str, optional
        Why a connection ends with a HEAD for a missing key.
    no_suffixes : str, optional
        Why the last bytes of a value take two requests.
    misses_say_little : str, optional
        Why a store's first miss is followed by a question for the bucket.
    order : {"probed", "stated", "by folder"}
        Whether the service lists in the order of keys, and a request shows it; whether its
        documentation states it, and no listing begins after a key; or whether it lists otherwise.
    """

    page_keys: int = 1000
    page_size: str = ""
    batch_keys: int = 1000
    crowd: int = 2100
    disconnects: str | None = None
    head_misses_disconnect: str | None = None
    no_suffixes: str | None = None
    misses_say_little: str | None = None
    order: Literal["probed", "stated", "by folder"] = "probed"


async def size_of(store: FsspecStore, key: str) -> int:
    """Its size as its entry has it."""
    return (await store.get_entry(key)).size


async def level_of(store: FsspecStore, prefix: str) -> dict[str, int | None]:
    """The sizes of the keys directly below a prefix, and its prefixes."""
    found = await collect(store.list_dir_entries(prefix))
    return {name: None if entry is None else entry.size for name, entry in found}


class Rules:
    """Base of the rules."""

    protocol = Protocol()

    #: As of the classes in `proxied`.
    fill: Callable[[MakeStore, Mapping[str, bytes]], Awaitable[None]]

    @property
    def first_miss(self) -> int:
        """Requests of the first operation of a store, where that finds nothing."""
        return 2 if self.protocol.misses_say_little else 1


class ReadingRules(Rules):
    @pytest.mark.parametrize(
        ("request_", "expected"),
        [
            (None, DATA),
            (RangeByteRequest(2, 5), DATA[2:5]),
            (RangeByteRequest(5, 100), DATA[5:]),
            (OffsetByteRequest(0), DATA),
            (OffsetByteRequest(7), DATA[7:]),
            (SuffixByteRequest(3), DATA[-3:]),
            (SuffixByteRequest(100), DATA),
        ],
        ids=repr,
    )
    async def test_a_read_is_one_request(
        self, make_store: MakeStore, proxy: FaultProxy, request_: Any, expected: bytes
    ) -> None:
        await self.fill(make_store, {"a/b": DATA})
        store = make_store()
        twice = isinstance(request_, SuffixByteRequest) and self.protocol.no_suffixes
        for _ in range(2):
            with counting(proxy, store) as seen:
                assert await read(store, "a/b", request_) == expected
            assert len(seen) == (2 if twice else 1)

    async def test_a_stream_of_one_part_is_one_request(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        await self.fill(make_store, {"a/b": DATA})
        store = make_store()
        for start in (0, 7):
            with counting(proxy, store) as seen:
                async with store.open_reader("a/b", start=start) as reader:
                    parts = [part.to_bytes() async for part in reader]
            assert b"".join(parts) == DATA[start:]
            assert methods(seen) == ["GET"]

    @pytest.mark.parametrize("request_", [RangeByteRequest(10, 12), OffsetByteRequest(11)])
    async def test_a_read_past_the_end_is_one_request(
        self, make_store: MakeStore, proxy: FaultProxy, request_: Any
    ) -> None:
        await self.fill(make_store, {"a": DATA})
        store = make_store()
        with counting(proxy, store) as seen, pytest.raises(ByteRangeError):
            await read(store, "a", request_)
        assert methods(seen) == ["GET"]

    async def test_a_look_at_a_key_is_one_request(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        await self.fill(make_store, {"a": DATA})
        looks: list[tuple[Use, object]] = [
            (lambda store: store.exists("a"), True),
            (lambda store: store.getsize("a"), len(DATA)),
            (lambda store: size_of(store, "a"), len(DATA)),
        ]
        for look, expected in looks:
            store = make_store()
            for _ in range(2):
                with counting(proxy, store) as seen:
                    assert await look(store) == expected
                assert len(seen) == 1

    @pytest.mark.parametrize("request_", [None, RangeByteRequest(0, 1), SuffixByteRequest(1)])
    async def test_a_read_of_a_missing_key_is_one_request(
        self, make_store: MakeStore, proxy: FaultProxy, request_: Any
    ) -> None:
        await self.fill(make_store, {"a": DATA})
        store = make_store()
        for expected in (self.first_miss, 1):
            with counting(proxy, store) as seen:
                assert await read(store, "missing", request_) is None
            assert len(seen) == expected

    async def test_a_look_for_a_missing_key_is_one_request(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        await self.fill(make_store, {"a": DATA})
        store = make_store()
        for expected in (self.first_miss, 1):
            with counting(proxy, store) as seen:
                assert not await store.exists("missing")
            assert len(seen) == expected
        store = make_store()
        with counting(proxy, store) as seen, pytest.raises(FileNotFoundError):
            await store.getsize("missing")
        assert len(seen) == self.first_miss

    async def test_near_ranges_of_a_key_are_one_request(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        data = content(100_000)
        await self.fill(make_store, {"a": data})
        starts = range(0, len(data), 1000)
        requests = [RangeByteRequest(start, start + 10) for start in starts]
        expected = [data[start : start + 10] for start in starts]
        store = make_store()
        with counting(proxy, store) as seen:
            values = await store.get_partial_values(None, [("a", request) for request in requests])
        assert [value and value.to_bytes() for value in values] == expected
        assert len(seen) == 1
        with counting(proxy, store) as seen:
            batches = await collect(store.get_ranges("a", requests))
        found = sorted((place, part.to_bytes()) for batch in batches for place, part in batch)
        assert found == list(enumerate(expected))
        assert len(seen) == 1

    async def test_ranges_of_several_keys_are_one_request_a_key(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        keys = [f"c/{number}" for number in range(10)]
        await self.fill(make_store, dict.fromkeys(keys, DATA))
        store = make_store()
        parts = [RangeByteRequest(0, 2), RangeByteRequest(1, 3), RangeByteRequest(7, 9)]
        wanted = [(key, part) for part in parts for key in keys]
        with counting(proxy, store) as seen:
            values = await store.get_partial_values(None, wanted)
        assert [value and value.to_bytes() for value in values] == [
            DATA[part.start : part.end] for _, part in wanted
        ]
        assert len(seen) == len(keys)
        with counting(proxy, store) as seen:
            many = dict(await collect(store._get_many((key, None, None) for key in keys)))
        assert {key: value and value.to_bytes() for key, value in many.items()} == dict.fromkeys(
            keys, DATA
        )
        assert len(seen) == len(keys)

    async def test_a_connection_serves_again(
        self, make_store: MakeStore, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unless(self.protocol.disconnects)
        await self.fill(make_store, {"a": DATA})
        loop = asyncio.get_running_loop()
        connect, made = loop.create_connection, 0

        async def connecting(*args: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            return await connect(*args, **options)

        monkeypatch.setattr(loop, "create_connection", connecting)
        store = make_store()
        with counting(proxy, store) as seen:
            for _ in range(5):
                assert await read(store, "a") == DATA
                assert await read(store, "missing") is None
                assert await store.exists("a")
        assert len(seen) >= 15
        assert made <= 1
        if not self.protocol.head_misses_disconnect:
            for _ in range(5):
                assert not await store.exists("missing")
            assert made <= 1
        await asyncio.gather(*(read(store, "a") for _ in range(8)))
        # As many as there were requests at the same time.
        assert made <= 8


class WritingRules(Rules):
    async def test_a_write_is_one_request(self, make_store: MakeStore, proxy: FaultProxy) -> None:
        for data in (DATA, b"", content(300_000)):
            store = make_store()
            for _ in range(2):
                with counting(proxy, store) as seen:
                    await store.set("a/b", buf(data))
                assert len(seen) == 1
            assert await read(store, "a/b") == data

    async def test_a_writer_of_one_part_sends_one_request(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        for data in (DATA, b"", content(300_000)):
            store = make_store()
            with counting(proxy, store) as seen:
                async with store.open_writer("a/b") as writer:
                    await writer.write(data)
                    await writer.write(b"")
                    assert seen == []
                    await writer.finish()
            assert len(seen) == 1
            assert await read(store, "a/b") == data
            with counting(proxy, store) as seen:
                async with store.open_writer("a/b") as writer:
                    await writer.write(data)
            assert seen == []

    async def test_a_creation_is_one_request_once_the_service_is_known(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        # A service that speaks S3 may ignore conditions: it is asked once for a process.
        await make_store().set_if_not_exists("first", buf(DATA))
        for data, left in ((b"one", b"one"), (b"two", b"one")):
            store = make_store()
            with counting(proxy, store) as seen:
                await store.set_if_not_exists("a", buf(data))
            assert len(seen) == 1
            assert await read(store, "a") == left

    async def test_a_replacement_is_one_read_and_one_write(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        await make_store().set_if_not_exists("a", buf(DATA))
        store = make_store()
        with counting(proxy, store) as seen:
            found = await store.get_version("a")
        assert found is not None
        assert len(seen) == 1
        store = make_store()
        with counting(proxy, store) as seen:
            await store.set("a", buf(b"new"), if_match=found.version)
        assert len(seen) == 1
        with counting(proxy, store) as seen, pytest.raises(VersionMismatchError):
            await store.set("a", buf(b"newer"), if_match=found.version)
        assert len(seen) == 1
        assert await read(store, "a") == b"new"
        store = make_store()
        with counting(proxy, store) as seen:
            assert await store.get_version("missing") is None
        assert len(seen) == self.first_miss

    async def test_a_deletion_is_one_request(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        await self.fill(make_store, {"a": DATA, "b": DATA})
        store = make_store()
        with counting(proxy, store) as seen:
            await store.delete("a")
        assert methods(seen) == ["DELETE"]
        store = make_store()
        for expected in (self.first_miss, 1):
            with counting(proxy, store) as seen:
                await store.delete("missing")
            assert len(seen) == expected
        assert await listed(store.list()) == ["b"]


class ListingRules(Rules):
    async def put_markers(self, make_store: MakeStore, *folders: str) -> None:
        """Put objects that stand for folders, below the stores' root."""
        raise NotImplementedError

    async def test_a_listing_is_one_request_a_page_and_a_batch_deletes_beside_the_next(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        crowd, page_keys = self.protocol.crowd, self.protocol.page_keys
        names = [str(number) for number in range(crowd)]
        keys = [f"crowd/{name}" for name in names]
        await self.fill(make_store, {"other": DATA, **dict.fromkeys(keys, b"xy")})
        some = [key for key in keys if key.startswith("crowd/1")]
        listings: list[tuple[Use, object, int]] = [
            (lambda store: listed(store.list()), sorted([*keys, "other"]), crowd + 1),
            (lambda store: listed(store.list_prefix("crowd/1")), sorted(some), len(some)),
            (lambda store: listed(store.list_dir("crowd")), sorted(names), crowd),
            (lambda store: listed(store.list_dir("")), ["crowd", "other"], 2),
            (lambda store: level_of(store, ""), {"crowd": None, "other": len(DATA)}, 2),
            (lambda store: level_of(store, "crowd"), dict.fromkeys(names, 2), crowd),
            (lambda store: store.getsize_prefix("crowd"), 2 * crowd, crowd),
            (lambda store: listed(store.list_prefix("nothing")), [], 1),
        ]
        whole = (None, [str(page_keys)])
        for use, expected, size in listings:
            store = make_store()
            with counting(proxy, store) as seen:
                assert await use(store) == expected
            assert methods(seen) == ["GET"] * -(-size // page_keys)
            assert all(query(request).get(self.protocol.page_size) in whole for request in seen)
        store = make_store()
        with counting(proxy, store) as seen:
            await store.delete_dir("crowd")
        pages = [min(page_keys, crowd - start) for start in range(0, crowd, page_keys)]
        # A page is cut into batches: the last of each may be a small one.
        batches = sum(-(-keys // self.protocol.batch_keys) for keys in pages)
        sent = methods(seen)
        assert Counter(sent) == {"GET": len(pages), "POST": batches}
        # The first is deleted before the last is listed.
        last_page = max(place for place, method in enumerate(sent) if method == "GET")
        # One page is asked for ahead.
        assert len(pages) <= 2 or sent.index("POST") < last_page
        assert await listed(store.list()) == ["other"]

    async def test_entries_are_one_request_a_page_and_one_for_the_order(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        crowd, order = self.protocol.crowd, self.protocol.order
        keys = sorted(f"crowd/{number}" for number in range(crowd))
        await self.fill(make_store, dict.fromkeys(keys, b"xy"))
        pages = -(-crowd // self.protocol.page_keys)
        store = make_store()
        probes = 0 if order == "stated" else 1
        for requests in (pages + probes, pages + (order == "by folder")):
            with counting(proxy, store) as seen:
                found = await collect(store.list_entries())
            assert [entry.key for entry in found] == keys
            assert len(seen) == requests
            assert store.lists_in_order == (order != "by folder")
        requests = {"probed": 1, "stated": pages, "by folder": pages + 1}[order]
        with counting(proxy, store) as seen:
            found = await collect(store.list_entries(start_after=keys[-3]))
        assert [entry.key for entry in found] == keys[-2:]
        assert len(seen) == requests

    async def test_a_key_alone_is_deleted_by_itself(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        await self.fill(make_store, {"c/a": DATA})
        store = make_store()
        with counting(proxy, store) as seen:
            await store.delete_dir("c")
        assert len(seen) == 2
        with counting(proxy, store) as seen:
            await store.delete_dir("c")
        assert len(seen) == 1

    async def test_emptiness_is_one_page_of_one_key(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        await self.fill(make_store, {"c/a": DATA, "c/b/c": DATA, "d": DATA})
        for prefix, expected in (("", False), ("c", False), ("c/b", False), ("nothing", True)):
            store = make_store()
            with counting(proxy, store) as seen:
                assert await store.is_empty(prefix) is expected
            assert [query(request)[self.protocol.page_size] for request in seen] == [["1"]]

    async def test_markers_of_folders_are_passed_over_by_a_second_page(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        await self.put_markers(make_store, "full/", "empty/", "empty/a/", "empty/b/")
        await self.fill(make_store, {"full/a": DATA})
        for prefix, expected in (("full", False), ("empty", True)):
            store = make_store()
            with counting(proxy, store) as seen:
                assert await store.is_empty(prefix) is expected
            sizes = [query(request).get(self.protocol.page_size) for request in seen]
            # The second is a whole page: there may be as many markers as keys.
            whole = [str(self.protocol.page_keys)]
            assert sizes in ([["1"], None], [["1"], whole])
