from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.scripted import Peer, nothing_left, scripted_server

from fsspec_store._core.byte_requests import RangeByteRequest
from fsspec_store._http.http1.buffer_pool import InsufficientMemoryError
from fsspec_store._http.http1.pool import Origin, Pool
from fsspec_store._http.messages import Expected
from fsspec_store._http.parallel_reads import read_large, read_slice
from fsspec_store._http.retrier import NoPermitError


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    async with nothing_left():
        yield


def pattern(size: int) -> bytes:
    return np.arange(size // 2 + 1, dtype=">u2").tobytes()[:size]


async def rounds(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


class BrokenOffError(Exception):
    pass


class Body:
    """A body that takes some rounds of the loop to read, and may break off."""

    def __init__(self, data: bytes, *, breaks_at: int | None = None, slowness: int = 0) -> None:
        self._data = data
        self._breaks_at = len(data) + 1 if breaks_at is None else breaks_at
        self._slowness = slowness
        self.place = 0
        self.closed = 0
        self.is_read = False

    async def read_into(self, sink: memoryview) -> None:
        assert not self.closed
        assert not self.is_read
        self.is_read = True
        try:
            await rounds(self._slowness)
            end = self.place + sink.nbytes
            assert end <= len(self._data)
            if end >= self._breaks_at:
                # The memory may hold anything.
                sink[:] = b"\xff" * sink.nbytes
                raise BrokenOffError
            sink[:] = self._data[self.place : end]
            self.place = end
        finally:
            self.is_read = False

    def close(self) -> None:
        assert not self.is_read
        self.closed += 1


class Slots:
    """The slot of a body, with spare ones if ``spare`` returns them, and a number of retries."""

    def __init__(self, spare: Callable[[], Any] | None = None, retries: int = 9) -> None:
        self.spare = spare or (lambda: nullcontext(self))
        self._left = retries

    def body_failed(self) -> bool:
        self._left -= 1
        return self._left >= 0


class Parts:
    """Parts of the same body; some requests fail."""

    def __init__(
        self, data: bytes, fails: set[int], slowness: list[int], *, first: int = 0
    ) -> None:
        self._data = data
        self.first = first
        self._fails = fails
        self._slowness = slowness
        self.asked: list[int] = []
        self.at_once = 0
        self.most_at_once = 0

    async def __call__(self, part: RangeByteRequest, sink: memoryview, slot: Any) -> None:
        start = part.start - self.first
        assert part.end - part.start == sink.nbytes
        number = len(self.asked)
        self.asked.append(start)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await rounds(self._slowness[number % len(self._slowness)])
            if number in self._fails:
                raise BrokenOffError(number)
            sink[:] = self._data[start : start + sink.nbytes]
        finally:
            self.at_once -= 1


SIZES = st.integers(0, 300)
PART_BYTES = st.integers(1, 120)
AT_ONCE = st.integers(1, 6)
SLOWNESS = st.integers(0, 6)


@settings(max_examples=400)
@given(
    size=SIZES,
    first=SIZES,
    part_bytes=PART_BYTES,
    parts_at_once=AT_ONCE,
    breaks_at=st.none() | st.integers(0, 300),
    fails=st.sets(st.integers(0, 20), max_size=2),
    slowness=SLOWNESS,
    slownesses=st.lists(SLOWNESS, min_size=1, max_size=8),
)
async def test_the_result_is_the_body_or_an_error(
    size: int,
    first: int,
    part_bytes: int,
    parts_at_once: int,
    breaks_at: int | None,
    fails: set[int],
    slowness: int,
    slownesses: list[int],
) -> None:
    data = pattern(size)
    body = Body(data, breaks_at=breaks_at, slowness=slowness)
    parts = Parts(data, fails, slownesses, first=first)
    failed = False
    try:
        memory = await read_large(
            body,
            size,
            parts,
            Slots(),
            first=first,
            part_bytes=part_bytes,
            parts_at_once=parts_at_once,
        )
        assert memory == data
    except BrokenOffError as error:
        failed = True
        assert error.args[0] in fails
    assert failed == any(number < len(parts.asked) for number in fails)
    assert body.closed == 1
    assert parts.at_once == 0
    # One more replaces a body that broke off.
    assert parts.most_at_once <= parts_at_once + (body.place < size)
    # No byte is requested twice or was in the first response.
    assert len(set(parts.asked)) == len(parts.asked)
    assert all(start >= body.place for start in parts.asked)
    if not failed:
        assert {*range(0, body.place, part_bytes), *parts.asked} == set(range(0, size, part_bytes))


@given(
    size=st.integers(1, 300),
    part_bytes=PART_BYTES,
    parts_at_once=AT_ONCE,
    breaks_at=st.none() | st.integers(0, 300),
    slowness=SLOWNESS,
    slownesses=st.lists(SLOWNESS, min_size=1, max_size=8),
    after=st.integers(0, 30),
)
async def test_a_cancelled_read_cancels_all_requests(
    size: int,
    part_bytes: int,
    parts_at_once: int,
    breaks_at: int | None,
    slowness: int,
    slownesses: list[int],
    after: int,
) -> None:
    data = pattern(size)
    body = Body(data, breaks_at=breaks_at, slowness=slowness)
    parts = Parts(data, set(), slownesses)
    reading = asyncio.create_task(
        read_large(body, size, parts, Slots(), part_bytes=part_bytes, parts_at_once=parts_at_once)
    )
    await rounds(1 + after)
    was_done = reading.done()
    reading.cancel()
    try:
        assert await reading == data
        assert was_done
    except asyncio.CancelledError:
        assert not was_done
    assert body.closed == 1
    assert parts.at_once == 0
    asked = len(parts.asked)
    await rounds(20)
    assert len(parts.asked) == asked


async def test_parts_continue_while_the_first_response_stalls() -> None:
    data = pattern(100)
    may_go_on = asyncio.Event()

    class Stalling(Body):
        async def read_into(self, sink: memoryview) -> None:
            await may_go_on.wait()
            await super().read_into(sink)

    parts = Parts(data, set(), [1])
    reading = asyncio.create_task(
        read_large(Stalling(data), 100, parts, Slots(), part_bytes=10, parts_at_once=2)
    )
    await rounds(50)
    # From the end, all but the part that the first response is sending.
    assert parts.asked == [90, 80, 70, 60, 50, 40, 30, 20, 10]
    may_go_on.set()
    assert await reading == data


async def test_the_first_response_continues_while_parts_stall() -> None:
    data = pattern(100)
    may_go_on = asyncio.Event()

    class Stalling(Parts):
        async def __call__(self, part: RangeByteRequest, sink: memoryview, slot: Any) -> None:
            await super().__call__(part, sink, slot)
            await may_go_on.wait()

    body = Body(data, slowness=1)
    parts = Stalling(data, set(), [0])
    reading = asyncio.create_task(
        read_large(body, 100, parts, Slots(), part_bytes=10, parts_at_once=2)
    )
    await rounds(50)
    assert (body.place, parts.asked) == (80, [90, 80])
    may_go_on.set()
    assert await reading == data


async def test_a_failed_part_cancels_the_others_and_keeps_its_cause() -> None:
    data = pattern(100)
    cause = KeyError("what the service said")
    given_up = []

    async def fetch(part: RangeByteRequest, sink: memoryview, slot: Any) -> None:
        start = part.start
        if start == 80:
            await rounds(3)
            raise BrokenOffError(start) from cause
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            given_up.append(start)
            raise

    body = Body(data, slowness=1000)
    with pytest.raises(BrokenOffError, match="80") as caught:
        await read_large(body, 100, fetch, Slots(), part_bytes=10, parts_at_once=3)
    assert caught.value.__cause__ is cause
    assert sorted(given_up) == [70, 90]
    assert (body.closed, body.is_read) == (1, False)


async def test_a_body_is_read_from_beginning_to_end() -> None:
    body = Body(pattern(1000))
    assert await read_slice(body, 0, 1000) == pattern(1000)
    assert body.closed == 1
    broken = Body(pattern(1000), breaks_at=500)
    with pytest.raises(BrokenOffError):
        await read_slice(broken, 0, 1000)
    assert broken.closed == 1


@pytest.mark.parametrize("size", [10**15, 10**18])
async def test_a_body_larger_than_memory_is_closed(size: int) -> None:
    bodies = Body(b""), Body(b""), Body(b"")
    parts = Parts(b"", set(), [0])
    for reading in (
        read_slice(bodies[0], 0, size),
        read_large(bodies[1], size, parts, Slots(), part_bytes=2**23),
        read_slice(bodies[2], 5, size),
    ):
        with pytest.raises(InsufficientMemoryError, match="not enough memory"):
            await reading
    assert [body.closed for body in bodies] == [1, 1, 1]
    assert parts.asked == []


@pytest.mark.parametrize(("start", "end"), [(0, 10), (10, 30), (3 * 2**20 + 5, 3 * 2**20 + 25)])
async def test_a_slice_does_not_read_the_rest_of_the_body(start: int, end: int) -> None:
    data = pattern(3 * 2**20 + 100)
    body = Body(data)
    assert await read_slice(body, start, end) == data[start:end]
    assert (body.place, body.closed) == (end, 1)


# -- Slots -------------------------------------------------------------------------------------


def slots(free: list[bool]) -> Slots:
    """Slots of which one is free or not, for each call; none is after the last."""

    def spare() -> Any:
        return nullcontext("spare") if free and free.pop(0) else None

    return Slots(spare)


async def test_without_a_free_slot_the_body_is_read_to_its_end() -> None:
    data = pattern(100)
    body, parts = Body(data, slowness=1), Parts(data, set(), [1])
    memory = await read_large(body, 100, parts, slots([]), part_bytes=10)
    assert memory == data
    assert (body.place, parts.asked) == (100, [])


async def test_parts_replace_a_broken_body_in_its_slot() -> None:
    data = pattern(100)
    body, parts = Body(data, breaks_at=25), Parts(data, set(), [1])
    memory = await read_large(body, 100, parts, slots([]), part_bytes=10)
    assert memory == data
    assert (parts.most_at_once, body.closed) == (1, 1)
    assert sorted(parts.asked) == [20, 30, 40, 50, 60, 70, 80, 90]


async def test_a_broken_body_without_a_retry_is_an_error() -> None:
    body, parts = Body(pattern(100), breaks_at=25), Parts(pattern(100), set(), [1])
    with pytest.raises(BrokenOffError):
        await read_large(body, 100, parts, Slots(retries=0), part_bytes=10)
    assert (parts.at_once, body.closed) == (0, 1)


async def test_slots_that_become_free_are_used() -> None:
    data = pattern(100)
    body, parts = Body(data, slowness=3), Parts(data, set(), [1])
    free = slots([False] * 10 + [True])
    memory = await read_large(body, 100, parts, free, part_bytes=10, parts_at_once=2)
    assert memory == data
    assert parts.asked
    assert parts.most_at_once == 1


async def test_a_slot_is_released_between_two_parts() -> None:
    data = pattern(100)
    parts, taken = Parts(data, set(), [1]), 0

    @contextmanager
    def slot() -> Iterator[None]:
        nonlocal taken
        taken += 1
        before = len(parts.asked)
        yield
        assert len(parts.asked) == before + 1

    body = Body(data, slowness=3)
    memory = await read_large(body, 100, parts, Slots(slot), part_bytes=10, parts_at_once=1)
    assert memory == data
    assert taken == len(parts.asked) > 1


@settings(max_examples=200)
@given(
    size=SIZES,
    part_bytes=PART_BYTES,
    parts_at_once=AT_ONCE,
    breaks_at=st.none() | st.integers(0, 300),
    lost=st.sets(st.integers(0, 20), max_size=5),
    free=st.lists(st.booleans(), max_size=30),
    slowness=SLOWNESS,
    slownesses=st.lists(SLOWNESS, min_size=1, max_size=8),
)
async def test_a_part_that_lost_its_slot_is_read_in_another(
    size: int,
    part_bytes: int,
    parts_at_once: int,
    breaks_at: int | None,
    lost: set[int],
    free: list[bool],
    slowness: int,
    slownesses: list[int],
) -> None:
    data = pattern(size)
    body, parts = Body(data, breaks_at=breaks_at, slowness=slowness), Parts(data, set(), slownesses)
    asked = itertools.count()

    async def fetch(part: RangeByteRequest, sink: memoryview, slot: Any) -> None:
        if slot == "spare":
            await rounds(slownesses[0])
            if next(asked) in lost:
                raise NoPermitError
        await parts(part, sink, slot)

    memory = await read_large(
        body, size, fetch, slots(free), part_bytes=part_bytes, parts_at_once=parts_at_once
    )
    assert memory == data
    assert body.closed == 1
    assert len(set(parts.asked)) == len(parts.asked)


# -- Over sockets ------------------------------------------------------------------------------

PART = 50_000
SIZE = 1_000_003


@pytest.mark.parametrize("breaks_at", [None, 0, 30_000, 333_333, SIZE - 1])
async def test_over_sockets_with_a_first_response_that_breaks_off(breaks_at: int | None) -> None:
    data = pattern(SIZE)
    asked: list[int] = []

    async def script(peer: Peer) -> None:
        while True:
            try:
                request = await peer.request()
            except asyncio.IncompleteReadError:
                return
            wanted = re.search(rb"bytes=(\d+)-(\d+)", request)
            if wanted is None:
                peer.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE)
                peer.writer.write(data[:breaks_at])
                if breaks_at is not None:
                    return
            else:
                part = data[int(wanted[1]) : int(wanted[2]) + 1]
                peer.writer.write(b"HTTP/1.1 206 Part\r\ncontent-length: %d\r\n\r\n" % len(part))
                peer.writer.write(part)

    async with scripted_server(script) as server:
        pool = Pool(timeout=20.0, connect_timeout=5.0, threads=2)
        origin = Origin(server.host, server.port, None)

        async def ask(header: str, **options: Any) -> Any:
            head = f"GET /x HTTP/1.1\r\nhost: test\r\n{header}\r\n".encode()
            expected = Expected(unread_above=2**16, **options)
            return await pool.request(origin, head, None, expected)

        async def fetch(part: RangeByteRequest, sink: memoryview, slot: Any) -> None:
            asked.append(part.start)
            answer = await ask(f"range: bytes={part.start}-{part.end - 1}\r\n", into=sink)
            assert answer.body is sink

        first = await ask("")
        body = first.body.stream
        memory = await read_large(body, SIZE, fetch, Slots(), part_bytes=PART, parts_at_once=3)
        assert memory == data
        assert len(set(asked)) == len(asked)
        # Three at a time, one for the first response, and one that replaces it.
        assert len(server.peers) <= 4 + (breaks_at is not None)
        await pool.aclose()
