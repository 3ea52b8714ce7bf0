"""Bodies that a thread receives and sends: the same bytes, and an end at once when cancelled."""

from __future__ import annotations

import asyncio
import socket
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsspec_store._http.http1.channels import PlainChannel
from fsspec_store._http.http1.sink import Sink
from fsspec_store._http.http1.transfers import Receiving, Sending, Transfer

MIB = 2**20


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, peers = socket.socketpair()
    ours.setblocking(False)
    with ours, peers:
        yield ours, peers


class Ended(asyncio.Event):
    """Set at the end of a transfer, with its error."""

    error: Exception | None = None

    def __call__(self, error: Exception | None) -> None:
        self.error = error
        self.set()


def receiving(
    sock: socket.socket, memory: bytearray, ended: Ended, seen: list[bytes] | None = None
) -> Sink:
    add = None if seen is None else lambda piece: seen.append(bytes(piece))
    sink = Sink(memoryview(memory), add)
    Receiving(PlainChannel(sock), 2, ended, sink).start()
    return sink


@settings(max_examples=20)
@given(st.lists(st.binary(min_size=1, max_size=300_000), min_size=1, max_size=5))
async def test_a_body_is_received_in_order_and_each_piece_is_seen(pieces: list[bytes]) -> None:
    ours, peers = socket.socketpair()
    ours.setblocking(False)
    with ours, peers:
        body, seen, ended = b"".join(pieces), list[bytes](), Ended()
        memory = bytearray(len(body))
        sink = receiving(ours, memory, ended, seen)
        await asyncio.to_thread(lambda: [peers.sendall(piece) for piece in pieces])
        await ended.wait()
        assert (ended.error, sink.count) == (None, len(body))
        assert bytes(memory) == b"".join(seen) == body


