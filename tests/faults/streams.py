"""Rules of streams when the service fails within a part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from conformance.support import MakeStore, collect, content, put, read
from servers.fault_proxy import Fault, FaultProxy, no_faults

from fsspec_store import FsspecStore
from fsspec_store.errors import AccessDeniedError, BackendError

from .protocol import Rules, each_once
from .reading import FAULTS


async def write(store: FsspecStore, key: str, data: bytes) -> None:
    async with store.open_writer(key) as writer:
        for start in range(0, len(data), 100_003):
            await writer.write(data[start : start + 100_003])
        await writer.finish()


class StreamReadingRules(Rules):
    @pytest.mark.parametrize("fault", FAULTS)
    async def test_each_part_of_a_stream_is_requested_again(
        self, make_store: MakeStore, proxy: FaultProxy, fault: Fault
    ) -> None:
        part_bytes = max(self.protocol.part_bytes, 2**18)
        data = content(4 * part_bytes + 1)
        await self.fill(make_store, {"a": data})
        # Fewer retries than parts: each part has its own.
        store = make_store(retries=2, part_bytes=part_bytes)
        proxy.plan = each_once(fault)
        async with store.open_reader("a") as reader:
            parts = [part.to_bytes() async for part in reader]
        assert b"".join(parts) == data
        assert store.stats.retries > 0

    async def test_a_stream_that_cannot_be_read_on_is_an_error(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        part_bytes = max(self.protocol.part_bytes, 2**18)
        data = content(8 * part_bytes)
        await self.fill(make_store, {"a": data})
        store = make_store(retries=0, part_bytes=part_bytes)
        parts = []

        async def read_all() -> None:
            async with store.open_reader("a") as reader:
                parts.append((await anext(reader)).to_bytes())
                proxy.plan = lambda method, target, headers: Fault.RESET
                while True:
                    parts.append((await anext(reader)).to_bytes())

        # The iteration ends where the value was read in one response.
        with pytest.raises((BackendError, StopAsyncIteration)) as caught:
            await read_all()
        assert data.startswith(b"".join(parts))
        if isinstance(caught.value, BackendError):
            assert caught.value.key == "a"
            assert len(parts) < 8
        else:
            assert len(parts) == 8


class StreamWritingRules(Rules):
    """Rules of services that store a value from its parts."""

    @pytest.fixture
    def parts(self) -> Any:
        return {"part_bytes": self.protocol.part_bytes}

    async def test_each_part_of_a_writer_is_sent_again(
        self, make_store: MakeStore, proxy: FaultProxy, parts: Any
    ) -> None:
        data = content(4 * self.protocol.part_bytes + 1)
        store = make_store(retries=2, **parts)
        proxy.plan = each_once(Fault.RESET)
        await write(store, "a", data)
        assert store.stats.retries > 2
        proxy.plan = no_faults
        assert await read(store, "a") == data
        assert await collect(store.list_leftovers()) == []

    async def test_a_writer_whose_last_response_was_lost_succeeds(
        self, make_store: MakeStore, proxy: FaultProxy, parts: Any
    ) -> None:
        store = make_store(**parts)
        for size in (10, 2 * self.protocol.part_bytes + 1):
            proxy.plan = self.commit(Fault.LOST)
            with proxy.watching() as seen:
                await write(store, "a", content(size))
            assert [request.fault for request in seen].count(Fault.LOST) == 1
            assert await read(store, "a") == content(size)
        assert await collect(store.list_leftovers()) == []

    async def test_a_writer_that_fails_leaves_the_key_as_it_was(
        self, make_store: MakeStore, proxy: FaultProxy, parts: Any
    ) -> None:
        store = make_store(**parts)
        await put(store, "a", data=b"old")

        def refuse_parts(method: str, target: str, headers: Mapping[str, str]) -> Any:
            commits = self.protocol.commits(method, target, headers)
            return self.protocol.error(403) if method == "PUT" and not commits else None

        proxy.plan = refuse_parts
        with pytest.raises(AccessDeniedError, match="'a'"):
            await write(store, "a", content(4 * self.protocol.part_bytes))
        proxy.plan = no_faults
        assert await read(store, "a") == b"old"
        assert await collect(store.list_leftovers()) == []