async def test_an_ended_transfer_holds_no_memory(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, peers = pair
    memory, ended = np.empty(1000, np.uint8), Ended()
    gone = weakref.ref(memory)
    sink = Sink(memory.data, seen_by_nobody)
    transfer = Receiving(PlainChannel(ours), 2, ended, sink)
    del memory
    transfer.start()
    peers.sendall(b"x" * 1000)
    await ended.wait()
    assert gone() is None
    assert sink.count == 1000


def seen_by_nobody(piece: memoryview) -> None:
    """A checksum that is not computed."""


async def test_bytes_after_the_body_are_left_in_the_socket(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, peers = pair
    peers.sendall(b"x" * 1000 + b"next")
    memory, ended = bytearray(1000), Ended()
    receiving(ours, memory, ended)
    await ended.wait()
    assert ours.recv(100) == b"next"


async def test_the_end_of_the_stream_is_an_error(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, peers = pair
    memory, ended = bytearray(1000), Ended()
    peers.sendall(b"x" * 999)
    peers.close()
    sink = receiving(ours, memory, ended)
    await ended.wait()
    assert isinstance(ended.error, EOFError)
    assert sink.count == 999


async def test_no_memory_is_written_after_a_cancellation(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, peers = pair
    memory, ended, has_begun = bytearray(64 * MIB), Ended(), threading.Event()
    sink = Sink(memoryview(memory), lambda piece: has_begun.set())
    transfer = Receiving(PlainChannel(ours), 2, ended, sink)
    transfer.start()
    feeding = threading.Thread(target=send_all, args=(peers, bytes(len(memory))))
    feeding.start()
    await asyncio.to_thread(has_begun.wait)
    transfer.cancel()
    before = sink.count
    memory[:] = b"y" * len(memory)
    # Ends when the thread of the transfer has closed the socket.
    await asyncio.to_thread(feeding.join)
    assert sink.count == before < len(memory)
    assert memory.count(b"y") == len(memory)
    assert ours.fileno() == -1
    assert not ended.is_set()


def send_all(sock: socket.socket, data: bytes) -> None:
    try:
        sock.sendall(data)
    except OSError:
        pass


@pytest.mark.parametrize("is_started", [False, True])
@pytest.mark.parametrize("kind", ["receiving", "sending"])
async def test_a_cancelled_transfer_that_waits_closes_its_socket(
    pair: tuple[socket.socket, socket.socket], kind: str, is_started: bool
) -> None:
    ours, peers = pair
    ended = Ended()
    transfer: Transfer
    if kind == "receiving":
        transfer = Receiving(PlainChannel(ours), 2, ended, Sink(memoryview(bytearray(10))))
    else:
        transfer = Sending(PlainChannel(ours), 2, ended, [memoryview(bytes(64 * MIB))])
    transfer.start()
    if is_started and kind == "sending":
        await asyncio.to_thread(peers.recv, 1)
    transfer.cancel()
    while await asyncio.to_thread(peers.recv, MIB):
        pass
    assert not ended.is_set()


async def test_a_body_is_sent_until_the_server_sends_something(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, peers = pair
    ended = Ended()
    body = bytes(range(256)) * (32 * MIB // 256)
    sending = Sending(PlainChannel(ours), 2, ended, [memoryview(b"head"), memoryview(body)])
    sending.start()
    received = await asyncio.to_thread(receive, peers, MIB)
    peers.sendall(b"early")
    await ended.wait()
    assert ended.error is None
    assert not sending.is_complete
    assert ours.recv(10) == b"early"
    ended.clear()
    sending.start()
    received += await asyncio.to_thread(receive, peers, len(body) + 4 - MIB)
    await ended.wait()
    assert sending.is_complete
    assert received == b"head" + body


def receive(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += sock.recv(size - len(data))
    return bytes(data)


async def test_many_bodies_at_once_in_two_threads() -> None:
    names: set[str] = set()
    pairs = [socket.socketpair() for _ in range(50)]
    ends: list[Ended] = []
    memories: list[bytearray] = []

    def seen(piece: Any) -> None:
        names.add(str(threading.get_ident()))

    for ours, _ in pairs:
        ours.setblocking(False)
        memories.append(bytearray(1000))
        ends.append(Ended())
        Receiving(PlainChannel(ours), 2, ends[-1], Sink(memoryview(memories[-1]), seen)).start()
    # In another order than they were started.
    for number, (_, peers) in reversed(list(enumerate(pairs))):
        peers.sendall(bytes([number]) * 1000)
    await asyncio.gather(*(ended.wait() for ended in ends))
    assert memories == [bytearray([number]) * 1000 for number in range(len(pairs))]
    assert len(names) == 2
    for both in pairs:
        for sock in both:
            sock.close()


@pytest.mark.parametrize("error", [MemoryError(), KeyError()], ids=repr)
async def test_an_error_in_the_thread_ends_the_transfer(
    pair: tuple[socket.socket, socket.socket], error: Exception
) -> None:
    ours, peers = pair
    peers.sendall(b"x" * 1000)
    ended, calls = Ended(), list[int]()

    def add(piece: memoryview) -> None:
        calls.append(len(piece))
        raise error

    Receiving(PlainChannel(ours), 2, ended, Sink(memoryview(bytearray(2000)), add)).start()
    await ended.wait()
    assert ended.error is error
    assert calls == [1000]


async def test_a_transfer_can_be_cancelled_within_its_step(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, peers = pair
    ended = Ended()
    # As by the garbage collector, which runs in any thread.
    sink = Sink(memoryview(bytearray(2000)), lambda _: transfer.cancel())
    transfer = Receiving(PlainChannel(ours), 2, ended, sink)
    transfer.start()
    peers.sendall(b"x" * 1000)
    assert await asyncio.to_thread(peers.recv, 1) == b""
    assert not ended.is_set()


class FastChannel(PlainChannel):
    """Always has received one byte."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.receive = lambda *_: 1


async def test_a_transfer_that_never_waits_leaves_its_thread_to_others(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, peers = pair
    peers.sendall(b"x")
    endless, has_begun = Ended(), threading.Event()
    sink = Sink(memoryview(bytearray(2**30)), lambda _: has_begun.set())
    fast = Receiving(FastChannel(ours), 1, endless, sink)
    fast.start()
    await asyncio.to_thread(has_begun.wait)
    others, their_peers = socket.socketpair()
    with others, their_peers:
        others.setblocking(False)
        their_peers.sendall(b"y" * 1000)
        ended = Ended()
        Receiving(PlainChannel(others), 1, ended, Sink(memoryview(bytearray(1000)))).start()
        await ended.wait()
    assert not endless.is_set()
    fast.cancel()
